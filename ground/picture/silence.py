"""Which platforms have fallen silent, in words: since when, and what that means for what they see."""

from collections.abc import Iterable
from datetime import UTC, datetime

from ground.picture.live import PlatformState

SILENT_S = 15.0
"""The link's heartbeat comes every second."""
FORGOTTEN_S = 1_800.0
"""A platform that has been silent so long has landed, or somebody knows."""


def silent_platforms(platforms: Iterable[PlatformState], now_s: float, now_ns: int) -> dict[str, str]:
    """By platform, a sentence on its silence; monotonic seconds and UTC ns.

    Only platforms that this run of the station has heard count, for half an hour.
    """
    found = {}
    for state in platforms:
        age_s = state.age_s(now_s, now_ns)
        if state.heard_s is None or age_s is None or not SILENT_S < age_s < FORGOTTEN_S:
            continue
        since = datetime.fromtimestamp((now_ns / 1e9) - age_s, UTC)
        waiting = f"; {state.link.pending} records waited aboard then" if state.link.pending else ""
        found[state.platform_id] = (
            f"{state.platform_id} has been silent since {since:%H:%M:%S} UTC ({age_s:.0f} s): its link is "
            f"lost or it is switched off{waiting}; what it sees meanwhile comes when it is back"
        )
    return found
