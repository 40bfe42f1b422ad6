"""Puts the alerts of a station together: file, engine, live picture, AIS, the pilot's ground station."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ground.ais.board import judged_together
from ground.ais.watch import AisWatch
from ground.alerts.config import AlertsConfig
from ground.alerts.desk import AlertDesk, AlertWatch, Tell
from ground.alerts.log import AlertLog
from ground.alerts.pilot_text import PilotText
from ground.fusion.contact import Contact
from ground.picture.live import LivePicture
from ground.store.reading import StoreReader
from skywarden.clock import Clock

Add = Callable[[str, Callable[[], None]], None]
"""Takes a part's name and how to end it; what was added last ends first."""


def alerts_path(state_dir: Path) -> Path:
    """Where zones, rules and alerts lie."""
    return state_dir / "alerts.sqlite"


def start_alerts(
    state_dir: Path,
    config: AlertsConfig,
    store: StoreReader,
    picture: LivePicture,
    clock: Clock,
    ais: AisWatch | None,
    add: Add,
) -> tuple[AlertDesk, Callable[[], list[str]]]:
    """The desk, watching the picture; and its problems in sentences, for the station's readiness."""
    log = AlertLog(alerts_path(state_dir))
    add("alert log", log.close)
    pilot = PilotText(config.pilot) if config.pilot else None
    if pilot is not None:
        add("pilot's ground station", pilot.close)
    tell: list[Tell] = [picture.note_alert]

    def words(contacts: Sequence[Contact]) -> dict[str, tuple[str, ...]]:
        assert ais is not None
        return {
            name: (verdict.word,)
            for found in judged_together(ais, store, contacts)
            for name, verdict in found.items()
        }

    desk = AlertDesk(
        log,
        clock,
        ais=words if ais is not None else None,
        tell=tell,
        to_pilot=pilot.tell if pilot is not None else None,
    )
    watch = AlertWatch(desk, picture, store)
    add("alerts", watch.stop)
    watch.start()
    return desk, lambda: [] if watch.is_alive else ["alerts are not judged: their thread has ended"]
