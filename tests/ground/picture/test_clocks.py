"""Platforms whose clock is wrong: the station knows by how much, and when it leapt again."""

import json
import re
import urllib.request
from pathlib import Path

import pytest

from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from ground.cli import app
from ground.picture.clocks import ClockFile, NotedClock, clock_of
from skywarden import evidence
from skywarden.clock import SystemClock
from skywarden.link import keys
from skywarden.messages import ClockReport
from tests.ground.scenes import authorization, running_ground, until


class WrongClock(SystemClock):
    """A machine that is `ahead_s` ahead."""

    ahead_s = 0.0

    def utc_ns(self) -> int:
        return super().utc_ns() + round(self.ahead_s * 1e9)


def _report(offset_s: float, bound_s: float = 0.1) -> ClockReport:
    return ClockReport(
        platform_id="uav07", time_ns=1, offset_s=offset_s, bound_s=bound_s, round_trip_s=2 * bound_s
    )


def test_a_batch_that_came_before_it_was_sent_makes_a_report_doubtful() -> None:
    clock = clock_of(_report(offset_s=-5.0), 100.0)
    assert clock.differs
    same = clock.after_batch(5.2, 101.0)
    assert not same.is_doubtful
    assert same.delay_s(5.2) == pytest.approx(0.2)
    assert clock.after_batch(4.0, 101.0).is_doubtful
    assert clock.after_batch(3_600.0, 101.0).is_doubtful
    assert not clock.after_batch(65.0, 101.0).is_doubtful  # a slow link
    assert not clock_of(_report(offset_s=1.05), 0.0).differs


def test_the_clock_file_gives_back_what_was_noted_and_survives_junk(tmp_path: Path) -> None:
    file = ClockFile(tmp_path)
    assert file.read() == {}
    noted = NotedClock(platform_id="uav07", as_of_ns=5, offset_s=-1.5, bound_s=0.1)
    file.write([noted])
    assert file.read() == {"uav07": noted}
    (tmp_path / "clocks.json").write_bytes(b"[{]")
    assert file.read() == {}


@pytest.mark.slow
def test_a_wrong_clock_is_measured_aboard_and_shown_by_api_status_and_conditions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = WrongClock()
    clock.ahead_s = 3_600.0
    with running_ground(tmp_path) as ground:
        pair = keys.create_key_file(tmp_path / "link.key")
        signer = evidence.create_evidence_key(tmp_path / "link.evidence.key")
        ground.enrol("uav07", evidence.enrolment_line(pair, signer))
        outbox = Outbox(tmp_path / "outbox.sqlite", "uav07")
        config = LinkConfig(
            ground=ground.link_address, ground_public_key=ground.server_public_key, heartbeat_s=0.1
        )
        downlink = Downlink(config, outbox, pair, evidence_key=signer, clock=clock)
        downlink.start()
        try:
            until(lambda: any(one.clock is not None for one in ground.picture.platforms()), 30.0)
            request = urllib.request.Request(
                f"{ground.http_url}/api/v1/platforms", headers=dict([authorization(ground)])
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                (platform,) = json.load(answer)["items"]
            shown = platform["clock"]
            assert abs(shown["offset_s"] - 3_600.0) <= shown["bound_s"] + 0.001
            assert not shown["is_doubtful"]
            assert 0.0 <= platform["link"]["delay_s"] < 30.0
            (condition,) = [one for one in platform["health"] if one["component"] == "clock"]
            assert "ahead of this station's" in condition["text"]
            until(lambda: "uav07" in ClockFile(tmp_path / "ground").read(), 30.0)
            assert app(["status", "--state", str(tmp_path / "ground")], result_action="return_value") == 0
            said = capsys.readouterr().out  # within the bound, which a slow machine makes wide
            assert re.search(r"its clock minus this station's: \+3(600|599)\.", said)
            clock.ahead_s = -3_600.0
            until(lambda: _is_doubtful_or_told(ground.picture.platforms()[0].clock), 30.0)
        finally:
            downlink.stop()
            outbox.close()


def _is_doubtful_or_told(clock: object) -> bool:
    return bool(getattr(clock, "is_doubtful", False)) or getattr(clock, "offset_s", 0.0) < -3_000.0
