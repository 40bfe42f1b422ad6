"""A live view aboard: granted or refused with a reason, replaced, stopped, ended by itself."""

from pathlib import Path

import msgspec
import pytest

from edge.link.outbox import Outbox
from edge.looks.config import LooksConfig
from edge.triage.config import TriageConfig
from edge.triage.core import TriageCore
from skywarden.messages import Tasking, TaskingReceipt
from skywarden.wire import decode

T0 = 1_780_000_000_000_000_000
S = 1_000_000_000
WIDE = 5e6


def _ask(number: int, **options: object) -> Tasking:
    given = Tasking(
        tasking_id=f"live-{number:04}",
        platform_id="uav07",
        time_ns=T0 + number,
        expires_ns=T0 + 300 * S,
        kind="live_view",
        frames_per_s=1.0,
    )
    return msgspec.structs.replace(given, **options)


class _Aboard:
    def __init__(self, folder: Path, looks: LooksConfig | None = None) -> None:
        self.outbox = Outbox(folder / "outbox.sqlite", "uav07")
        self.core = TriageCore(
            TriageConfig(), "uav07", self.outbox, folder, looks=looks, sensors=("eo", "ir")
        )

    def hears(self, *asked: Tasking, at_s: float = 1.0) -> list[tuple[str, str, str]]:
        """Which receipts follow: id, state and words."""
        for one in asked:
            self.core.on_tasking(one)
        told = [decode("receipt", body) for _, _, body in self.core.tend(T0 + int(at_s * S))]
        return [(one.tasking_id, one.state, one.text) for one in told if isinstance(one, TaskingReceipt)]

    def live(self, rate: float = WIDE) -> dict[str, bool]:
        """Which cameras look live."""
        orders = self.core.control(None, 0, rate).looks
        return {name: order.is_live for name, order in orders.items()}

    def close(self) -> None:
        self.core.close()
        self.outbox.close()


def test_it_is_granted_and_ends_by_itself(tmp_path: Path) -> None:
    aboard = _Aboard(tmp_path)
    try:
        [(_, state, _)] = aboard.hears(_ask(1))
        assert state == "accepted"
        assert aboard.live() == {"eo": True, "ir": True}
        assert aboard.hears(_ask(1), at_s=2.0)[0][1] == "accepted", "asked again, answered again"
        assert aboard.hears(at_s=301.0)[0][1] == "done"
        assert aboard.live() == {"eo": False, "ir": False}
    finally:
        aboard.close()


def test_a_later_one_takes_its_place_and_a_stop_ends_it_at_once(tmp_path: Path) -> None:
    aboard = _Aboard(tmp_path)
    try:
        aboard.hears(_ask(1, sensor_id="ir"))
        told = aboard.hears(_ask(2, sensor_id="ir", frames_per_s=2.0))
        assert [(name, state) for name, state, _ in told] == [
            ("live-0002", "accepted"),
            ("live-0001", "done"),
        ]
        assert aboard.live() == {"eo": False, "ir": True}
        told = aboard.hears(_ask(3, frames_per_s=0.0))
        assert [(name, state) for name, state, _ in told] == [("live-0003", "done"), ("live-0002", "done")]
        assert aboard.live() == {"eo": False, "ir": False}
        assert aboard.hears(_ask(2, sensor_id="ir", frames_per_s=2.0))[0][1] == "done", "it stays ended"
    finally:
        aboard.close()


@pytest.mark.parametrize(
    ("asked", "looks", "says"),
    [
        (_ask(1, sensor_id="radar"), LooksConfig(), "there is no camera 'radar'; there are eo, ir"),
        (_ask(1), LooksConfig(live_share=0.0), "gives no live views"),
        (_ask(1), LooksConfig(live_longest_s=60.0), "a live view of 299 s; at most 60 s"),
        (_ask(1, expires_ns=T0), LooksConfig(), "it had expired"),
    ],
)
def test_why_it_is_refused_is_said(tmp_path: Path, asked: Tasking, looks: LooksConfig, says: str) -> None:
    aboard = _Aboard(tmp_path, looks)
    try:
        [(_, state, text)] = aboard.hears(asked)
        assert state == "refused"
        assert says in text
        assert not any(aboard.live().values())
    finally:
        aboard.close()


def test_a_link_too_thin_for_it_is_told_in_numbers(tmp_path: Path) -> None:
    aboard = _Aboard(tmp_path)
    try:
        assert aboard.core.why_no_live(900.0, 0.0) is None, "nobody asked"
        aboard.hears(_ask(1))
        assert aboard.core.why_no_live(WIDE, 5.0) is None
        assert aboard.core.why_no_live(900.0, 6.0) is None, "it may pass"
        why = aboard.core.why_no_live(900.0, 17.0)
        assert why is not None
        assert "0.9 kB/s" in why
        assert aboard.live(900.0) == {}
    finally:
        aboard.close()
