"""A night off a coast for tests of the report: two platforms, eight contacts, a plot, what people said."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ground.ais.verdict import Reason, Verdict
from ground.config import ContactsConfig
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact
from ground.review.desk import ReviewDesk
from ground.review.entries import Decision
from ground.review.log import ReviewLog, review_path
from ground.station.places import store_path
from ground.store.sqlite import SqliteStore
from skywarden.geometry.uncertainty import ce90_m
from skywarden.messages import Chip, Plot, Position, Sighting
from tests.ground.scenes import arrival

S = 1_000_000_000
START_NS = 1_763_755_200 * S  # 2025-11-21T20:00:00Z
UNTIL_NS = START_NS + 3_600 * S
PLACE = (36.98, -8.94)
DECISIONS: tuple[Decision | None, ...] = (
    "confirmed", "confirmed", "confirmed", "rejected", "more", None, None, "confirmed",
)  # fmt: skip


@dataclass
class Night:
    """The station's files."""

    state_dir: Path
    store: SqliteStore
    review: ReviewDesk

    def close(self) -> None:
        """Let go of the files."""
        self.review.close()
        self.store.close()


def place(north_m: float, east_m: float, along_m: float = 22.0, across_m: float = 8.0) -> Position:
    """A place off the coast, its error long towards the north-east."""
    turn = math.radians(40.0)
    ee = (along_m * math.sin(turn)) ** 2 + (across_m * math.cos(turn)) ** 2
    nn = (along_m * math.cos(turn)) ** 2 + (across_m * math.sin(turn)) ** 2
    en = (along_m**2 - across_m**2) * math.sin(turn) * math.cos(turn)
    return Position(
        latitude_deg=PLACE[0] + north_m / 111_320.0,
        longitude_deg=PLACE[1] + east_m / (111_320.0 * math.cos(math.radians(PLACE[0]))),
        alt_hae_m=52.0,
        covariance_enu_m2=(ee, en, 0.0, nn, 0.0, 9.0),
        ce90_m=float(ce90_m([[ee, en], [en, nn]])),
        le90_m=4.9,
        surface="sea",
    )


def make_night(folder: Path, *, label: str = "vessel", is_exercise: bool = False) -> Night:
    """The night in `folder`, as a station would have left it."""
    folder.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(store_path(folder), ContactBook(ContactsConfig()), is_exercise=is_exercise)
    messages: list[Sighting | Chip | Plot] = []
    for number in range(8):
        messages += _looks(number, label if number != 7 else "plot", is_exercise=is_exercise)
    messages += [_plot(is_exercise)]
    by_platform: dict[str, int] = {}
    arrivals = []
    for message in messages:
        platform = message.platform_id
        by_platform[platform] = by_platform.get(platform, 0) + 1
        arrivals.append(arrival(message, by_platform[platform], platform=platform))
    store.ingest(arrivals)
    store.settle(1)
    review = ReviewDesk(ReviewLog(review_path(folder)), store)
    for number, decision in enumerate(DECISIONS):
        found = store.contact(store.contact_of_track(_track(number)) or "")
        assert found is not None
        if decision is not None:
            review.decide(
                found,
                decision,
                account=("ana", "marta")[number % 2],
                version=0,
                utc_ns=START_NS + (1_500 + 240 * number) * S,
                text="two outboards, no lights" if number == 0 else "",
            )
        if number == 1:
            review.comment(
                found, "Seen from the lighthouse too, 21:15 local.", account="ana", utc_ns=UNTIL_NS
            )
    return Night(folder, store, review)


def judge(contact: Contact, beside: list[Contact]) -> Verdict | None:
    """What AIS might have said: silent, on AIS, could not be heard."""
    if contact.label == "plot":
        return None
    turn = int(contact.contact_id[-1]) % 3
    shares = ((0.02, 0.93, 0.01, 0.03, 0.01), (0.97, 0.0, 0.02, 0.0, 0.01), (0.03, 0.1, 0.0, 0.82, 0.05))
    matched, silent, doubtful, unheard, undecided = shares[turn]
    text = (
        "nobody within 4 km was heard; from here our receiver hears 98 % of those that send",
        "NORDSTJERNEN lies 12 m from it, 0.6 sigmas",
        "the place is behind the headland for our receiver",
    )[turn]
    return Verdict(
        contact_id=contact.contact_id,
        time_ns=contact.last_ns,
        word=("silent", "matched", "unheard")[turn],
        matched=matched,
        silent=silent,
        doubtful=doubtful,
        unheard=unheard,
        undecided=undecided,
        mmsi="211000000" if turn == 1 else None,
        candidates=(),
        reasons=(Reason(kind="note", text=text),),
    )


def _track(number: int) -> str:
    return f"uav{7 + number % 2:02d}-s1-eo.t{number}"


def _looks(number: int, label: str, *, is_exercise: bool) -> list[Sighting | Chip]:
    """Six looks a contact, ten seconds apart, from a platform on a racetrack; a picture with the third."""
    platform = f"uav{7 + number % 2:02d}"
    made: list[Sighting | Chip] = []
    for look in range(6):
        seconds = 420.0 * number + 10.0 * look
        angle = 0.9 * number + 0.06 * look
        north_m, east_m = 2_300.0 * math.sin(1.9 * number), 3_600.0 * math.cos(1.1 * number)
        moved_m = 45.0 * look if number in (0, 1) else 0.0
        seen = Sighting(
            sighting_id=f"{_track(number)}-{look}",
            track_id=_track(number),
            platform_id=platform,
            sortie_id=f"20251121T200000Z_{platform}",
            sensor_id="eo",
            frame_number=100 * number + look,
            time_ns=START_NS + round(seconds * S),
            label=label,
            score=0.62 + 0.04 * number,
            model_id="vessel-nadir-3",
            box_px=(300.0, 200.0, 340.0, 230.0),
            position=place(north_m + moved_m, east_m, 22.0 + 4 * number) if number != 6 else None,
            bearing=None,
            no_position_reason="near_horizon" if number == 6 else None,
            slant_range_m=800.0,
            platform_position=(
                PLACE[0] + (1_800.0 + 900 * (number % 2)) * math.sin(angle) / 111_320.0,
                PLACE[1] + 4_200.0 * math.cos(angle) / 89_000.0,
                320.0,
            ),
            is_exercise=is_exercise,
        )
        made.append(seen)
        if look == 2:
            made.append(_chip(seen, number))
    return made


def _chip(seen: Sighting, number: int) -> Chip:
    """Water, and a light hull that is drawn as a lens."""
    rows, columns = np.mgrid[0:120, 0:160]
    noise = np.random.default_rng(number).normal(0.0, 5.0, (120, 160))
    hull = np.abs((columns - 80) / 38.0) ** 2 + np.abs((rows - 60 - 0.2 * (columns - 80)) / 9.0) ** 2 < 1.0
    grey = np.where(hull, 205.0, 62.0 + noise)
    image = np.stack((grey, grey * 0.95, grey * 0.82), axis=-1).clip(0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    return Chip(
        chip_id=f"chip-{seen.sighting_id}",
        sighting_id=seen.sighting_id,
        platform_id=seen.platform_id,
        time_ns=seen.time_ns,
        media_type="image/jpeg",
        width_px=160,
        height_px=120,
        box_in_chip_px=(38.0, 42.0, 122.0, 78.0),
        data=data,
    )


def _plot(is_exercise: bool) -> Plot:
    angles = np.linspace(0.0, 2.0 * np.pi, 9, endpoint=False)
    corners = [
        place(2_900.0 + 160.0 * math.sin(one) * (1 + 0.2 * math.sin(3 * one)), 900.0 + 240.0 * math.cos(one))
        for one in angles
    ]
    ring = np.array([(one.latitude_deg, one.longitude_deg) for one in corners])
    data = np.round(ring * 1e7).astype("<i4").tobytes()
    return Plot(
        plot_id=_track(7),
        platform_id="uav08",
        sortie_id="20251121T200000Z_uav08",
        sensor_id="eo",
        time_ns=START_NS + 3_000 * S,
        first_ns=START_NS + 2_940 * S,
        label="plot",
        score=0.81,
        look_count=6,
        model_id="parcel-1",
        rings_e7_i32=(data,),
        is_complete=False,
        position=place(2_900.0, 900.0),
        area_m2=(118_000.0, 112_000.0, 125_000.0),
        surface_area_m2=(121_000.0, 115_000.0, 129_000.0),
        slope_deg=7.0,
        is_exercise=is_exercise,
    )
