"""A ground station of the standard library alone, with plausible moving data, to look at the console.

It speaks the ground's HTTP API v1 and serves the built console beside it:

    python ground/console/dev/fake_ground.py --port 8080 [--exercise] [--contacts 5000] [--hostile]
"""

import argparse
import itertools
import json
import logging
import math
import queue
import random
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ground.console.dev.fake_review import FakeReview
from ground.console.dev.fake_watch import FakeWatch, verdict

Json = dict[str, Any]
LonLat = list[float]

DIST = Path(__file__).resolve().parent.parent / "dist"
ORIGIN: LonLat = [-3.4200, 36.7050]
METRES_PER_DEGREE = 111_195.0
TICK_S = 0.5
STATUS_PERIOD_S = 2.0
KEPT_EVENTS = 4000
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; worker-src 'self' blob:; manifest-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
HOSTILE_LABEL = "<img src=x onerror=\"document.title='owned'\"><b>vessel</b>"


def stamp(unix_s: float) -> str:
    """RFC 3339 UTC with microseconds."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def at(east_m: float, north_m: float) -> LonLat:
    """[lon, lat] of a point in metres east and north of the scene's origin."""
    scale = METRES_PER_DEGREE * math.cos(math.radians(ORIGIN[1]))
    return [round(ORIGIN[0] + east_m / scale, 7), round(ORIGIN[1] + north_m / METRES_PER_DEGREE, 7)]


def png(width: int, height: int, pixels: bytes) -> bytes:
    """An RGB image as PNG."""
    rows = b"".join(b"\0" + pixels[3 * width * y : 3 * width * (y + 1)] for y in range(height))

    def part(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    )


def _noise(seed: int) -> Any:
    """Smooth value noise in two dimensions, 0..1."""
    source = random.Random(seed)
    grid = [[source.random() for _ in range(64)] for _ in range(64)]

    def value(x: float, y: float) -> float:
        column, row = math.floor(x), math.floor(y)
        fx, fy = x - column, y - row
        fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
        a, b = grid[row % 64][column % 64], grid[row % 64][(column + 1) % 64]
        c, d = grid[(row + 1) % 64][column % 64], grid[(row + 1) % 64][(column + 1) % 64]
        return (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy

    return value


def chip_png(kind: str, seed: int, width: int = 160, height: int = 120) -> bytes:
    """A small drawing of a vessel on water, rows of plants, or a bright panel on grass."""
    noise, source = _noise(seed), random.Random(seed)
    turn = source.uniform(0, math.pi)
    length = source.uniform(20, 30)
    out = bytearray()
    for y in range(height):
        for x in range(width):
            dx, dy = x - width / 2, y - height / 2
            along = dx * math.cos(turn) + dy * math.sin(turn)
            across = -dx * math.sin(turn) + dy * math.cos(turn)
            grain = noise(x / 7, y / 4) * 0.6 + noise(x / 2, y / 2) * 0.4
            out += bytes(_chip_pixel(kind, along, across, grain, length))
    return png(width, height, bytes(out))


def _chip_pixel(kind: str, along: float, across: float, grain: float, length: float) -> tuple[int, int, int]:
    if kind == "vessel":
        half = 8.5 * min(1.0, max(0.0, (length - along) / 16))
        if abs(across) < half and -length < along < length:
            deck = 225 if abs(across) < half - 2 else 150
            return (deck, deck, deck - 8) if along < 4 or abs(across) > 3 else (90, 96, 104)
        if along < -length and abs(across) < 4 + (-length - along) * 0.22:
            return (132 + int(50 * grain), 158 + int(44 * grain), 172 + int(40 * grain))
        return (22 + int(26 * grain), 58 + int(34 * grain), 82 + int(40 * grain))
    soil = (104 + int(50 * grain), 96 + int(40 * grain), 66 + int(34 * grain))
    if kind == "plot":
        inside = abs(along) < 46 and abs(across) < 34
        if inside and (across % 9) < 5:
            return (48 + int(40 * grain), 96 + int(52 * grain), 42 + int(26 * grain))
        return soil if inside else (88 + int(44 * grain), 98 + int(38 * grain), 62 + int(30 * grain))
    if abs(along) < 15 and abs(across) < 11:
        return (232, 231, 224)
    return (92 + int(52 * grain), 104 + int(46 * grain), 60 + int(36 * grain))


def hillshade_png(size: int = 220) -> bytes:
    """Shaded relief of invented hills."""
    noise = _noise(7)

    def height(x: float, y: float) -> float:
        u, v = x / size * 6, y / size * 6
        folds = 150 * noise(u, v) + 60 * noise(u * 2.3, v * 2.3) + 20 * noise(u * 5.1, v * 5.1)
        return float(folds * (1.15 - y / size))

    out = bytearray()
    for y in range(size):
        for x in range(size):
            slope_x = height(x + 1, y) - height(x - 1, y)
            slope_y = height(x, y + 1) - height(x, y - 1)
            shade = (0.72 - 0.05 * slope_x - 0.05 * slope_y) / math.sqrt(
                1 + 0.004 * (slope_x**2 + slope_y**2)
            )
            out += bytes([max(40, min(250, int(232 * shade)))] * 3)
    return png(size, size, bytes(out))


def coast() -> Json:
    """Land to the north of an invented shore, and two places with names."""
    noise = _noise(3)
    shore = [
        at(x, 260 + 420 * noise(x / 900 + 20, 0.5) + 120 * noise(x / 260 + 9, 3))
        for x in range(-9000, 9001, 120)
    ]
    ring = [*shore, at(9000, 9000), at(-9000, 9000), shore[0]]
    land = {
        "type": "Feature",
        "properties": {"name": "land"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    places = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Point", "coordinates": at(*where)},
        }
        for name, where in {"Harbour": (-900.0, 760.0), "Mirador": (1750.0, 1900.0)}.items()
    ]
    return {"type": "FeatureCollection", "features": [land, *places]}


class FakeGround:
    """Invented platforms, tracks and contacts that move with the clock; `tick` moves them once."""

    def __init__(
        self,
        *,
        contacts: int = 12,
        is_exercise: bool = False,
        hostile: bool = False,
        seed: int = 1,
        vessels: int = 9,
        watch: bool = True,
    ) -> None:
        self._source = random.Random(seed)
        self._lock = threading.RLock()
        self._started = time.time()
        self._listeners: set[queue.Queue[tuple[int, str, Json] | None]] = set()
        self._log: deque[tuple[int, str, Json]] = deque(maxlen=KEPT_EVENTS)
        self._revision = 1000
        self._numbers = itertools.count()
        self._chips: dict[str, tuple[str, int]] = {}
        self._trails: dict[str, deque[LonLat]] = {}
        self.is_exercise = is_exercise
        self.platforms: dict[str, Json] = {}
        self.contacts: dict[str, Json] = {}
        self.tracks: dict[str, Json] = {}
        self.sightings: dict[str, list[Json]] = {}
        self._movers: dict[str, tuple[float, float, float, float]] = {}
        self._silent: set[str] = set()
        self.notices: list[str] = []
        self.histories: dict[str, Json] = {}
        self.review = FakeReview(self.contacts, lambda: stamp(time.time()))
        self._fill(contacts, hostile)
        self.watch = FakeWatch(self.contacts, at, stamp, vessels)
        if watch:
            self.watch.fill(self._started)
        self.tick(publish=False)

    # -- invention ---------------------------------------------------------------------------------

    def _fill(self, count: int, hostile: bool) -> None:
        for index in range(count):
            kind = ("vessel", "vessel", "plot", "vessel", "anomaly", "plot")[index % 6]
            spread = 1.0 if count < 50 else 4.0
            east = self._source.uniform(-1900, 1900) * spread
            north = self._source.uniform(-1500, 120) * spread
            if kind != "vessel":
                east, north = (
                    self._source.uniform(700, 2300) * spread,
                    self._source.uniform(1100, 2400) * spread,
                )
            self._add_contact(index, kind, east, north)
        self._add_blind("c-bearing", "vessel", azimuth=214.0)
        self._add_blind("c-nowhere", "anomaly", azimuth=None)
        if hostile:
            self.contacts["c-0000"]["label"] = HOSTILE_LABEL
            for sighting in self.sightings["c-0000"]:
                sighting["label"] = HOSTILE_LABEL

    def _chip(self, kind: str) -> str:
        drawn = kind if kind in ("vessel", "plot") else "anomaly"
        seed = next(self._numbers) % 24
        self._chips[f"{drawn}-{seed}"] = (drawn, seed)
        return f"{drawn}-{seed}"

    def _add_contact(self, index: int, kind: str, east: float, north: float) -> None:
        contact_id = f"c-{index:04d}"
        speed = self._source.choice([0.0, 2.4, 5.1, 8.2]) if kind == "vessel" else 0.0
        course = self._source.uniform(0, 360)
        self._movers[contact_id] = (east, north, course, speed)
        platforms = ["SW-01", "SW-02"] if index % 4 == 0 else ["SW-01" if kind == "vessel" else "SW-02"]
        first = self._started - self._source.uniform(20, 1500)
        major = self._source.uniform(5, 46)
        contact: Json = {
            "contact_id": contact_id,
            "label": kind,
            "score": round(self._source.uniform(0.22, 0.97), 3),
            **_UNREVIEWED,
            "first_seen": stamp(first),
            "last_seen": stamp(self._started),
            "platform_ids": platforms,
            "track_ids": [f"{platform}-t{index}" for platform in platforms],
            "sighting_count": 4,
            "position": self._position(east, north, major, self._source.uniform(0, 180), kind),
            "bearing": None,
            "no_position_reason": None,
            "course_deg": round(course, 1) if speed else None,
            "speed_mps": speed or None,
            "best_chip_id": self._chip(kind),
            "model_id": "anomaly-local-1" if kind == "anomaly" else "yolox_nano_416",
            "is_exercise": self.is_exercise,
            "revision": self._revision,
        }
        self.contacts[contact_id] = contact
        self.sightings[contact_id] = [self._sighting(contact, first + 5 * n) for n in range(4)]

    def _add_blind(self, contact_id: str, label: str, azimuth: float | None) -> None:
        """A contact without a position: with a bearing, or with nothing but the reason."""
        reason = (
            "The ray passes above the horizon's limit: 1.2 degrees below level, at least 3 are needed."
            if azimuth is not None
            else "Telemetry was 4.2 s old when the frame was taken."
        )
        bearing = None
        if azimuth is not None:
            bearing = {
                "azimuth_deg": azimuth,
                "elevation_deg": -1.2,
                "sigma_deg": 1.4,
                "from": at(-700, -350),
            }
        contact: Json = {
            "contact_id": contact_id,
            "label": label,
            "score": 0.64 if azimuth else 0.31,
            **_UNREVIEWED,
            "first_seen": stamp(self._started - 75),
            "last_seen": stamp(self._started - 12),
            "platform_ids": ["SW-01"],
            "track_ids": [],
            "sighting_count": 2,
            "position": None,
            "bearing": bearing,
            "no_position_reason": reason,
            "course_deg": None,
            "speed_mps": None,
            "best_chip_id": self._chip(label) if azimuth else None,
            "model_id": "yolox_nano_416",
            "is_exercise": self.is_exercise,
            "revision": self._revision,
        }
        self.contacts[contact_id] = contact
        self.sightings[contact_id] = [self._sighting(contact, self._started - 12 - n) for n in range(2)]

    @staticmethod
    def _position(east: float, north: float, major: float, azimuth: float, kind: str) -> Json:
        longitude, latitude = at(east, north)
        minor = major * 0.45
        return {
            "latitude_deg": latitude,
            "longitude_deg": longitude,
            "alt_hae_m": 47.3 if kind == "vessel" else 231.0,
            "ce90_m": round((major + minor) / 2 * 1.05, 1),
            "le90_m": round(major * 0.3, 1),
            "surface": "sea" if kind == "vessel" else "terrain",
            "ellipse": {
                "semi_major_m": round(major, 1),
                "semi_minor_m": round(minor, 1),
                "azimuth_deg": round(azimuth, 1),
            },
        }

    def _sighting(self, contact: Json, unix_s: float) -> Json:
        number = next(self._numbers)
        platform = contact["platform_ids"][number % len(contact["platform_ids"])]
        return {
            "sighting_id": f"{platform}:s1:eo:{contact['contact_id']}:{number}",
            "contact_id": contact["contact_id"],
            "track_id": f"{platform}-t",
            "platform_id": platform,
            "sortie_id": f"s{1 + number % 2}",
            "sensor_id": "eo",
            "frame_number": 1200 + number,
            "time": stamp(unix_s),
            "received": stamp(unix_s + 0.4),
            "label": contact["label"],
            "score": contact["score"],
            "model_id": contact["model_id"],
            "box_px": [301.5, 212.0, 331.0, 240.0],
            "position": contact["position"],
            "bearing": contact["bearing"],
            "no_position_reason": contact["no_position_reason"],
            "slant_range_m": 412.7,
            "review": contact["review"],
            "is_preview": number % 7 == 3,
            "position_doubt": "gnss_disagree" if number % 11 == 5 else None,
            "chip_id": contact["best_chip_id"] and self._chip(contact["label"]),
            "is_exercise": self.is_exercise,
        }

    # -- motion ------------------------------------------------------------------------------------

    def tick(self, publish: bool = True) -> None:
        """Moves everything to now; what changed is told to whoever listens."""
        with self._lock:
            now = time.time()
            self._move_platform("SW-01", now, centre=(-450, -300), radius=620, height=118, period=150)
            self._move_platform("SW-02", now, centre=(1450, 1750), radius=420, height=176, period=-120)
            moving = [key for key, mover in self._movers.items() if mover[3] > 0]
            for key in moving[:400]:
                self._move_contact(key, now)
            self._move_tracks(now)
            if not publish:
                return
            for platform_id, platform in self.platforms.items():
                if platform_id not in self._silent:
                    self._tell("platform", platform)
            for track in self.tracks.values():
                self._tell("track", track)

    def _move_platform(
        self,
        platform_id: str,
        now: float,
        *,
        centre: tuple[float, float],
        radius: float,
        height: float,
        period: float,
    ) -> None:
        if platform_id in self._silent:
            return
        angle = 2 * math.pi * (now - self._started) / period
        east, north = centre[0] + radius * math.sin(angle), centre[1] + radius * math.cos(angle)
        longitude, latitude = at(east, north)
        turn = 90 if period > 0 else -90
        heading = (math.degrees(math.atan2(math.sin(angle), math.cos(angle))) + turn) % 360
        trail = self._trails.setdefault(platform_id, deque(maxlen=400))
        if not trail:
            for step in range(160, 0, -1):
                old = angle - step * 0.5 * 2 * math.pi / period
                trail.append(at(centre[0] + radius * math.sin(old), centre[1] + radius * math.cos(old)))
        trail.append([longitude, latitude])
        self.platforms[platform_id] = {
            "platform_id": platform_id,
            "sortie_id": f"{platform_id}-20261121-1",
            "last_heard": stamp(now),
            "age_s": 0.0,
            "link": {
                "records": int(4000 + (now - self._started) * 9),
                "duplicates": 3,
                "missing": 0 if platform_id == "SW-01" else 17,
                "last_seq": int(4020 + (now - self._started) * 9),
                "delay_s": 0.32 if platform_id == "SW-01" else 1.84,
                "bytes": int(1_900_000 + (now - self._started) * 4200),
            },
            "pose": self._pose(
                now, [longitude, latitude], height, heading, abs(2 * math.pi * radius / period)
            ),
            "frame": self._frame(now, east, north, heading, height),
            "health": self._health(platform_id, now),
            "trail": list(trail),
        }

    @staticmethod
    def _pose(now: float, place: LonLat, height: float, heading: float, speed: float) -> Json:
        return {
            "time": stamp(now - 0.3),
            "latitude_deg": place[1],
            "longitude_deg": place[0],
            "alt_hae_m": height + 52.4,
            "alt_msl_m": height + 3.1,
            "alt_rel_m": height,
            "heading_deg": round(heading, 1),
            "course_deg": round(heading, 1),
            "speed_mps": round(speed, 2),
            "climb_mps": round(0.4 * math.sin(now / 5), 2),
            "reason": None,
        }

    @staticmethod
    def _frame(now: float, east: float, north: float, heading: float, height: float) -> Json:
        ahead, wide = math.radians(heading), height * 1.5
        corners = [(-0.55, 1.9), (0.55, 1.9), (0.3, 0.75), (-0.3, 0.75)]
        ring = []
        for across, along in [*corners, corners[0]]:
            x = across * wide * 1.6
            y = along * wide
            ring.append(
                at(
                    east + x * math.cos(ahead) + y * math.sin(ahead),
                    north - x * math.sin(ahead) + y * math.cos(ahead),
                )
            )
        centre = at(east + 1.2 * wide * math.sin(ahead), north + 1.2 * wide * math.cos(ahead))
        return {
            "time": stamp(now - 0.4),
            "sensor_id": "eo",
            "frame_number": int(now * 10) % 100_000,
            "footprint": ring,
            "frame_centre": centre,
            "no_position_reason": None,
        }

    def _health(self, platform_id: str, now: float) -> list[Json]:
        since = stamp(self._started - 640)

        def condition(component: str, name: str, state: str, text: str, **values: float) -> Json:
            return {
                "component": component,
                "condition": name,
                "state": state,
                "text": text,
                "since": since,
                "time": stamp(now),
                "values": values,
            }

        rows = [
            condition(
                "mavlink", "link", "ok", "Heartbeat and attitude heard", heartbeat_hz=1.0, attitude_hz=10.0
            ),
            condition("vision", "rate", "ok", "Keeps up with the camera", fps=14.8, inference_ms=41.2),
            condition("outbox", "depth", "ok", "Everything was delivered", depth=2, oldest_s=0.4),
            condition("clock", "offset", "ok", "Follows the satellite time", offset_ms=3.1),
        ]
        if platform_id == "SW-02":
            rows.append(
                condition(
                    "camera.eo",
                    "stalled",
                    "degraded",
                    "12 of 300 frames were late; the stream was opened again.",
                )
            )
        return rows

    def _move_contact(self, contact_id: str, now: float) -> None:
        east, north, course, speed = self._movers[contact_id]
        passed = now - self._started
        east += speed * passed * math.sin(math.radians(course))
        north += speed * passed * math.cos(math.radians(course))
        contact = self.contacts[contact_id]
        due = int(now * 2) % 7 == hash(contact_id) % 7
        if not due:
            return
        ellipse = contact["position"]["ellipse"]
        moved = self._position(east, north, ellipse["semi_major_m"], ellipse["azimuth_deg"], contact["label"])
        self._revision += 1
        update = {
            **contact,
            "position": moved,
            "last_seen": stamp(now),
            "revision": self._revision,
            "sighting_count": contact["sighting_count"] + 1,
        }
        self.contacts[contact_id] = update
        sighting = self._sighting(update, now)
        self.sightings[contact_id].insert(0, sighting)
        del self.sightings[contact_id][200:]
        self._tell("contact", update)
        self._tell("sighting", sighting)

    def _move_tracks(self, now: float) -> None:
        for index, status in enumerate(("tentative", "confirmed", "coasting", "confirmed")):
            passed = now - self._started
            course = 35.0 + 80 * index
            speed = (0.0, 4.0, 3.0, 6.0)[index]
            way = [
                (
                    -1200 + 520 * index + speed * (passed - back) * math.sin(math.radians(course)),
                    -420 - 170 * index + speed * (passed - back) * math.cos(math.radians(course)),
                )
                for back in range(60, -1, -5)
            ]
            track_id = f"SW-01-t{90 + index}"
            self.tracks[track_id] = {
                "track_id": track_id,
                "platform_id": "SW-01",
                "sensor_id": "eo",
                "status": status,
                "label": "vessel",
                "score": 0.41 + 0.1 * index,
                "time": stamp(now - 0.4),
                "first": stamp(self._started - 40),
                "look_count": 3 + 6 * index,
                "position": self._position(*way[-1], 18, 20, "vessel"),
                "course_deg": course if speed else None,
                "speed_mps": speed or None,
                "contact_id": None,
                "trail": [at(*point) for point in way],
            }

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self, name: str, body: Json) -> None:
        self._revision += 1
        event = (self._revision, name, body)
        self._log.append(event)
        for listener in self._listeners:
            if not listener.full():
                listener.put_nowait(event)

    def status(self) -> Json:
        """The body of /api/v1/status."""
        with self._lock:
            return {
                "version": "0.1.0",
                "now": stamp(time.time()),
                "is_exercise": self.is_exercise,
                "revision": self._revision,
                "started": stamp(self._started),
                "counts": {
                    "platforms": len(self.platforms),
                    "contacts": len(self.contacts),
                    "sightings": sum(len(kept) for kept in self.sightings.values()),
                    "chips": len(self._chips),
                },
                "notices": self.notices,
            }

    def send_status(self) -> None:
        """Tells everybody the status, as the ground does every 2 s."""
        with self._lock:
            self._tell("status", self.status())

    def silence(self, platform_id: str) -> None:
        """From now on this platform is not heard any more."""
        with self._lock:
            self._silent.add(platform_id)

    def add_contact(self, contact_id: str, label: str) -> None:
        """A new contact, told to everybody."""
        with self._lock:
            self._add_contact(9000 + len(self.contacts), label, 300.0, -500.0)
            made = self.contacts.popitem()[1]
            self.sightings[contact_id] = self.sightings.popitem()[1]
            self._movers.popitem()
            for sighting in self.sightings[contact_id]:
                sighting["contact_id"] = contact_id
            self.contacts[contact_id] = {**made, "contact_id": contact_id, "first_seen": stamp(time.time())}
            self._tell("contact", self.contacts[contact_id])

    def remove_contact(self, contact_id: str) -> None:
        """Forgets a contact without a word; only a resync shows that it is gone."""
        with self._lock:
            for kept in (self.contacts, self.sightings, self._movers):
                kept.pop(contact_id, None)

    def demand_resync(self) -> None:
        """Tells everybody to load the whole picture again."""
        with self._lock:
            self._tell("resync", {})

    def listen(
        self, last: int | None
    ) -> tuple[queue.Queue[tuple[int, str, Json] | None], list[tuple[int, str, Json]]]:
        """A queue of what comes, and what came since revision `last`."""
        with self._lock:
            listener: queue.Queue[tuple[int, str, Json] | None] = queue.Queue(maxsize=KEPT_EVENTS)
            self._listeners.add(listener)
            missed = [event for event in self._log if last is not None and event[0] > last]
            return listener, missed

    def hang_up(self) -> None:
        """Closes every live feed."""
        with self._lock:
            for listener in self._listeners:
                listener.queue.clear()
                listener.put_nowait(None)

    def leave(self, listener: "queue.Queue[tuple[int, str, Json] | None]") -> None:
        """The listener went away."""
        with self._lock:
            self._listeners.discard(listener)

    # -- answers -----------------------------------------------------------------------------------

    def answer(self, path: str, query: dict[str, list[str]]) -> Json | None:
        """The JSON body for a path below /api/v1/, or None when there is none."""
        with self._lock:
            simple: dict[str, Callable[[], Json]] = {
                "status": self.status,
                "platforms": lambda: {"items": list(self.platforms.values())},
                "tracks": lambda: {"items": list(self.tracks.values())},
                "layers": lambda: {"items": _LAYERS},
                "layers/coast.geojson": coast,
                "taskings": lambda: {"items": []},
                "looks": lambda: {"items": [], "live": []},
                "plots": lambda: _PLOTS,
            }
            if path in simple:
                return simple[path]()
            if path == "contacts":
                limit, offset = int(query.get("limit", ["100"])[0]), int(query.get("offset", ["0"])[0])
                newest = sorted(self.contacts.values(), key=lambda item: str(item["last_seen"]), reverse=True)
                page = newest[offset : offset + limit]
                return {"items": page, "number_matched": len(newest), "number_returned": len(page)}
            found = self.watch.answer(path, query, time.time(), self._started) or self._beside(path)
            if found is not None:
                return found
            contact = self.contacts.get(path.removeprefix("contacts/"))
            if contact is not None:
                return {**contact, "sightings": self.sightings[contact["contact_id"]][:200]}
            return None

    def _beside(self, path: str) -> Json | None:
        """What is asked about one contact or one chip beside itself."""
        folder, _, rest = path.partition("/")
        key, _, what = rest.partition("/")
        if folder == "chips" and what == "box":
            return _BOX
        if folder != "contacts":
            return None
        if what == "history":
            return self.histories.get(key, _NOTHING)
        if key not in self.contacts:
            return None
        if what == "ais":
            return verdict(self.watch.word_of(key))
        return self.review.view(key) if what == "review" else None

    def post(self, path: str, given: Json) -> tuple[int, Json]:
        """Status and body for a POST below /api/v1/; what changed is told to everybody."""
        with self._lock:
            if path == "taskings":
                return 201, {
                    **given,
                    "tasking_id": "ask-1",
                    "state": "waiting",
                    "text": "",
                    "asked_by": "maria",
                }
            if path.startswith("alerts/"):
                return self._act_on_alert(path, given)
            status, body, changed = self.review.post(path, given)
            for key in changed:
                self._tell("contact", self.contacts[key])
            return status, body

    def _act_on_alert(self, path: str, given: Json) -> tuple[int, Json]:
        _, alert_id, deed = path.split("/")
        kind = {"acknowledge": "acknowledged", "escalate": "escalated", "comments": "commented"}[deed]
        status, body = self.watch.act(alert_id, kind, "maria", given.get("text", ""), time.time())
        if status == 200:
            self._tell("alert", body)
        return status, body

    def fire(self, contact_id: str, rule_id: str, zone_id: str | None) -> Json:
        """A rule holds now; everybody is told."""
        with self._lock:
            alert = self.watch.fire(contact_id, rule_id, zone_id, time.time())
            self._tell("alert", alert)
            return alert

    def acknowledge_as(self, account: str, alert_id: str) -> None:
        """Somebody else takes note, and this page does not hear of it yet."""
        with self._lock:
            self.watch.act(alert_id, "acknowledged", account, "", time.time())

    def merge(self, gone: str, heir: str) -> None:
        """Two contacts turn out to be one."""
        with self._lock:
            event = {"kind": "merged", "time": stamp(time.time()), "before": [gone, heir], "after": [heir]}
            self.histories[gone] = {"contact_ids": [heir], "events": [event]}
            self.remove_contact(gone)
            self._tell("resync", {})

    def decide_as(self, account: str, contact_id: str, decision: str, *, tells: bool = True) -> None:
        """Somebody else decides; `tells` whether this page hears of it at once."""
        with self._lock:
            self.review.decide([contact_id], decision, account)
            if tells:
                self._tell("contact", self.contacts[contact_id])

    def image(self, path: str) -> bytes | None:
        """The picture for a path below /api/v1/, or None when there is none."""
        if path == "layers/hillshade.png":
            return _HILLSHADE
        kind, seed = self._chips.get(path.removeprefix("chips/"), (None, 0))
        return None if kind is None else _cached_chip(kind, seed)


_NOTHING: Json = {"contact_ids": [], "events": []}
_BOX: Json = {
    "chip_id": "chip",
    "sighting_id": "sighting",
    "width_px": 160,
    "height_px": 120,
    "box_in_chip_px": [48.0, 38.0, 112.0, 82.0],
}
_UNREVIEWED: Json = {
    "review": "unreviewed",
    "review_version": 0,
    "review_was": None,
    "reviewed_by": None,
    "new_tracks": 0,
    "assignee": None,
}


def _plot(name: str, east: float, north: float, half: float, *, is_complete: bool) -> Json:
    ring = [at(east + x * half, north + y * half) for x, y in ((-1, -1), (1.2, -0.8), (1, 1), (-0.8, 1.1))]
    area = 4.0 * half * half
    return {
        "type": "Feature",
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {
            "label": "plot",
            "area_m2": area,
            "area_90_m2": [0.93 * area, 1.08 * area],
            "is_complete": is_complete,
            "review": "unreviewed",
        },
    }


_PLOTS: Json = {
    "type": "FeatureCollection",
    "features": [
        _plot("SW-02.p1", 1250, 1500, 90, is_complete=True),
        _plot("SW-02.p2", 1750, 2050, 60, is_complete=False),
    ],
}
_LAYERS = [
    {"name": "coast", "title": "Coast", "kind": "geojson", "url": "/api/v1/layers/coast.geojson",
     "coordinates": None, "style": {"role": "land"}},
    {"name": "hillshade", "title": "Relief", "kind": "image", "url": "/api/v1/layers/hillshade.png",
     "coordinates": [at(-600, 4200), at(4200, 4200), at(4200, 900), at(-600, 900)],
     "style": {"role": "hillshade"}},
]  # fmt: skip
_HILLSHADE = hillshade_png()
_CHIPS: dict[tuple[str, int], bytes] = {}


def _cached_chip(kind: str, seed: int) -> bytes:
    if (kind, seed) not in _CHIPS:
        _CHIPS[kind, seed] = chip_png(kind, seed)
    return _CHIPS[kind, seed]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, format: str, *args: object) -> None:
        logging.getLogger("fake_ground").debug(format, *args)

    def do_GET(self) -> None:
        """Answers the API, the live feed and the files of the console."""
        self.server.requested.append(self.path)
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if self.server.is_down and path.startswith("/api/"):
            self._send(503, b'{"error": "down"}', "application/json")
        elif path == "/api/v1/session":
            self._session()
        elif not self.server.is_signed_in and path.startswith("/api/"):
            self._send(401, b'{"error": "sign in first"}', "application/json")
        elif path == "/api/v1/live":
            self._live()
        elif path.startswith("/api/v1/"):
            self._api(path.removeprefix("/api/v1/"), parse_qs(parts.query))
        else:
            self._file(path)

    def do_POST(self) -> None:
        """Signs anybody in whose password is not "wrong"; review and requests of those who are in."""
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        path = unquote(urlsplit(self.path).path).removeprefix("/api/v1/")
        if not path.startswith("session"):
            status, body = self.server.ground.post(path, given)
            self._send(status, json.dumps(body).encode(), "application/json")
            return
        if given.get("password") == "wrong":
            self._send(401, b'{"error": "the name or the password is wrong"}', "application/json")
            return
        self.server.is_signed_in = True
        self._session()

    def do_PUT(self) -> None:
        """Keeps a zone or a rule."""
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        path = unquote(urlsplit(self.path).path).removeprefix("/api/v1/")
        status, body = self.server.ground.watch.put(path, given)
        self._send(status, json.dumps(body).encode(), "application/json")

    def do_DELETE(self) -> None:
        """Drops a zone or a rule; signs out."""
        path = unquote(urlsplit(self.path).path).removeprefix("/api/v1/")
        if path != "session":
            status, body = self.server.ground.watch.delete(path)
            self._send(status, b"" if status == 204 else json.dumps(body).encode(), "application/json")
            return
        self.server.is_signed_in = False
        self._session()

    def _session(self) -> None:
        nobody: Json = {"account": None, "role": None, "permissions": [], "token": None, "expires": None}
        somebody: Json = {
            "account": "maria",
            "role": "operator",
            "permissions": ["review", "see_contacts", "see_details", "see_picture", "task_platforms"],
            "token": "token",
            "expires": stamp(time.time() + 3_600),
        }
        body = {**(somebody if self.server.is_signed_in else nobody), "is_new": False}
        self._send(200, json.dumps(body).encode(), "application/json")

    def _api(self, path: str, query: dict[str, list[str]]) -> None:
        image = self.server.ground.image(path)
        if image is not None:
            self._send(200, image, "image/png", cache="public, max-age=31536000, immutable")
            return
        body = self.server.ground.answer(path, query)
        if body is None:
            self._send(404, b'{"error": "There is nothing here."}', "application/json")
        else:
            self._send(200, json.dumps(body).encode(), "application/json")

    def _live(self) -> None:
        last = self.headers.get("Last-Event-ID", "")
        listener, missed = self.server.ground.listen(int(last) if last.isdigit() else None)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.wfile.write(b": hello\n\n")
            for event in missed:
                self._event(event)
            while not self.server.is_closing:
                try:
                    waiting = listener.get(timeout=1.0)
                except queue.Empty:
                    continue
                if waiting is None:
                    break
                self._event(waiting)
        except OSError:
            pass
        finally:
            self.server.ground.leave(listener)
            self.close_connection = True

    def _event(self, event: tuple[int, str, Json]) -> None:
        revision, name, body = event
        self.wfile.write(f"id: {revision}\nevent: {name}\ndata: {json.dumps(body)}\n\n".encode())
        self.wfile.flush()

    def _file(self, path: str) -> None:
        file = (DIST / ("index.html" if path == "/" else path.lstrip("/"))).resolve()
        if not file.is_relative_to(DIST) or not file.is_file():
            self._send(404, b"There is nothing here.", "text/plain")
            return
        self._send(200, file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def _send(self, code: int, body: bytes, kind: str, cache: str = "no-store") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", cache)
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Serves a `FakeGround` on 127.0.0.1; `requested` keeps every path that was asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, ground: FakeGround, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.ground = ground
        self.requested: list[str] = []
        self.is_down = False
        self.is_signed_in = True
        self.is_closing = False
        self._stop = threading.Event()
        self._workers = [
            threading.Thread(target=self.serve_forever, name="fake-ground-http", daemon=True),
            threading.Thread(target=self._move, name="fake-ground-motion", daemon=True),
        ]

    @property
    def address(self) -> str:
        """Where the console is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def start(self) -> None:
        """Begins to serve and to move."""
        for thread in self._workers:
            thread.start()

    def close(self) -> None:
        """Stops within a second or two."""
        self.is_closing = True
        self._stop.set()
        self.ground.hang_up()
        self.shutdown()
        self.server_close()
        for thread in self._workers:
            thread.join(timeout=5)

    def go_down(self) -> None:
        """The API answers 503 and the live feeds end."""
        self.is_down = True
        self.ground.hang_up()

    def end_session(self) -> None:
        """The page's session ends, and its live feed with it."""
        self.is_signed_in = False
        self.ground.hang_up()

    def come_back(self) -> None:
        """The API answers again."""
        self.is_down = False

    def _move(self) -> None:
        beats = 0
        while not self._stop.wait(TICK_S):
            self.ground.tick()
            beats += 1
            if beats % int(STATUS_PERIOD_S / TICK_S) == 0:
                self.ground.send_status()


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(description="A fake ground station for looking at the console.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--contacts", type=int, default=12)
    parser.add_argument("--vessels", type=int, default=9)
    parser.add_argument("--exercise", action="store_true")
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    ground = FakeGround(
        contacts=options.contacts,
        is_exercise=options.exercise,
        hostile=options.hostile,
        vessels=options.vessels,
    )
    server = Server(ground, options.port)
    server.start()
    logging.getLogger("fake_ground").info("The console is at %s (Ctrl-C ends it)", server.address)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.close()


if __name__ == "__main__":
    main()
