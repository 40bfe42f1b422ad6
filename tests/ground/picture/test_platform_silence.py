"""Who has fallen silent is told in words, while it is news."""

from ground.picture.live import LivePicture
from ground.picture.silence import silent_platforms

NOW_NS = 1_763_000_000_000_000_000


def test_a_platform_that_was_heard_and_is_heard_no_more_is_told_with_the_time_and_what_waited() -> None:
    picture = LivePicture(1)
    picture.note_traffic("uav07", now_s=100.0, received_ns=NOW_NS, sent_ns=NOW_NS, size=9, pending=12)
    picture.note_traffic("uav08", now_s=131.0, received_ns=NOW_NS, sent_ns=NOW_NS, size=9, pending=0)

    def told(now_s: float) -> dict[str, str]:
        return silent_platforms(picture.platforms(), now_s, NOW_NS + round((now_s - 100.0) * 1e9))

    assert told(114.0) == {}
    said = told(132.0)
    assert list(said) == ["uav07"]
    assert "uav07 has been silent since 02:13:20 UTC (32 s)" in said["uav07"]
    assert "12 records waited aboard" in said["uav07"]
    assert "uav07" not in told(2_000.0)
