"""Which conditions hold now: begins and ends become Health messages, repeats only refresh what is known."""

from collections.abc import Mapping

import msgspec

from skywarden.messages import Health, HealthState


class ConditionBoard:
    """The conditions of one platform; a plain object that is handed time."""

    def __init__(self, platform_id: str) -> None:
        self._platform_id = platform_id
        self._current: dict[tuple[str, str], Health] = {}

    def begin(
        self,
        component: str,
        condition: str,
        state: HealthState,
        text: str,
        time_ns: int,
        values: Mapping[str, float] | None = None,
    ) -> Health | None:
        """Note that a condition holds; the message to send when it is new or changed, else `None`."""
        before = self._current.get((component, condition))
        health = Health(
            platform_id=self._platform_id,
            component=component,
            condition=condition,
            state=state,
            time_ns=time_ns,
            since_ns=before.since_ns if before else time_ns,
            text=text[:512],
            values=dict(values or {}),
        )
        self._current[component, condition] = health
        return health if before is None or before.state != state else None

    def end(self, component: str, condition: str, time_ns: int, text: str = "") -> Health | None:
        """Note that a condition ended; the closing message, or `None` when it did not hold."""
        before = self._current.pop((component, condition), None)
        if before is None:
            return None
        return msgspec.structs.replace(before, state="ok", time_ns=time_ns, text=text[:512] or "ended")

    def set(
        self,
        holds: bool,
        component: str,
        condition: str,
        state: HealthState,
        text: str,
        time_ns: int,
        values: Mapping[str, float] | None = None,
    ) -> Health | None:
        """`begin` when `holds`, else `end`."""
        if holds:
            return self.begin(component, condition, state, text, time_ns, values)
        return self.end(component, condition, time_ns)

    def current(self) -> list[Health]:
        """What holds now, in a fixed order."""
        return [self._current[key] for key in sorted(self._current)]

    @property
    def worst(self) -> HealthState:
        """The worst state of what holds now."""
        states = {health.state for health in self._current.values()}
        return "failed" if "failed" in states else "degraded" if "degraded" in states else "ok"
