"""What watches beside the people: AIS, and the alerts on zones and rules."""

from dataclasses import dataclass

from ground.ais.hearing import Receiver as AisReceiver
from ground.ais.store import AisStore, ais_path
from ground.ais.watch import AisWatch
from ground.alerts.desk import AlertDesk
from ground.alerts.start import start_alerts
from ground.past.start import start_past
from ground.past.store import PastStore
from ground.picture.live import LivePicture
from ground.station.memory import Foundation, Memory
from ground.station.radio import Radio


@dataclass(frozen=True, kw_only=True, slots=True)
class Watches:
    """What judges by itself and says so; a person decides."""

    ais: AisWatch
    alerts: AlertDesk
    past: PastStore


def start_watches(base: Foundation, memory: Memory, radio: Radio) -> Watches:
    """AIS, then the alerts that may ask it; their problems are the station's."""
    ais = _start_ais(base, memory.picture)
    radio.problems.others.append(ais.problems)
    alerts, alert_problems = start_alerts(
        base.state_dir, base.config.alerts, memory.store, memory.picture, base.clock, ais, base.parts.add
    )
    radio.problems.others.append(alert_problems)
    past = start_past(base, memory.picture)
    return Watches(ais=ais, alerts=alerts, past=past)


def _start_ais(base: Foundation, picture: LivePicture) -> AisWatch:
    """AIS: where carried receivers are, and where cameras look, is asked of the picture."""

    def place_of(platform_id: str) -> AisReceiver | None:
        state = picture.platform(platform_id)
        pose = state.pose if state is not None else None
        if pose is None or pose.latitude_deg is None or pose.longitude_deg is None:
            return None
        return AisReceiver(
            latitude_deg=pose.latitude_deg,
            longitude_deg=pose.longitude_deg,
            height_m=max(2.0, pose.alt_msl_m or pose.alt_rel_m or 2.0),
        )

    def footprints() -> list[tuple[int, tuple[tuple[float, float], ...]]]:
        frames = [one.frame for one in picture.platforms() if one.frame is not None]
        return [(frame.time_ns, frame.footprint) for frame in frames if frame.footprint]

    store = AisStore(ais_path(base.state_dir))
    try:
        ais = AisWatch(base.config.ais, store, base.clock, place_of=place_of, footprints=footprints)
    except BaseException:
        store.close()
        raise
    base.parts.add("ais", ais.stop)
    ais.start()
    return ais
