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


def _ingest(intake: Figures) -> str:
    return (
        f"*Intake*: a bare `recv` took {intake['raw_us']:.2f} us of processor, the whole of it "
        f"{intake['intake_us']:.0f} us, of which decoding with every check {intake['decode_us']:.1f} and "
        f"leaf and chain {intake['proof_us']:.1f}: these two alone are more than the goal leaves for all. "
        "The rest is the tables (duplicates by number and by id, time, track, place) and their sync. "
        "Signatures come by batch and are not in it."
    )


def _wire(on_wire: Figures) -> str:
    return (
        "*On the wire*: encoding, CURVE, decoding and checking, both ends together. CURVE alone is "
        f"{on_wire['curve_ratio_1']:.2f} times bare pyzmq with one sighting a batch and "
        f"{on_wire['curve_ratio_50']:.2f} times with 50; with 50 a bare sighting costs "
        f"{on_wire['raw_us_50']:.1f} us and ours {on_wire['cost_us_50']:.1f}, nearly all of it decoding each "
        "one by itself. Where a reply takes 150 ms, gathering brings "
        f"{on_wire['batches_a_look_at_once']:.2f} batches a look down to "
        f"{on_wire['batches_a_look_gathered']:.2f}; for it an alert waits "
        f"{on_wire['alert_wait_ms_gathered']:.0f} ms."
    )


NOTES: dict[str, Callable[[Figures], str]] = {"chain": _chain, "ingest": _ingest, "wire": _wire}
"""Name of a bench: what there is to say of its figures."""
