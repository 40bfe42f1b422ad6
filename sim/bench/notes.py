"""What the page of benchmarks says below its table: what was measured, and why what is missed is missed."""

from collections.abc import Callable
from typing import Any

Figures = dict[str, Any]


def all_notes(figures: Figures) -> list[str]:
    """The notes of those benches that there are figures of, in the order of `NOTES`."""
    return [note(figures[name]) for name, note in NOTES.items() if name in figures]


def _chain(chain: Figures) -> str:
    return (
        f"*Whole edge*: fitting, inference, reading {chain['max_detections']} boxes, pose from MAVLink, "
        "location with covariance, tracking, packing and sending to another process; decoding is not in "
        "it. *Frame to ground*: the same, and bus, durable outbox, encrypted link, ground receiver and "
        "store, all on this one machine, until the frame stands in the ground's live picture. The network "
        f"has random weights and the cost of a nano detector ({chain['bare_ms_640']:.0f} ms bare at 640 "
        "here, in one thread).\n\n"
        "What is missed is missed by the work beside inference: with 40 objects a frame about 4 ms for "
        "boxes, pose, location, tracks and messages, and 2 to 5 ms more through five threads to the ground."
    )


def _ingest(found: Figures) -> str:
    parts = ("records_us", "sightings_us", "places_us", "sync_us")
    tables = sum(found[name] for name in parts)
    checks = found["raw_us"] + found["decode_us"] + found["proof_us"]
    left = max(0.0, found["intake_us"] - checks - tables)
    ceiling = found["raw_us"] / (checks + found["blocks_us"])
    return (
        f"*Intake*, processor time of one sighting in us: all of it {found['intake_us']:.1f}. Each part by "
        f"itself, at its best: bare `recv` {found['raw_us']:.1f}; decoding with every check "
        f"{found['decode_us']:.1f}; leaf and chain (three SHA-256) {found['proof_us']:.1f}; rows of records, "
        f"with the index by number that tells duplicates, {found['records_us']:.1f}; rows of sightings, "
        f"with indexes by id (duplicates again), time and track, {found['sightings_us']:.1f}; places "
        f"{found['places_us']:.1f}; the log and its sync {found['sync_us']:.1f}; the rest, {left:.1f}, is "
        "the Python between them, and caches that are cold where the parts take turns. CURVE and signatures "
        "come by batch and are not in it.\n\n"
        f"Why the goal is missed: it leaves {5 * found['raw_us']:.1f} us for everything, and receiving, "
        f"decoding and proving are {checks:.1f} without any table. A store without a row for each sighting "
        "(bodies of a commit as one blob, columns beside it, ids in a set; made for this comparison only) "
        f"would cost {found['blocks_us']:.1f} instead of {tables:.1f} for the tables, and end at "
        f"{ceiling:.2f}: it would not reach the goal either, and reading, erasing and proving single records "
        "would all have to go through blocks. More takes decoding and hashing outside Python."
    )


def _wire(found: Figures) -> str:
    def parts(size: int) -> str:
        return (
            f"bare pyzmq {found[f'raw_us_{size}']:.1f}, CURVE {found[f'curve_us_{size}']:+.1f}, encoding "
            f"{found[f'encode_us_{size}']:+.1f}, decoding with every check {found[f'decode_us_{size}']:+.1f} "
            f"(msgspec alone {found[f'msgspec_us_{size}']:.1f})"
        )

    def floor(size: int) -> float:
        parts = ("raw", "curve", "encode", "msgspec")
        return float(sum(found[f"{part}_us_{size}"] for part in parts) / found[f"raw_us_{size}"])

    return (
        "*On the wire*, processor time of one sighting in us, both ends together: one a batch "
        f"{parts(1)}; 50 a batch {parts(50)}. Bare pyzmq moves the same bytes in the same batches and looks "
        "at none of them; with 50 a batch that is next to nothing, so that no validation of single sightings "
        "fits into half of it. With CURVE and msgspec alone, and none of our checks (sizes, versions, "
        f"names), it would be {floor(1):.2f} and {floor(50):.2f}. Delay is taken while the processors are "
        "kept awake. Where a reply takes "
        f"150 ms, gathering brings {found['batches_a_look_at_once']:.2f} batches a look down to "
        f"{found['batches_a_look_gathered']:.2f}; for it an alert waits "
        f"{found['alert_wait_ms_gathered']:.0f} ms."
    )


def _fusion(found: Figures) -> str:
    if "new_s" not in found:
        return ""
    times = ", ".join(f"{count}: {seconds:.2f} s" for count, seconds in found["new_s"].items())
    return (
        f"*Tracks that are new at once*, one settle, processor time: {times}. Before pairs were sorted out "
        "by whole columns and told apart only when groups ask, 1,000 took 3.8 times as long as now on the "
        "same crowded machine, and the time grew with the square of their number."
    )


NOTES: dict[str, Callable[[Figures], str]] = {
    "chain": _chain,
    "ingest": _ingest,
    "wire": _wire,
    "fusion": _fusion,
}
"""Name of a bench: what there is to say of its figures."""
