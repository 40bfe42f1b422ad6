"""Operators' requests: durable, sent until answered, answered once, over real links and restarts."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.link.outbox import Outbox
from edge.triage.config import TriageConfig
from edge.triage.core import TriageCore
from edge.triage.frame_ring import FrameNote, FrameRing, KeptSighting
from edge.triage.requests import State, is_inside
from ground.link.tasking import MAX_WAITING, Kind, TaskingDesk
from skywarden.errors import InputError, StoreError, WireError
from skywarden.messages import Ack, Chip, Tasking, TaskingReceipt
from skywarden.wire import decode
from tests.samples import SIGHTING

NS = 1_780_000_000_000_000_000
S = 1_000_000_000


def _ask(desk: TaskingDesk, kind: Kind = "follow", **changes: Any) -> Tasking:
    fixed: dict[str, Any] = {
        "asked_by": "maria",
        "utc_ns": NS,
        "lifetime_s": 600.0,
        "sighting_id": SIGHTING.sighting_id,
    }
    return desk.ask("uav07", kind, **(fixed | changes)).tasking


def _receipt(tasking: Tasking, state: State = "accepted") -> TaskingReceipt:
    return TaskingReceipt(tasking_id=tasking.tasking_id, platform_id="uav07", time_ns=NS, state=state)


def _core(folder: Path, outbox: Outbox, frames_max_bytes: int = 1_000_000) -> TriageCore:
    config = TriageConfig(frames_min_free_bytes=0, frames_max_bytes=frames_max_bytes)
    return TriageCore(config, "uav07", outbox, folder)


def _receipts(outbox: Outbox, entries: list[tuple[str, int, bytes]]) -> list[TaskingReceipt]:
    outbox.append_many(entries)
    found = [decode(topic, body) for topic, _, body in entries if topic == "receipt"]
    return [one for one in found if isinstance(one, TaskingReceipt)]


def _answers(core: TriageCore, outbox: Outbox, tasking: Tasking, utc_ns: int = NS) -> list[TaskingReceipt]:
    core.on_tasking(tasking)
    entries = core.tend(utc_ns)
    assert core.settle(60.0), "no receipt in time"
    return _receipts(outbox, entries or core.tend(utc_ns))


def _keep_frame(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 3), dtype=np.uint8)
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert ok
    kept = KeptSighting(
        sighting_id=SIGHTING.sighting_id, track_id=SIGHTING.track_id, box_px=(500.0, 400.0, 640.0, 460.0)
    )
    ring = FrameRing(folder / "frames" / "eo", max_bytes=10_000_000, min_free_bytes=0)
    assert ring.add("s.eo.f12", data.tobytes(), FrameNote(frame_number=12, time_ns=NS, sightings=(kept,)))


def test_an_unanswered_request_is_sent_again_only_while_its_platform_is_heard(tmp_path: Path) -> None:
    desk = TaskingDesk(tmp_path / "taskings.sqlite")
    tasking = _ask(desk)
    assert desk.due(lambda _: False, NS, 0.0) == []
    assert desk.due(lambda _: True, NS, 1.0) == [tasking]
    assert desk.due(lambda _: True, NS, 3.9) == []
    assert desk.due(lambda _: True, NS, 4.1) == [tasking]
    assert desk.due(lambda _: False, NS, 5.0) == []
    assert desk.due(lambda _: True, NS, 5.1) == [tasking]  # it is back: at once
    assert desk.note_receipt("uav07", _receipt(tasking), NS + 1)
    assert desk.due(lambda _: True, NS, 999.0) == []
    desk.close()


def test_a_receipt_counts_only_from_the_platform_that_was_asked_and_the_last_word_stays(
    tmp_path: Path,
) -> None:
    desk = TaskingDesk(tmp_path / "taskings.sqlite")
    tasking = _ask(desk)
    assert not desk.note_receipt("uav99", _receipt(tasking, "refused"), NS)
    assert desk.note_receipt("uav07", _receipt(tasking, "done"), NS)
    assert not desk.note_receipt("uav07", _receipt(tasking, "accepted"), NS)
    found = desk.get(tasking.tasking_id)
    assert found is not None
    assert found.state == "done"
    desk.close()


def test_requests_survive_a_restart_of_the_station_and_expire(tmp_path: Path) -> None:
    desk = TaskingDesk(tmp_path / "taskings.sqlite")
    tasking = _ask(desk)
    desk.close()
    desk = TaskingDesk(tmp_path / "taskings.sqlite")
    assert desk.due(lambda _: True, NS, 0.0) == [tasking]
    assert desk.due(lambda _: True, NS + 601 * S, 100.0) == []
    assert [one.state for one in desk.newest()] == ["expired"]
    desk.close()


def test_the_same_id_is_one_request_and_too_many_are_refused(tmp_path: Path) -> None:
    desk = TaskingDesk(tmp_path / "taskings.sqlite")
    assert _ask(desk, tasking_id="one") == _ask(desk, tasking_id="one", utc_ns=NS + 5)
    for _ in range(MAX_WAITING - 1):
        _ask(desk)
    with pytest.raises(InputError, match="wait for uav07"):
        _ask(desk)
    with pytest.raises(InputError, match="lifetime"):
        _ask(desk, lifetime_s=0.0)
    with pytest.raises(WireError):
        _ask(desk, sighting_id="<script>")
    desk.close()


def test_another_program_s_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "taskings.sqlite").write_bytes(b"not a database at all, but longer than a header " * 20)
    with pytest.raises(StoreError):
        TaskingDesk(tmp_path / "taskings.sqlite")


def test_a_region_comes_in_the_pixels_of_the_source_and_is_done_when_the_ground_has_it(
    tmp_path: Path,
) -> None:
    _keep_frame(tmp_path)
    desk = TaskingDesk(tmp_path / "ground" / "taskings.sqlite")
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
    core = _core(tmp_path, outbox)
    tasking = _ask(desk, "full_resolution")
    (accepted,) = _answers(core, outbox, tasking)
    assert accepted.state == "accepted"
    assert "420x420" in accepted.text
    waiting = {one.topic: one for one in outbox.pending(1_000_000)}
    chip = decode("chip", waiting["chip"].body)
    assert isinstance(chip, Chip)
    assert (chip.chip_id, chip.width_px) == (f"{SIGHTING.sighting_id}.region", 420)
    assert core.tend(NS) == []
    assert [one.state for one in _answers(core, outbox, tasking)] == [
        "accepted"
    ]  # asked again: no second picture
    assert sum(one.topic == "chip" for one in outbox.pending(1_000_000, limit_records=50)) == 1
    _acknowledge_all(outbox)
    (done,) = _receipts(outbox, core.tend(NS + S))
    assert done.state == "done"
    assert [one.state for one in _answers(core, outbox, tasking)] == ["done"]
    outbox.close()
    desk.close()


def _acknowledge_all(outbox: Outbox) -> None:
    outbox.acknowledge(
        Ack(platform_id="uav07", boot_id=outbox.boot_id, contiguous_seq=outbox.state().last_seq)
    )


def test_a_picture_that_is_not_kept_is_refused_with_the_reason(tmp_path: Path) -> None:
    desk = TaskingDesk(tmp_path / "ground" / "taskings.sqlite")
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
    (refused,) = _answers(_core(tmp_path, outbox), outbox, _ask(desk, "full_resolution"))
    assert (refused.state, refused.text) == ("refused", "the source frame is not kept (any more)")
    blind = _core(tmp_path, outbox, frames_max_bytes=0)
    (refused,) = _answers(blind, outbox, _ask(desk, "full_resolution"))
    assert "keeps no source frames" in refused.text
    outbox.close()
    desk.close()


def test_what_stays_in_force_survives_a_restart_of_the_platform_and_ends_in_time(tmp_path: Path) -> None:
    desk = TaskingDesk(tmp_path / "ground" / "taskings.sqlite")
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
    core = _core(tmp_path, outbox)
    around = ((-36.0, 149.0), (-36.0, 150.0), (-35.0, 150.0), (-35.0, 149.0))
    asked = [
        _ask(desk, "threshold", label="vessel", score=0.7),
        _ask(desk, "threshold", score=0.2, label=None),
        _ask(desk, "mute_area", area=around),
    ]
    assert [one.state for task in asked for one in _answers(core, outbox, task)] == ["accepted"] * 3
    core = _core(tmp_path, outbox)
    assert core.control(None, 0).min_scores == {"vessel": 0.7, "": 0.2}
    assert core.book.interest_in(SIGHTING).is_muted
    _answers(core, outbox, _ask(desk, "follow"))
    interest = core.book.interest_in(SIGHTING)
    assert interest.is_followed
    assert not interest.is_muted
    assert {one.state for one in _receipts(outbox, core.tend(NS + 601 * S))} == {"done"}
    assert core.control(None, 0).min_scores == {}
    assert not core.book.interest_in(SIGHTING).is_followed
    outbox.close()
    desk.close()


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("threshold", {}, "needs a score"),
        ("mute_area", {"area": ((0.0, 0.0), (0.0, 1.0))}, "area of 2 corners"),
        ("follow", {"sighting_id": None}, "needs a sighting or a label"),
        ("full_resolution", {"sighting_id": None}, "needs a sighting"),
        ("follow", {"utc_ns": NS - 700 * S}, "expired 100 s before"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_words(
    tmp_path: Path, kind: Kind, changes: dict[str, object], words: str
) -> None:
    desk = TaskingDesk(tmp_path / "ground" / "taskings.sqlite")
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
    (refused,) = _answers(_core(tmp_path, outbox), outbox, _ask(desk, kind, **changes))
    assert refused.state == "refused"
    assert words in refused.text
    outbox.close()
    desk.close()


def test_a_book_that_cannot_be_read_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "requests.msgpack").write_bytes(b"\xc1\xff\x00")
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
    assert len(_core(tmp_path, outbox).book) == 0
    outbox.close()


def test_inside_a_polygon_also_across_180() -> None:
    square = ((-1.0, 179.0), (-1.0, -179.0), (1.0, -179.0), (1.0, 179.0))
    assert is_inside((0.0, 179.9), square)
    assert is_inside((0.0, -179.9), square)
    assert not is_inside((0.0, 178.9), square)
    assert not is_inside((2.0, 180.0), square)
