"""Whether the system holds this program back: a quota of processor time, or a computer that is too hot.

A throttled platform sees less without any part of it failing, so it has to be said. `ThrottleWatch` is handed
counters and time; `read_counters` fetches them (Linux: control groups of version 1 and 2, and the firmware of
a Raspberry Pi). A counter that a system does not have is left out.
"""

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_FIRMWARE = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
_FIRMWARE_NOW = {0: "too little voltage", 1: "clock capped", 2: "throttled", 3: "too hot"}
_LOOK_S = 1.0
_BEGINS_SHARE, _ENDS_SHARE = 0.2, 0.05
_CALM_S = 3.0


@dataclass(frozen=True, slots=True)
class ThrottleCounters:
    """Periods of the quota so far, those in which we were stopped, and what the firmware complains of now."""

    periods: int = 0
    throttled: int = 0
    firmware: tuple[str, ...] = ()


class ThrottleWatch:
    """Says in words why the program is held back, from within about a second until 3 s after."""

    def __init__(self) -> None:
        self._before: ThrottleCounters | None = None
        self._looked_s = -math.inf
        self._text: str | None = None
        self._held_back_s = -math.inf

    def look(self, counters: ThrottleCounters, now_s: float) -> str | None:
        """The reason as of now, `None` when nothing holds us back; monotonic seconds."""
        if now_s - self._looked_s < _LOOK_S:
            return self._text
        before, self._before, self._looked_s = self._before, counters, now_s
        periods = counters.periods - before.periods if before is not None else 0
        share = (
            (counters.throttled - before.throttled) / periods if before is not None and periods > 0 else 0.0
        )
        if counters.firmware:
            self._text, self._held_back_s = f"the computer says: {', '.join(counters.firmware)}", now_s
        elif share >= (_BEGINS_SHARE if self._text is None else _ENDS_SHARE):
            self._text = f"out of its quota of processor time in {100 * share:.0f} % of the time"
            self._held_back_s = now_s
        elif now_s - self._held_back_s > _CALM_S:
            self._text = None
        return self._text


def read_counters() -> ThrottleCounters:
    """The counters of this process as of now."""
    periods, throttled = 0, 0
    for folder in _own_groups():
        with contextlib.suppress(OSError, ValueError):
            lines = (folder / "cpu.stat").read_text(encoding="ascii").split("\n")
            found = dict(line.split(" ", 1) for line in lines if " " in line)
            if int(found.get("nr_periods", "0")) > periods:
                periods, throttled = int(found["nr_periods"]), int(found.get("nr_throttled", "0"))
    return ThrottleCounters(periods, throttled, _firmware())


def _own_groups() -> list[Path]:
    """The folders of our control groups that may know of processor time."""
    folders = []
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds:
                folders += [_GROUPS / path.lstrip("/"), _GROUPS / "unified" / path.lstrip("/")]
            elif "cpu" in kinds.split(","):
                folders += [_GROUPS / name / path.lstrip("/") for name in (kinds, "cpu", "cpu,cpuacct")]
    return folders


def _firmware() -> tuple[str, ...]:
    try:
        bits = int(_FIRMWARE.read_text(encoding="ascii").strip(), 16)
    except (OSError, ValueError):
        return ()
    return tuple(text for bit, text in _FIRMWARE_NOW.items() if bits >> bit & 1)
