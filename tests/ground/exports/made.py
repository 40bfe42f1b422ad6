"""A store in which something was confirmed, something rejected and something not looked at yet."""

from pathlib import Path

import numpy as np

from ground.ais.store import AisStore, Batch, ais_path
from ground.config import ContactsConfig
from ground.exports.source import ExportSource
from ground.fusion.book import ContactBook
from ground.review.desk import ReviewDesk
from ground.review.entries import Decision
from ground.review.log import ReviewLog, review_path
from ground.serve import store_path
from ground.store.sqlite import SqliteStore
from skywarden.ais.reports import PositionReport, StaticReport
from skywarden.messages import Message, Plot
from tests.ground.scenes import METRE_DEG, START_NS, arrival, chip, position, sighting

FORMULA = "=1+1;@vessel"
FAR_M = 3_000.0


class ExportScene:
    """Four contacts 3 km apart with three looks each: t0 confirmed, t1 rejected, t2 wants more, t3 open (its
    class is a spreadsheet's formula); a look without a place; a confirmed plot and an open one; AIS."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder
        store_path(folder).parent.mkdir(parents=True, exist_ok=True)
        self.store = SqliteStore(store_path(folder), ContactBook(ContactsConfig()))
        messages: list[Message] = []
        for index in range(4):
            for number in (1, 2, 3):
                look = sighting(
                    f"uav07-s1-eo.t{index}",
                    number,
                    at_s=index * 10 + number,
                    place=position(north_m=number, east_m=index * FAR_M, sigma_m=4.0 + index),
                    label="vessel" if index < 3 else FORMULA,
                    score=0.5 + 0.1 * index,
                )
                messages += [look, chip(look, 50)] if number == 1 else [look]
        messages += [sighting("uav07-s1-eo.t9", 1, at_s=60), plot("uav07-s1-eo.p1"), plot("uav07-s1-eo.p2")]
        self.store.ingest([arrival(one, number + 1) for number, one in enumerate(messages)])
        self.store.settle(1)
        self.desk = ReviewDesk(ReviewLog(review_path(folder)), self.store)
        decisions: tuple[Decision, ...] = ("confirmed", "rejected", "more")
        for index, decision in enumerate(decisions):
            contact = self.store.contact(f"c-uav07-s1-eo.t{index}")
            assert contact is not None
            self.desk.decide(contact, decision, account="ana", version=0, utc_ns=START_NS)
        self.confirm_plot("uav07-s1-eo.p1")
        self._hear(folder)

    def confirm_plot(self, plot_id: str) -> None:
        """A decision about a plot, which is about its id."""
        self.desk._write([], account="ana", time_ns=START_NS, kind="decision", decision="confirmed",
                         track_ids=(plot_id,))  # fmt: skip

    def source(self) -> ExportSource:
        """What exports read."""
        return ExportSource(store=self.store, book=self.desk.book(), state_dir=self.state_dir)

    def close(self) -> None:
        """Let go of the files."""
        self.desk.close()
        self.store.close()

    def _hear(self, folder: Path) -> None:
        ais = AisStore(ais_path(folder))
        try:
            reports = [
                ("udp", PositionReport("224000001", "A", START_NS + n * 10**9, START_NS,
                                       0.01, 20.0 + n * 0.001, 5.0, 90.0, 88.0, True, True))
                for n in range(5)
            ]  # fmt: skip
            ais.write(
                Batch(reports=reports, vessels=[StaticReport("224000001", "A", START_NS, name="+MARIA")])
            )
        finally:
            ais.close()


def plot(plot_id: str, *, north_m: float = 0.0, east_m: float = 500.0, size_m: float = 100.0) -> Plot:
    """A rectangle, twice as long (north) as wide, with a hole."""
    rings = [
        np.array([(0, 0), (0, size_m), (2 * size_m, size_m), (2 * size_m, 0)]),
        np.array([(20, 20), (40, 20), (40, 40), (20, 40)]),
    ]
    corner = np.array([north_m, east_m])
    degrees = [(ring + corner) * METRE_DEG + (0.0, 20.0) for ring in rings]
    middle = position(north_m=north_m + size_m, east_m=east_m + size_m / 2, sigma_m=3.0)
    return Plot(
        plot_id=plot_id,
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        time_ns=START_NS + 9 * 10**9,
        first_ns=START_NS,
        label="parcel",
        score=0.7,
        look_count=4,
        model_id="parcel-1",
        rings_e7_i32=tuple(np.round(ring * 1e7).astype("<i4").tobytes() for ring in degrees),
        is_complete=True,
        position=middle,
        area_m2=(19_600.0, 18_000.0, 21_000.0),
        surface_area_m2=(19_700.0, 18_000.0, 21_500.0),
        slope_deg=4.0,
    )
