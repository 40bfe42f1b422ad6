"""Who else is told: TAK clients and servers, ground stations that speak MAVLink."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.core import Metric

from ground.mavlink_out.worker import MavlinkOut, start_mavlink_out
from ground.station.desks import Desks
from ground.station.memory import Foundation, Memory
from ground.station.radio import Radio
from ground.station.watches import Watches
from ground.tak.start import TakFeeds, start_tak


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """Feeds of the picture to programs of others; only what may leave goes there."""

    tak: TakFeeds
    mavlink_out: tuple[MavlinkOut, ...]

    def metrics(self) -> Iterable[Metric]:
        """For Prometheus."""
        yield from self.tak.metrics()


def start_neighbours(
    base: Foundation, memory: Memory, radio: Radio, desks: Desks, watches: Watches
) -> Neighbours:
    """The feeds that the settings name; their problems are the station's."""
    tak = start_tak(
        base.state_dir,
        base.config.tak,
        memory.store,
        memory.picture,
        desks.review,
        watches.ais,
        base.clock,
        base.parts.add,
        base.mark,
    )
    radio.problems.others.append(tak.problems)
    tellers = start_mavlink_out(
        base.config.mavlink_out,
        memory.store,
        memory.picture,
        desks.review,
        base.clock,
        base.parts.add,
        base.mark,
    )
    radio.problems.others += [one.problems for one in tellers]
    return Neighbours(tak=tak, mavlink_out=tuple(tellers))
