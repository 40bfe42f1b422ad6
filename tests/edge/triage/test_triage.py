"""What goes down first, pictures that fit the link, source frames while there is room."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edge.link.outbox import Outbox
from edge.triage.config import TriageConfig
from edge.triage.frame_ring import FrameNote, FrameRing, KeptSighting, find_kept
from edge.triage.ladder import Ladder
from edge.triage.worth import ALERT, HALF_LIFE_MS, PLAIN, Graded, Interest, Worth
from edge.vision.chips import cut_chip, cut_region, encode_within
from skywarden.messages import Chip, Sighting
from skywarden.wire import encode
from tests.samples import BEARING, EVERY, POSITION, SIGHTING


def _look(track: str = "t1", number: int = 1, **changes: object) -> Sighting:
    ids = {"sighting_id": f"s.eo.{track}.f{number}", "track_id": f"s.eo.{track}", "frame_number": number}
    return msgspec.structs.replace(SIGHTING, **(ids | changes))


def _chip() -> Chip:
    chip = EVERY["chip"]
    assert isinstance(chip, Chip)
    return chip


class _Wishes:
    """Follows and mutes by track."""

    def __init__(self, **tracks: Interest) -> None:
        self._tracks = tracks

    def interest_in(self, sighting: Sighting) -> Interest:
        return self._tracks.get(sighting.track_id.rpartition(".")[2], Interest())


def test_the_first_look_is_an_alert_and_further_ones_are_worth_less_and_less() -> None:
    ladder = Ladder(TriageConfig())
    worths = [ladder.judge(_look(number=number), 400, number * 0.5) for number in range(1, 6)]
    assert [one.priority for one in worths if one] == [ALERT, PLAIN, PLAIN, PLAIN, PLAIN]
    doublings = [one.doublings for one in worths if one]
    assert doublings == sorted(doublings, reverse=True)


def test_a_much_better_place_and_a_long_time_make_it_an_alert_again() -> None:
    ladder = Ladder(TriageConfig(repeat_s=30.0))
    sharp = msgspec.structs.replace(POSITION, ce90_m=2.0)
    assert [
        worth.priority
        for worth in (
            ladder.judge(_look(number=1), 400, 0.0),
            ladder.judge(_look(number=2, position=sharp), 400, 1.0),
            ladder.judge(_look(number=3, position=sharp), 400, 2.0),
            ladder.judge(_look(number=4, position=sharp), 400, 32.0),
        )
        if worth
    ] == [ALERT, ALERT, PLAIN, ALERT]


def test_class_score_place_and_interest_count() -> None:
    config = TriageConfig(class_value={"vessel": 4.0})
    wishes = _Wishes(liked=Interest(is_followed=True), dull=Interest(is_muted=True))
    ladder = Ladder(config, wishes)
    plain = ladder.judge(_look("a"), 400, 0.0)
    vessel = ladder.judge(_look("b", label="vessel"), 400, 0.0)
    doubtful = ladder.judge(_look("c", score=0.1), 400, 0.0)
    bearing = ladder.judge(_look("d", position=None, bearing=BEARING), 400, 0.0)
    liked = ladder.judge(_look("liked"), 400, 0.0)
    dull = ladder.judge(_look("dull"), 400, 0.0)
    assert plain
    assert vessel
    assert doubtful
    assert bearing
    assert liked
    assert dull
    assert vessel.doublings == pytest.approx(plain.doublings + 2.0)
    assert liked.doublings == pytest.approx(plain.doublings + 3.0)
    assert doubtful.doublings < plain.doublings
    assert bearing.doublings < plain.doublings
    assert dull.doublings == pytest.approx(plain.doublings - 6.0)
    assert dull.priority == PLAIN
    again = ladder.judge(_look("liked", 2), 400, 0.5)
    assert again
    assert again.priority == ALERT


def test_a_label_has_only_so_many_bytes_of_pictures_an_hour() -> None:
    ladder = Ladder(TriageConfig(picture_bytes_per_hour={"anomaly": 10_000}))
    chip = _chip()
    sent = []
    for number in range(4):
        look = _look(f"t{number}")
        ladder.judge(look, 400, 0.0)
        one = msgspec.structs.replace(chip, sighting_id=look.sighting_id)
        sent.append(ladder.judge(one, 4_000, 0.0) is not None)
    assert sent == [True, True, False, False]
    assert ladder.counts.pictures_over_quota == 2
    assert ladder.judge(one, 4_000, 3_600.0) is not None


def test_a_picture_below_the_floor_is_not_sent_on_its_own() -> None:
    ladder = Ladder(TriageConfig(picture_floor=-1.0), _Wishes(t1=Interest(is_muted=True)))
    ladder.judge(_look(), 400, 0.0)
    chip = msgspec.structs.replace(_chip(), sighting_id=_look().sighting_id)
    assert ladder.judge(chip, 4_000, 0.0) is None
    assert ladder.counts.pictures_held == 1


def test_pictures_fit_the_measured_rate_and_the_cap() -> None:
    ladder = Ladder(TriageConfig(picture_link_s=5.0, picture_min_bytes=1_500, picture_max_bytes=24_000))
    assert ladder.picture_bytes(None, 0) == 24_000
    assert ladder.picture_bytes(500.0, 0) == 2_250
    assert ladder.picture_bytes(5e6, 0) == 24_000
    assert ladder.picture_bytes(5e6, 1_000) == 4_750
    assert ladder.picture_bytes(10.0, 0) == 1_500


def test_the_outbox_orders_by_class_then_by_value_that_halves_with_time(tmp_path: Path) -> None:
    clock = _Clock()
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07", clock=clock)
    low, high = Worth(PLAIN, 0.0), Worth(PLAIN, 2.0)
    outbox.append_many([Graded.of("chip", 1, b"a", high), Graded.of("chip", 1, b"b", low)])
    clock.mono_ns += HALF_LIFE_MS * 1_500_000
    outbox.append_many([Graded.of("chip", 1, b"c", low)])
    clock.mono_ns += HALF_LIFE_MS * 1_000_000
    outbox.append_many([Graded.of("chip", 1, b"d", low), Graded.of("sighting", 1, b"e", Worth(ALERT))])
    assert [one.body for one in outbox.pending(10_000)] == [b"e", b"d", b"a", b"c", b"b"]
    outbox.close()


def test_rank_goes_on_after_a_restart_of_the_machine(tmp_path: Path) -> None:
    clock = _Clock()
    clock.mono_ns = 10**15
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07", clock=clock)
    outbox.append_many([("sighting", 1, b"old")])
    outbox.close()
    clock.mono_ns = 5
    outbox = Outbox(tmp_path / "outbox.sqlite", "uav07", clock=clock)
    outbox.append_many([("sighting", 1, b"new")])
    assert [one.body for one in outbox.pending(10_000)] == [b"new", b"old"]
    outbox.close()


class _Clock:
    def __init__(self) -> None:
        self.mono_ns = 1

    def utc_ns(self) -> int:
        return 1_780_000_000_000_000_000

    def monotonic_ns(self) -> int:
        return self.mono_ns


def _scene(width: int = 640, height: int = 480) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), dtype=np.uint8)


@pytest.mark.parametrize("max_bytes", [24_000, 6_000, 2_500, 1_500, 700])
def test_a_chip_fits_its_budget_and_its_box_still_fits_the_object(max_bytes: int) -> None:
    image = _scene()
    box = (299.5, 199.5, 399.5, 279.5)
    image[200:280, 300:400] = 255
    chip = cut_chip(image, box, sighting_id="s", platform_id="u", time_ns=1, max_bytes=max_bytes)
    assert len(chip.data) <= max_bytes
    shown = cv2.imdecode(np.frombuffer(chip.data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[:2] == (chip.height_px, chip.width_px)
    x0, y0, x1, y1 = (round(value) for value in chip.box_in_chip_px)
    assert shown[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1].mean() > 215


def test_more_bytes_never_give_a_smaller_picture() -> None:
    sizes = [encode_within(_scene(256, 256), limit).scale for limit in (1_000, 2_000, 4_000, 8_000, 16_000)]
    assert sizes == sorted(sizes)


@pytest.mark.slow
def test_a_region_has_the_pixels_of_the_source() -> None:
    image = _scene(2000, 1500)
    region = cut_region(image, (999.5, 699.5, 1199.5, 799.5), sighting_id="s", platform_id="u", time_ns=1)
    assert (region.width_px, region.height_px) == (600, 600)
    assert region.chip_id == "s.region"
    frame = cut_region(image, None, sighting_id="s", platform_id="u", time_ns=1)
    assert len(frame.data) <= 240_000
    assert frame.chip_id == "s.frame"


def _note(number: int, track: str = "t1") -> FrameNote:
    kept = KeptSighting(sighting_id=f"s.eo.{track}.f{number}", track_id=f"s.eo.{track}", box_px=(1, 2, 3, 4))
    return FrameNote(frame_number=number, time_ns=number, sightings=(kept,))


def test_the_ring_keeps_the_newest_frames_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    ring = FrameRing(tmp_path / "eo", max_bytes=10_000, min_free_bytes=0)
    for number in range(1, 11):
        assert ring.add(f"f{number:04}", b"j" * 1_800, _note(number))
    assert ring.held_bytes <= 10_000
    again = FrameRing(tmp_path / "eo", max_bytes=10_000, min_free_bytes=0)
    assert again.add("f0011", b"j" * 1_800, _note(11))
    assert find_kept(tmp_path, "s.eo.t1.f2", "s.eo.t2") is None
    exact = find_kept(tmp_path, "s.eo.t1.f11")
    assert exact is not None
    assert exact.is_exact
    near = find_kept(tmp_path, "s.eo.t1.f2")
    assert near is not None
    assert not near.is_exact
    assert near.sighting.sighting_id == f"s.eo.t1.f{near.time_ns}"


def test_a_disk_that_runs_low_keeps_no_frames_and_gives_room_back(tmp_path: Path) -> None:
    ring = FrameRing(tmp_path / "eo", max_bytes=10_000, min_free_bytes=0)
    assert ring.add("f0001", b"j" * 1_000, _note(1))
    full = FrameRing(tmp_path / "eo", max_bytes=10_000, min_free_bytes=2**60)
    assert not full.add("f0002", b"j" * 1_000, _note(2))
    assert full.fault is not None
    assert "free" in full.fault
    assert find_kept(tmp_path, "s.eo.t1.f1") is None


def test_hostile_notes_are_passed_over(tmp_path: Path) -> None:
    ring = FrameRing(tmp_path / "eo", max_bytes=10_000, min_free_bytes=0)
    ring.add("f0001", b"j" * 100, _note(1))
    (tmp_path / "eo" / "f0002.note").write_bytes(b"\xff" * 50)
    (tmp_path / "eo" / "f0002.jpg").write_bytes(b"x")
    assert find_kept(tmp_path, "s.eo.t1.f1") is not None
    assert find_kept(tmp_path, "s.eo.t9.f" + "9" * 100) is None


def test_a_sighting_is_never_refused() -> None:
    ladder = Ladder(TriageConfig(class_value={"anomaly": 1e-9}), _Wishes(t1=Interest(is_muted=True)))
    for number in range(1, 200):
        look = _look(number=number)
        assert ladder.judge(look, len(encode(look)), number) is not None
