"""Contacts as MAVLink frames, and when each is due. A plain object: handed contacts and the time, gives
frames.

A contact has neither MMSI nor ICAO address. It gets numbers that nobody is given (900000000 to 909999999, and
F00000 to FFFFFF hexadecimal), the same each time for the same contact.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ground.exercise.mark import REAL, Mark
from ground.fusion.contact import Contact
from ground.fusion.labels import VESSEL_LABELS
from ground.mavlink_out.config import MavlinkOutConfig
from ground.review.entries import State
from skywarden.clock import NS_PER_S
from skywarden.geometry.geoid import undulation_m
from skywarden.mavlink.synth import MessageMaker
from skywarden.messages import Position

COMPONENT_ID = 191  # MAV_COMP_ID_ONBOARD_COMPUTER: ground stations show its texts
_NOTICE = 5
_POINT_OBSTACLE = 19
_COORDS, _ALTITUDE, _HEADING, _VELOCITY, _CALLSIGN, _SIMULATED = 1, 2, 4, 8, 16, 64
_AIS_COURSE, _AIS_SPEED, _AIS_NAME = 2, 4, 4096
_MAX_TEXT = 150
_TEXT_NS = 2 * NS_PER_S
_MAX_REMEMBERED = 20_000


@dataclass(slots=True)
class _Told:
    at_ns: int = 0
    is_announced: bool = False


@dataclass(slots=True)
class MavlinkWords:
    """What one ground station is told when; `now_ns` is UTC and never runs back."""

    config: MavlinkOutConfig
    mark: Mark = REAL
    """CAMERA_TRACKING_GEO_STATUS has no room for the mark of an exercise, so that one is not sent there."""
    _maker: MessageMaker = field(init=False)
    _told: dict[str, _Told] = field(default_factory=dict)
    _beat_ns: int = 0
    _text_ns: int = 0
    _geo_ns: int = 0
    _turn_ns: int = 0
    _allowance: float = 0.0

    def __post_init__(self) -> None:
        """One maker, so that sequence numbers count up."""
        self._maker = MessageMaker(self.config.system_id, COMPONENT_ID)

    def due(self, contacts: Sequence[tuple[Contact, State]], now_ns: int) -> list[bytes]:
        """Frames to send now: a heartbeat each second, then what waits longest. `contacts` may leave."""
        frames = []
        if now_ns - self._beat_ns >= NS_PER_S:
            self._beat_ns = now_ns
            frames.append(self._maker.heartbeat(type=18, autopilot=8, system_status=4))
        passed_s = min(1.0, max(0.0, (now_ns - self._turn_ns) / NS_PER_S))
        self._turn_ns = now_ns
        grown = self._allowance + passed_s * self.config.max_per_s
        self._allowance = min(max(1.0, self.config.max_per_s), grown)
        since_ns = now_ns - round(self.config.keep_s * NS_PER_S)
        fresh = [(one, state) for one, state in contacts if one.position and one.last_ns >= since_ns]
        frames += self._text_of(fresh, now_ns)
        frames += self._geo_of(fresh, now_ns)
        waiting = [
            (self._told.get(one.contact_id, _Told()).at_ns, one.contact_id, one, state)
            for one, state in fresh
        ]
        for at_ns, contact_id, one, state in sorted(waiting, key=lambda each: each[:2]):
            if self._allowance < 1.0 or now_ns - at_ns < self.config.interval_s * NS_PER_S:
                break
            made = self._frames_of(one, state, now_ns)
            self._allowance -= len(made)
            frames += made
            self._remember(contact_id).at_ns = now_ns
        return frames

    def _frames_of(self, contact: Contact, state: State, now_ns: int) -> list[bytes]:
        made = []
        assert contact.position is not None
        if "ais_vessel" in self.config.what and contact.label in VESSEL_LABELS:
            made.append(self._vessel(contact, contact.position, state, now_ns))
        if "adsb_vehicle" in self.config.what:
            made.append(self._vehicle(contact, contact.position, state, now_ns))
        return made

    def _vessel(self, contact: Contact, place: Position, state: State, now_ns: int) -> bytes:
        flags = _AIS_NAME
        course, speed = contact.course_deg, contact.speed_mps
        if course is not None and speed is not None:
            flags |= _AIS_COURSE | _AIS_SPEED
        return self._maker.ais_vessel(
            mmsi=vessel_number(contact.contact_id),
            latitude_deg=place.latitude_deg,
            longitude_deg=place.longitude_deg,
            course_deg=course,
            speed_mps=speed,
            name=_ascii(f"{_mark(contact, state)}{contact.label} {contact.contact_id[-4:]}", 20).decode(),
            age_s=_seconds_since(contact, now_ns, 65_535),
            flags=flags,
        )

    def _vehicle(self, contact: Contact, place: Position, state: State, now_ns: int) -> bytes:
        flags = _COORDS | _ALTITUDE | _CALLSIGN | (_SIMULATED if contact.is_exercise else 0)
        course, speed = contact.course_deg, contact.speed_mps
        if course is not None and speed is not None:
            flags |= _HEADING | _VELOCITY
        height_m = place.alt_hae_m - float(undulation_m(place.latitude_deg, place.longitude_deg))
        mark = "X" if contact.is_exercise else "" if state == "confirmed" else "UNR"
        return self._maker.message(
            "ADSB_VEHICLE",
            ICAO_address=vehicle_number(contact.contact_id),
            lat=_e7(place.latitude_deg),
            lon=_e7(place.longitude_deg),
            altitude_type=1,
            altitude=round(height_m * 1_000.0),
            heading=_hundredths(course),
            hor_velocity=_hundredths(speed),
            ver_velocity=0,
            callsign=_ascii(f"{mark}{contact.label[: 5 - len(mark)].upper()}{contact.contact_id[-3:]}", 8),
            emitter_type=_POINT_OBSTACLE,
            tslc=_seconds_since(contact, now_ns, 255),
            flags=flags,
            squawk=0,
        )

    def _geo_of(self, fresh: Sequence[tuple[Contact, State]], now_ns: int) -> list[bytes]:
        """The one that was seen last, once a second."""
        if self.mark.is_exercise or any(one.is_exercise for one, _ in fresh):
            return []
        if "tracking_geo" not in self.config.what or not fresh or now_ns - self._geo_ns < NS_PER_S:
            return []
        self._geo_ns = now_ns
        contact, _ = max(fresh, key=lambda each: (each[0].last_ns, each[0].contact_id))
        place, course, speed = contact.position, contact.course_deg, contact.speed_mps
        assert place is not None
        is_moving = course is not None and speed is not None
        angle = math.radians(course or 0.0)
        return [
            self._maker.message(
                "CAMERA_TRACKING_GEO_STATUS",
                tracking_status=1,
                lat=_e7(place.latitude_deg),
                lon=_e7(place.longitude_deg),
                alt=place.alt_hae_m - float(undulation_m(place.latitude_deg, place.longitude_deg)),
                h_acc=place.ce90_m,
                v_acc=place.le90_m,
                vel_n=(speed or 0.0) * math.cos(angle) if is_moving else math.nan,
                vel_e=(speed or 0.0) * math.sin(angle) if is_moving else math.nan,
                vel_d=math.nan,
                vel_acc=math.nan,
                dist=math.nan,
                hdg=angle if is_moving else math.nan,
                hdg_acc=math.nan,
                camera_device_id=0,
            )
        ]

    def _text_of(self, fresh: Sequence[tuple[Contact, State]], now_ns: int) -> list[bytes]:
        """One line about one thing that was not spoken of yet, at most every two seconds."""
        if "statustext" not in self.config.what or now_ns - self._text_ns < _TEXT_NS:
            return []
        for contact, state in sorted(fresh, key=lambda each: (-each[0].last_ns, each[0].contact_id)):
            told = self._told.get(contact.contact_id)
            if told is None or not told.is_announced:
                self._remember(contact.contact_id).is_announced = True
                self._text_ns = now_ns
                return self._maker.statustext(severity=_NOTICE, text=in_words(contact, state))
        return []

    def _remember(self, contact_id: str) -> _Told:
        told = self._told.pop(contact_id, None) or _Told()
        self._told[contact_id] = told
        while len(self._told) > _MAX_REMEMBERED:
            del self._told[next(iter(self._told))]
        return told


def in_words(contact: Contact, state: State) -> str:
    """One line for a pilot in plain ASCII: what, where, how sure, which way."""
    parts = [f"{_mark(contact, state)}{contact.label}"]
    if contact.position is not None:
        place = contact.position
        parts.append(f"{place.latitude_deg:.5f} {place.longitude_deg:.5f} +-{place.ce90_m:.0f} m")
    if contact.speed_mps is not None and contact.course_deg is not None:
        parts.append(f"{contact.course_deg:03.0f} deg {contact.speed_mps:.0f} m/s")
    return _ascii(", ".join(parts), _MAX_TEXT).decode()


def vessel_number(contact_id: str) -> int:
    """Nine digits that are no station's MMSI, for this contact."""
    return 900_000_000 + _digest(contact_id) % 10_000_000


def vehicle_number(contact_id: str) -> int:
    """24 bits from a block that no state gives out, for this contact."""
    return 0xF00000 | _digest(contact_id) % 0x100000


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _mark(contact: Contact, state: State) -> str:
    exercise = "EXERCISE " if contact.is_exercise else ""
    return exercise if state == "confirmed" else f"{exercise}UNREVIEWED "


def _ascii(text: str, most: int) -> bytes:
    plain = "".join(one if one.isprintable() else "?" for one in text)
    return plain.encode("ascii", "replace")[:most]


def _e7(degrees: float) -> int:
    return round(degrees * 1e7)


def _hundredths(value: float | None) -> int:
    return 0 if value is None else min(65_535, max(0, round(value * 100.0)))


def _seconds_since(contact: Contact, now_ns: int, most: int) -> int:
    return min(most, max(0, (now_ns - contact.last_ns) // NS_PER_S))
