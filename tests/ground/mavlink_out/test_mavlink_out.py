"""What a MAVLink ground station hears of contacts, read from a real socket by pymavlink."""

import math
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink import mavutil
from pymavlink.dialects.v20 import ardupilotmega

from ground.fusion.contact import Contact
from ground.mavlink_out.config import MavlinkOutConfig
from ground.mavlink_out.words import MavlinkWords, in_words, vehicle_number, vessel_number
from ground.review.entries import State
from ground.serve import start_ground
from skywarden.geometry.geoid import undulation_m
from tests.ground.scenes import START_NS, arrival, ground_config, position, sighting

S = 1_000_000_000
LIMIT_S = 30.0
EVERYTHING = ("ais_vessel", "adsb_vehicle", "tracking_geo", "statustext")


def _contact(number: int = 1, **changes: object) -> Contact:
    made = Contact(
        contact_id=f"c-uav07-s1-eo-{number}",
        label="vessel",
        score=0.8,
        first_ns=START_NS,
        last_ns=START_NS,
        platform_ids=("uav07",),
        track_ids=(f"uav07-s1-eo-{number}",),
        sighting_count=3,
        position=position(3.0, 4.0),
        bearing=None,
        bearing_from=None,
        no_position_reason=None,
        course_deg=90.0,
        speed_mps=4.0,
        model_id="m",
        is_exercise=False,
    )
    return msgspec.structs.replace(made, **changes)


def _config(connection: str = "udpout:127.0.0.1:14550", **more: object) -> MavlinkOutConfig:
    return msgspec.convert({"connection": connection, "what": EVERYTHING, **more}, MavlinkOutConfig)


def _read(frames: list[bytes]) -> list[Any]:
    reader = ardupilotmega.MAVLink(None)
    reader.robust_parsing = True
    return list(reader.parse_buffer(b"".join(frames)) or [])


def _heard(words: MavlinkWords, contacts: list[tuple[Contact, State]], at_s: float) -> list[Any]:
    return _read(words.due(contacts, START_NS + round(at_s * S)))


def _of(messages: list[Any], kind: str) -> list[Any]:
    return [one for one in messages if one.get_type() == kind]


def test_a_confirmed_vessel_is_told_in_every_word_that_is_asked_for() -> None:
    contact = _contact()
    assert contact.position is not None
    heard = _heard(MavlinkWords(_config()), [(contact, "confirmed")], 7.0)
    (beat,), (vessel,), (vehicle,), (geo,) = (
        _of(heard, kind) for kind in ("HEARTBEAT", "AIS_VESSEL", "ADSB_VEHICLE", "CAMERA_TRACKING_GEO_STATUS")
    )
    assert (beat.type, beat.autopilot) == (18, 8)
    height_m = contact.position.alt_hae_m - float(undulation_m(contact.position.latitude_deg, 20.0))
    for one in (vessel, vehicle, geo):
        assert (one.lat, one.lon) == (
            round(contact.position.latitude_deg * 1e7),
            round(contact.position.longitude_deg * 1e7),
        )
    assert (vessel.COG, vessel.velocity, vessel.tslc) == (9000, 400, 7)
    assert vessel.name == "vessel eo-1"
    assert vehicle.callsign.startswith("VESSE")
    assert vehicle.altitude == pytest.approx(height_m * 1e3, abs=1)
    assert vehicle.emitter_type == 19
    assert (geo.h_acc, geo.v_acc) == pytest.approx((contact.position.ce90_m, contact.position.le90_m))
    assert (geo.vel_e, geo.vel_n) == pytest.approx((4.0, 0.0), abs=1e-5)
    text = "".join(one.text for one in _of(heard, "STATUSTEXT"))
    assert text.startswith("vessel, 0.0000")
    assert "+-" in text


def test_what_nobody_confirmed_and_what_is_an_exercise_says_so_in_every_word() -> None:
    heard = _heard(MavlinkWords(_config(unreviewed=True)), [(_contact(), "unreviewed")], 0.0)
    assert _of(heard, "AIS_VESSEL")[0].name.startswith("UNREVIEWED ")
    assert _of(heard, "ADSB_VEHICLE")[0].callsign.startswith("UNR")
    assert _of(heard, "STATUSTEXT")[0].text.startswith("UNREVIEWED ")
    heard = _heard(MavlinkWords(_config()), [(_contact(is_exercise=True), "confirmed")], 0.0)
    assert _of(heard, "ADSB_VEHICLE")[0].flags & 64
    assert _of(heard, "AIS_VESSEL")[0].name.startswith("EXERCISE ")


def test_a_plot_is_no_vessel() -> None:
    heard = _heard(MavlinkWords(_config()), [(_contact(label="plot"), "confirmed")], 0.0)
    assert _of(heard, "AIS_VESSEL") == []
    assert len(_of(heard, "ADSB_VEHICLE")) == 1


def test_each_is_told_at_its_interval_under_the_rate_and_spoken_of_once() -> None:
    words = MavlinkWords(_config(what=["ais_vessel", "statustext"], max_per_s=2.0))
    contacts: list[tuple[Contact, State]] = [(_contact(number), "confirmed") for number in range(6)]
    told: list[tuple[float, int]] = []
    texts = 0
    for turn in range(48):
        heard = _heard(words, contacts, turn / 4)
        found = [one.MMSI for one in _of(heard, "AIS_VESSEL")]
        assert len(found) <= 2
        told += [(turn / 4, one) for one in found]
        texts += sum(one.id == 0 or one.chunk_seq == 0 for one in _of(heard, "STATUSTEXT"))
    by_vessel = {mmsi: [at for at, one in told if one == mmsi] for _, mmsi in told}
    assert len(by_vessel) == 6
    assert all(times[1] - times[0] >= 5.0 for times in by_vessel.values() if len(times) > 1)
    assert texts == 6


def test_what_was_seen_long_ago_or_has_no_place_is_not_told() -> None:
    words = MavlinkWords(_config(keep_s=60.0))
    assert {one.get_type() for one in _heard(words, [(_contact(), "confirmed")], 61.0)} == {"HEARTBEAT"}
    no_place = _contact(position=None)
    assert {one.get_type() for one in _heard(words, [(no_place, "confirmed")], 62.0)} == {"HEARTBEAT"}


def test_a_thing_that_stands_has_no_velocity() -> None:
    still = _contact(course_deg=None, speed_mps=None)
    heard = _heard(MavlinkWords(_config()), [(still, "confirmed")], 0.0)
    assert math.isnan(_of(heard, "CAMERA_TRACKING_GEO_STATUS")[0].vel_n)
    assert not _of(heard, "ADSB_VEHICLE")[0].flags & 12
    assert not _of(heard, "AIS_VESSEL")[0].flags & 6


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=64))
def test_any_name_and_label_can_be_told_and_has_numbers_of_nobody(contact_id: str, label: str) -> None:
    contact = _contact(contact_id=contact_id, label=label)
    assert _heard(MavlinkWords(_config()), [(contact, "unreviewed")], 0.0)
    assert 900_000_000 <= vessel_number(contact_id) < 910_000_000
    assert 0xF00000 <= vehicle_number(contact_id) <= 0xFFFFFF
    assert in_words(contact, "unreviewed").isascii()


@pytest.mark.slow
def test_a_station_tells_what_is_confirmed_and_nothing_else(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener = mavutil.mavlink_connection("udpin:127.0.0.1:0", dialect="ardupilotmega")
        stack.callback(listener.close)
        port = listener.port.getsockname()[1]
        told = _config(f"udpout:127.0.0.1:{port}", interval_s=0.5)
        config = msgspec.structs.replace(ground_config(tmp_path), mavlink_out=(told,))
        station = start_ground(config)
        stack.callback(station.stop)
        looks = [
            msgspec.structs.replace(
                sighting(f"uav07-s1-eo.t{number}", 1, place=position(east_m=3_000.0 * number)),
                time_ns=time.time_ns(),
            )
            for number in (1, 2)
        ]
        station.store.ingest([arrival(one, number + 1) for number, one in enumerate(looks)])
        settled = station.store.settle(station.picture.next_revision())
        station.picture.note_contacts(list(settled.contacts), list(settled.removed))
        contact = station.store.contact("c-uav07-s1-eo.t2")
        assert contact is not None
        station.review.decide(contact, "confirmed", account="ana", version=0, utc_ns=time.time_ns())
        numbers = set()
        end_s = time.monotonic() + LIMIT_S
        seen: set[str] = set()
        while time.monotonic() < end_s and not {"AIS_VESSEL", "STATUSTEXT", "HEARTBEAT"} <= seen:
            message = listener.recv_match(blocking=True, timeout=1.0)
            if message is not None:
                seen.add(message.get_type())
                if message.get_type() == "AIS_VESSEL":
                    numbers.add(message.MMSI)
        assert numbers == {vessel_number("c-uav07-s1-eo.t2")}
        assert not any("is not told" in one for one in station.problems())


@pytest.mark.slow
def test_a_ground_station_that_calls_is_answered_where_it_is(tmp_path: Path) -> None:
    with ExitStack() as stack:
        caller = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        caller.settimeout(0.2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        told = _config(f"udpin:127.0.0.1:{port}")
        station = start_ground(msgspec.structs.replace(ground_config(tmp_path), mavlink_out=(told,)))
        stack.callback(station.stop)
        end_s = time.monotonic() + LIMIT_S
        heard = b""
        while not heard and time.monotonic() < end_s:
            caller.sendto(b"\xfd", ("127.0.0.1", port))
            try:
                heard = caller.recv(2_048)
            except TimeoutError:
                continue
        assert _read([heard])[0].get_type() == "HEARTBEAT"


@pytest.mark.parametrize("wrong", ["file:x.tlog", "ws://x:1", "udpout:"])
def test_connections_that_hear_nothing_are_refused(wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="connection"):
        _config(wrong)
