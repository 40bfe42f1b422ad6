"""What it costs the ground to take sightings in and to find them again, against bare pyzmq and bare SQLite.

Intake: one sighting a message from another process; received, decoded, hashed into its chain, checked for
duplicates, committed with `synchronous=FULL` and indexed by place; against the same messages only received.
Signatures and contacts are not in it: they come by batch and by track. Costs are CPU time of the process.
"""

import contextlib
import itertools
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import msgspec
import numpy as np
import zmq

from ground.store import spatial
from ground.store.arrivals import Arrival, judged
from ground.store.commits import INSERT_RECORD, INSERT_SIGHTING
from ground.store.schema import open_for_reading, open_for_writing
from ground.store.sqlite import SqliteStore
from sim.faults.nodes import NoContacts
from skywarden import evidence
from skywarden.messages import Position, Sighting
from skywarden.wire import Entry, Record, decode, decode_entry, encode, encode_entry

ROUNDS = 4
MESSAGES = 8_000
COMMIT_MESSAGES = 2_000
COMMIT_S = 0.25
PLACES = 1_000_000
_PLACE = (47.0, 8.0)
START_NS = 1_790_000_000_000_000_000
SIDES_DEG = (0.01, 0.05, 0.2, 0.5, 1.0, 3.0)
BOXES_A_SIDE = 60


def run() -> dict[str, Any]:
    """Intake, insertion and questions."""
    with tempfile.TemporaryDirectory() as folder:
        found = {**_intake(Path(folder)), **_insertion(Path(folder)), **_questions(Path(folder))}
    return {**found, "goal_intake": 0.20, "goal_insert": 4.0, "goal_p99_ms": 10.0, "goal_scan": 50.0}


def entry(number: int, latitude_deg: float, longitude_deg: float) -> bytes:
    """One sighting as a record on the wire."""
    sighting = made_sighting(number, latitude_deg, longitude_deg)
    return encode_entry(Entry(seq=number, topic="sighting", time_ns=sighting.time_ns, body=encode(sighting)))


def made_sighting(number: int, latitude_deg: float, longitude_deg: float) -> Sighting:
    """A sighting with everything that one usually has."""
    track, frame = number % 50, number // 50
    return Sighting(
        sighting_id=f"20260921T120000Z_uav07.eo.t{track}.f{frame}",
        track_id=f"20260921T120000Z_uav07.eo.t{track}",
        platform_id="uav07",
        sortie_id="20260921T120000Z_uav07",
        sensor_id="eo",
        frame_number=frame,
        time_ns=START_NS + number * 1_000_000,
        label="person",
        score=0.75,
        model_id="detector-0123456789ab",
        box_px=(670.0, 32.0, 684.0, 46.0),
        position=Position(
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            alt_hae_m=602.5,
            covariance_enu_m2=(9.0, 0.5, 0.0, 4.0, 0.0, 2.25),
            ce90_m=5.6,
            le90_m=2.5,
            surface="terrain",
        ),
        bearing=None,
        no_position_reason=None,
        slant_range_m=101.5,
        platform_position=(47.0, 8.0, 702.0),
        size_m=(1.1, 1.1),
    )


def _intake(folder: Path) -> dict[str, Any]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PULL)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    total = 2 * ROUNDS * MESSAGES
    arguments = [sys.executable, "-m", "sim.bench.ingest", str(port), str(total)]
    sender = subprocess.Popen(arguments)
    store = SqliteStore(folder / "intake.sqlite", NoContacts())
    raw, whole, lags = [], [], []
    numbers = itertools.count(1)
    try:
        socket.recv()  # it sends
        for _ in range(ROUNDS):
            raw.append(_cost(lambda: [socket.recv() for _ in range(MESSAGES)]))
            whole.append(_cost(lambda: lags.append(_take_in(socket, store, numbers))))
        stored = store.counts().sightings
    finally:
        sender.kill()
        sender.wait()
        store.close()
        context.destroy(linger=0)
    if stored != ROUNDS * MESSAGES:
        raise RuntimeError(f"{stored} sightings are stored of {ROUNDS * MESSAGES}")
    return {
        **_parts(folder),
        "raw_us": median(raw) / MESSAGES * 1e6,
        "intake_us": median(whole) / MESSAGES * 1e6,
        "intake_ratio": median(one / other for one, other in zip(raw, whole, strict=True)),
        "durability_lag_s": max(lags),
    }


def _parts(folder: Path) -> dict[str, Any]:
    """What each part costs a sighting by itself, the best of some rounds; what is left of the whole is the
    Python between them."""
    messages = [entry(number, *_PLACE) for number in range(1, COMMIT_MESSAGES + 1)]
    arrivals = [_arrival(data, number) for number, data in enumerate(messages, 1)]

    def check() -> None:
        for data in messages:
            one = decode_entry(data)
            decode(one.topic, one.body)

    def prove() -> None:
        chain = bytes(32)
        for arrival in arrivals:
            chain = evidence.chain_next(chain, arrival.leaf)

    costs: dict[str, list[float]] = {}
    with contextlib.ExitStack() as ends:
        tables = ends.enter_context(contextlib.closing(open_for_writing(folder / "tables.sqlite")))
        blocks = ends.enter_context(contextlib.closing(open_for_writing(folder / "blocks.sqlite")))
        blocks.execute("CREATE TABLE blocks(block_key INTEGER PRIMARY KEY, bodies BLOB, columns BLOB)")
        for number in range(2 * ROUNDS):
            first = number * COMMIT_MESSAGES
            one = {"decode_us": _cost(check), "proof_us": _cost(prove), **_tables(tables, arrivals, first)}
            one["blocks_us"] = _cost(partial(_as_block, blocks, arrivals))
            for name, cost in one.items():
                costs.setdefault(name, []).append(cost)
    return {name: min(found) / COMMIT_MESSAGES * 1e6 for name, found in costs.items()}


def _tables(db: Any, arrivals: Sequence[Arrival], first: int) -> dict[str, float]:
    """One commit of rows that are ready: processor seconds of each table, of the places, and of the sync."""
    rows, sightings = [], []
    for number, arrival in enumerate(arrivals, first + 1):
        record, message = arrival.record, arrival.message
        assert isinstance(message, Sighting)
        times = record.time_ns, arrival.received_ns
        rows.append((number, 1, number, record.topic, *times, record.body, 0, 0, arrival.leaf, None))
        named = f"{message.sighting_id}.{first}", number % 50 + 1, message.label, message.score
        sightings.append((number, *named, message.time_ns + first, arrival.received_ns, *_PLACE))
    places = spatial.PlaceWriter(db)
    places_of = [(row[0], row[5], row[7], row[8]) for row in sightings]
    db.execute("BEGIN IMMEDIATE")
    return {
        "records_us": _cost(lambda: db.executemany(INSERT_RECORD, rows)),
        "sightings_us": _cost(lambda: db.executemany(INSERT_SIGHTING, sightings)),
        "places_us": _cost(lambda: places.add(places_of)),
        "sync_us": _cost(lambda: db.execute("COMMIT")),
    }


def _as_block(db: Any, arrivals: Sequence[Arrival]) -> None:
    """Not how it is done: bodies of a commit as one blob and the rest as columns beside it, ids in a set.

    It tells how far intake could come without a row for each sighting.
    """
    seen: set[str] = set()
    columns = []
    for arrival in arrivals:
        message = arrival.message
        assert isinstance(message, Sighting)
        assert message.position is not None
        seen.add(message.sighting_id)
        place = message.position
        columns.append((arrival.record.seq, message.time_ns, place.latitude_deg, place.longitude_deg))
    bodies = msgspec.msgpack.encode([(arrival.record.body, arrival.leaf) for arrival in arrivals])
    db.execute("BEGIN IMMEDIATE")
    values = (bodies, np.array(columns, dtype=spatial.ROW).tobytes())
    db.execute("INSERT INTO blocks(bodies, columns) VALUES (?, ?)", values)
    db.execute("COMMIT")


def _cost(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _take_in(socket: "zmq.Socket[bytes]", store: SqliteStore, numbers: Iterator[int]) -> float:
    """Take a round's messages in, commit by number or time; the longest from reception to commit, s."""
    lag, left = 0.0, MESSAGES
    while left:
        first_s = time.monotonic()
        arrivals: list[Arrival] = []
        while left and len(arrivals) < COMMIT_MESSAGES and time.monotonic() - first_s < COMMIT_S:
            arrivals.append(_arrival(socket.recv(), next(numbers)))
            left -= 1
        store.ingest(arrivals)
        lag = max(lag, time.monotonic() - first_s)
    return lag


def _arrival(data: bytes, seq: int) -> Arrival:
    """Numbers without gaps, as an outbox gives them: those of raw rounds were not taken in."""
    one = decode_entry(data)
    record = Record(
        platform_id="uav07",
        boot_id="ab" * 16,
        seq=seq,
        topic=one.topic,
        time_ns=one.time_ns,
        body=one.body,
    )
    message, reason = judged(record)
    return Arrival(record=record, message=message, received_ns=one.time_ns, reason=reason)


def _insertion(folder: Path) -> dict[str, Any]:
    """Rows with the index of places, against rows with an R*Tree filled row by row."""
    chance = np.random.default_rng(2)
    rows = [
        (number, START_NS + number, *place)
        for number, place in enumerate(chance.uniform((46.0, 7.0), (48.0, 9.0), (20_000, 2)).tolist(), 1)
    ]
    ours, theirs = [], []
    for number in range(3):
        ours.append(_cost(partial(_insert, folder / f"blocks{number}.sqlite", rows, is_rtree=False)))
        theirs.append(_cost(partial(_insert, folder / f"rtree{number}.sqlite", rows, is_rtree=True)))
    return {
        "insert_us": median(ours) / len(rows) * 1e6,
        "insert_rtree_us": median(theirs) / len(rows) * 1e6,
        "insert_ratio": median(theirs) / median(ours),
    }


def _insert(path: Path, rows: Sequence[tuple[int, int, float, float]], *, is_rtree: bool) -> None:
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE seen(key INTEGER PRIMARY KEY, time_ns, latitude, longitude)")
    db.execute("CREATE VIRTUAL TABLE places USING rtree(key, west, east, south, north)")
    db.execute(spatial.TABLES)
    places = spatial.PlaceWriter(db)
    for start in range(0, len(rows), 1_000):
        part = rows[start : start + 1_000]
        db.execute("BEGIN")
        db.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", part)
        if is_rtree:
            for key, _, latitude, longitude in part:
                db.execute(
                    "INSERT INTO places VALUES (?, ?, ?, ?, ?)",
                    (key, longitude, longitude, latitude, latitude),
                )
        else:
            places.add(part)
        db.execute("COMMIT")
    db.close()


def _questions(folder: Path) -> dict[str, Any]:
    """A million sightings round 200 places; boxes of all sizes, each answer held against a mask of all."""
    path = folder / "million.sqlite"
    times, latitudes, longitudes = _fill(path)
    store = SqliteStore(path, NoContacts(), horizon_s=1e-9)
    scan = open_for_reading(path)
    chance = np.random.default_rng(3)
    costs: list[float] = []
    ratios: dict[float, list[float]] = {0.01: [], 0.05: []}
    wrong = 0
    try:
        for side in SIDES_DEG:
            for number in range(BOXES_A_SIDE):
                box = _box(chance, latitudes, longitudes, side)
                began = time.thread_time()
                found = store.places(box, 2_000)
                costs.append(time.thread_time() - began)
                if number < 10:
                    expected = _expected(box, times, latitudes, longitudes)
                    wrong += found.time_ns != times[expected].tolist()
                if side in ratios and number < 6:
                    ratios[side].append(_scan(scan, box) / costs[-1])
    finally:
        scan.close()
        store.close()
    p50, p99 = np.percentile(costs, [50, 99]) * 1e3
    return {
        "viewport_p50_ms": float(p50),
        "viewport_p99_ms": float(p99),
        "viewport_wrong": wrong,
        "scan_ratio": median(ratios[0.01]),
        "scan_ratio_5": median(ratios[0.05]),
    }


Column = np.ndarray[Any, np.dtype[Any]]


def _fill(path: Path) -> tuple[Column, Column, Column]:
    chance = np.random.default_rng(1)
    centres = chance.uniform((46.5, 7.5), (47.5, 8.5), (200, 2))
    which = np.repeat(chance.integers(0, 200, PLACES // 500), 500)
    latitudes, longitudes = (centres[which] + chance.normal(0.0, 0.02, (PLACES, 2))).T
    times = START_NS + np.arange(PLACES) * 10_000_000
    db = open_for_writing(path)

    def rows() -> Iterator[tuple[Any, ...]]:
        columns = zip(times.tolist(), latitudes.tolist(), longitudes.tolist(), strict=True)
        for key, (time_ns, latitude, longitude) in enumerate(columns, 1):
            track = f"t{key // 50}"
            yield (
                key,
                f"{track}.{key}",
                key // 50 + 1,
                "person",
                0.5,
                time_ns,
                time_ns,
                latitude,
                longitude,
            )

    db.execute("BEGIN")
    tracks = ((number + 1, f"t{number}", "uav07") for number in range(PLACES // 50 + 1))
    db.executemany("INSERT INTO tracks VALUES (?, ?, ?)", tracks)
    db.executemany("INSERT INTO sighting_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows())
    spatial.rebuild(db)
    db.execute("COMMIT")
    db.close()
    return times, latitudes, longitudes


def _box(chance: np.random.Generator, latitudes: Column, longitudes: Column, side: float) -> spatial.BBox:
    middle = int(chance.integers(0, len(latitudes)))
    north, east = chance.normal(0.0, side / 4, 2)
    latitude, longitude = float(latitudes[middle] + north), float(longitudes[middle] + east)
    return longitude - side / 2, latitude - side / 2, longitude + side / 2, latitude + side / 2


def _expected(box: spatial.BBox, times: Column, latitudes: Column, longitudes: Column) -> Column:
    west, south, east, north = box
    inside = (longitudes >= west) & (longitudes <= east) & (latitudes >= south) & (latitudes <= north)
    found = np.flatnonzero(inside)
    return found[np.argsort(times[found])[::-1][:2_000]]


def _scan(db: Any, box: spatial.BBox) -> float:
    west, south, east, north = box
    began = time.thread_time()
    db.execute(
        "SELECT sighting_id, time_ns FROM sighting_rows NOT INDEXED WHERE longitude_deg BETWEEN ? AND ? "
        "AND latitude_deg BETWEEN ? AND ? ORDER BY time_ns DESC LIMIT 2000",
        (west, east, south, north),
    ).fetchall()
    return time.thread_time() - began


def _send(port: int, count: int) -> None:
    """The other process: all messages, one sighting each, as fast as they are taken."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.connect(f"tcp://127.0.0.1:{port}")
    chance = np.random.default_rng(secrets.randbits(32))
    messages = [
        entry(number, *place)
        for number, place in enumerate(chance.uniform((46.0, 7.0), (48.0, 9.0), (count, 2)).tolist(), 1)
    ]
    socket.send(msgspec.msgpack.encode("begins"))
    for message in messages:
        socket.send(message)
    socket.close(linger=60_000)


if __name__ == "__main__":
    _send(int(sys.argv[1]), int(sys.argv[2]))
