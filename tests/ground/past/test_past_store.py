"""The memory of movements: thinned, kept once, found by time, forgotten in time."""

from pathlib import Path

from ground.past.notes import STEP_NS, PastNotes
from ground.past.store import PastStore
from ground.picture.live import PlatformState
from skywarden.messages import FrameInfo, PlatformPose

_START_NS = 1_800_000_000_000_000_000
_RING = ((36.71, -3.43), (36.71, -3.42), (36.70, -3.42), (36.70, -3.43))


def _state(time_ns: int, latitude: float | None = 36.7) -> PlatformState:
    pose = PlatformPose(
        platform_id="kestrel",
        sortie_id="s1",
        time_ns=time_ns,
        received_ns=time_ns,
        latitude_deg=latitude,
        longitude_deg=-3.42,
        alt_hae_m=None,
        alt_msl_m=None,
        alt_rel_m=None,
        heading_deg=90.0,
        course_deg=None,
        speed_mps=None,
        climb_mps=None,
        q_ned_body=None,
    )
    frame = FrameInfo(
        platform_id="kestrel",
        sortie_id="s1",
        sensor_id="eo",
        frame_number=1,
        time_ns=time_ns,
        received_ns=time_ns,
        width_px=1000,
        height_px=800,
        footprint=_RING,
    )
    return PlatformState(platform_id="kestrel", pose=pose, frame=frame)


def test_a_platform_is_noted_once_in_two_seconds_and_never_without_a_place() -> None:
    notes = PastNotes()
    counts = [len(notes.take([_state(_START_NS + step * STEP_NS // 4)])[0]) for step in range(9)]
    assert counts == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert PastNotes().take([_state(_START_NS, None)])[0] == []
    assert len(PastNotes().take([_state(_START_NS, None)])[1]) == 1


def test_a_clock_that_was_set_back_begins_anew() -> None:
    notes = PastNotes()
    notes.take([_state(_START_NS)])
    assert len(notes.take([_state(_START_NS - 3_600_000_000_000)])[0]) == 1


def test_what_was_written_is_found_by_time_and_expires(tmp_path: Path) -> None:
    store = PastStore(tmp_path / "past.sqlite")
    try:
        assert store.span() is None
        notes = PastNotes()
        for step in range(50):
            store.write(*notes.take([_state(_START_NS + step * STEP_NS)]))
        store.write(*PastNotes().take([_state(_START_NS)]))  # twice is once
        last_ns = _START_NS + 49 * STEP_NS
        assert store.span() == (_START_NS, last_ns)
        assert len(store.poses(_START_NS, last_ns, 1000)) == 50
        newest = store.poses(_START_NS, last_ns, 3)
        assert [one.time_ns for one in newest] == [last_ns - 2 * STEP_NS, last_ns - STEP_NS, last_ns]
        found = store.footprints(_START_NS, last_ns, 1000, latitudes=(36.705, 40.0))
        assert len(found) == 50
        assert found[0].ring == _RING
        assert store.footprints(_START_NS, last_ns, 1000, latitudes=(37.0, 40.0)) == []
        assert store.footprints(_START_NS, last_ns, 1000, sortie_id="s2") == []
        assert sum(store.activity(_START_NS, last_ns + 1, 7)) == 50
        assert store.expire(_START_NS + 10 * STEP_NS) == 20
        assert len(store.poses(_START_NS, last_ns, 1000)) == 40
    finally:
        store.close()
