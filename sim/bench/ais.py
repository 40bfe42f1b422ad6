"""Speed of AIS on one core: sentences to reports, and all the way into the picture, the ears learning beside.

The opponent is pyais on the same sentences. Judged by processor time, rounds in turn: machines are shared.
"""

import statistics
import time
from typing import Any

import pyais

from ground.ais.book import VesselBook
from ground.ais.hearing import HearingModel, Receiver
from ground.ais.sources import SourceReader
from skywarden.ais.compose import compose_sentences
from skywarden.ais.fields import Value
from skywarden.ais.reports import read_report
from skywarden.ais.sentences import SentenceReader

GOAL_PER_S = 50_000.0
ROUNDS = 7
VESSELS = 400
SWEEPS = 20
START_NS = 1_763_000_000_000_000_000


def sentences(vessels: int = VESSELS, sweeps: int = SWEEPS) -> list[bytes]:
    """A busy sea: seven in ten class A, the others B; one message in fifty says a name."""
    lines: list[bytes] = []
    for sweep in range(sweeps):
        for number in range(vessels):
            kind = 1 if number % 10 < 7 else 18
            place: dict[str, Value] = {
                "lat": 36.0 + 0.002 * number,
                "lon": -6.0 + 0.001 * number + 0.001 * sweep,
            }
            mmsi = f"{201_000_000 + number * 1_000}"
            motion: dict[str, Value] = {
                "speed": 10.0 + number % 7,
                "course": float(number % 360),
                "second": sweep * 10 % 60,
            }
            lines += compose_sentences(place | motion | {"type": kind, "mmsi": mmsi})
            if (number + sweep) % 50 == 0:
                name: dict[str, Value] = {
                    "type": 24,
                    "mmsi": mmsi,
                    "partno": 0,
                    "shipname": f"VESSEL {number}",
                }
                lines += compose_sentences(name)
    return lines


def decode_ours(lines: list[bytes]) -> int:
    """Sentences to reports."""
    reader, count = SentenceReader(), 0
    for line in lines:
        heard = reader.take(line, START_NS)
        if heard is not None:
            count += len(read_report(heard))
    return count


def decode_pyais(lines: list[bytes]) -> int:
    """The same by pyais, to dictionaries."""
    return sum(bool(pyais.decode(line).asdict()) for line in lines)


def whole_way(lines: list[bytes], sweeps: int = SWEEPS) -> int:
    """Bytes of a socket to the book of vessels, each sweep ten seconds after the last."""
    hearing = HearingModel(Receiver(latitude_deg=36.0, longitude_deg=-6.0, height_m=60.0))
    book, reader = VesselBook(hearing), SourceReader("nmea")
    size = (len(lines) + sweeps - 1) // sweeps
    for sweep in range(sweeps):
        data = b"\r\n".join(lines[sweep * size : (sweep + 1) * size]) + b"\r\n"
        for report in reader.feed("peer", data, START_NS + sweep * 10_000_000_000):
            book.add(report)
    return book.reports


def run() -> dict[str, Any]:
    """Sentences a second of processor time: medians of interleaved rounds."""
    lines = sentences()
    ways = {"decode": decode_ours, "whole": whole_way, "pyais": decode_pyais}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.process_time()
            way(lines)
            rates[name].append(len(lines) / (time.process_time() - began))
    found = {f"{name}_per_s": statistics.median(one) for name, one in rates.items()}
    return {
        **found,
        "ratio": found["decode_per_s"] / found["pyais_per_s"],
        "goal_per_s": GOAL_PER_S,
        "sentences": len(lines),
    }
