"""The page's part: rendered hills and coasts, which standing things were called moving, which movers were."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sim.accuracy.section import Section
from sim.accuracy.standing.shown import ShownContact, shown_contacts
from sim.accuracy.standing.told import MIN_SPEED_MPS, ToldTrack, fly, told_tracks
from sim.scenario.description import load_scenario
from sim.scenario.runner import render_flight

SCENARIO = "coast-and-hill"
WORLDS = (("hill-1", (41, 42, 43)), ("coast-1", (41, 42)))
SECONDS = 50.0
FPS = 2.0
MIN_LOOKS = 10
"""A vessel under way counts as missed where it was seen so often and never called moving."""


def section(data: Path, scratch: Path) -> Section:
    """Each world rendered into `scratch` and looked at once; `data` is not used."""
    seeds = " and ".join(f"{len(seeds)} of `{platform}`" for platform, seeds in WORLDS)
    text = [
        f"Flights of {SECONDS:.0f} s at {FPS:g} frames/s over `{SCENARIO}`, land, plants and errors drawn by "
        f"seed ({seeds}; the rules were made on other seeds), through the whole chain with the anomaly "
        "detector's boxes at its own threshold: they jitter, grow as a thing comes into the picture, merge "
        "and split. A confirmed track is of what most of its looks show. On the hill nothing moves, so all "
        "there stands, also what truth does not name (bushes, pieces of road); at sea what it does not name "
        "(wakes, foam beside a vessel) is counted apart. Goal: no standing thing called moving at the "
        "end, at most 2 % at any time; vessels under way are still called so.\n",
        "| platform | what | tracks | called moving at any time | at the end | largest speed m/s |",
        "|---|---|---|---|---|---|",
    ]
    contacts: list[str] = []
    for platform, seeds_ in WORLDS:
        flights = [fly(rendered(platform, seed, scratch)) for seed in seeds_]
        text += _rows(platform, [track for flight in flights for track in told_tracks(*flight)])
        for with_words in (False, True):
            shown = [one for flight in flights for one in shown_contacts(*flight, with_words=with_words)]
            contacts += _contact_rows(platform, shown, with_words=with_words)
    text += ["", CONTACTS, *contacts]
    title = "Standing and moving with a detector's boxes"
    return Section(title=title, text="\n".join(text))


CONTACTS = (
    "The same sightings at the station, frame by frame: contacts shown with a course. Each sighting says "
    "what its track is known to do; *places alone* is without that, as for platforms that do not say so.\n\n"
    "| platform | judged by | what | contacts | with a course at any time | at the end | speed over the true "
    "one |\n|---|---|---|---|---|---|---|"
)


def rendered(platform_id: str, seed: int, folder: Path) -> Path:
    """That flight, drawn into `folder` where it does not lie there already."""
    out = folder / f"{platform_id}-{seed}"
    if not out.is_dir():
        scenario = msgspec.structs.replace(load_scenario(SCENARIO), seed=seed)
        render_flight(scenario, platform_id, out, seconds=SECONDS, fps=FPS)
    return out


def _rows(platform: str, found: Sequence[ToldTrack]) -> list[str]:
    is_land = platform.startswith("hill")
    standing = [t for t in found if t.true_speed_mps < MIN_SPEED_MPS and (is_land or t.thing is not None)]
    rows = [_row(platform, "standing", standing)]
    if not is_land:
        under_way = [t for t in found if t.true_speed_mps >= MIN_SPEED_MPS]
        rows.append(_row(platform, "under way", under_way))
        often = [t for t in under_way if t.looks >= MIN_LOOKS]
        rows.append(_row(platform, f"under way, {MIN_LOOKS} looks and more", often))
        rows.append(_row(platform, "not named by truth", [t for t in found if t.thing is None]))
    return rows


def _contact_rows(platform: str, shown: Sequence[ShownContact], *, with_words: bool) -> list[str]:
    is_land, judged = platform.startswith("hill"), "the platform's words" if with_words else "places alone"
    kinds = {
        "standing": [one for one in shown if one.true_speed_mps < MIN_SPEED_MPS and (is_land or one.thing)]
    }
    if not is_land:
        under_way = [one for one in shown if one.true_speed_mps >= MIN_SPEED_MPS and one.looks >= MIN_LOOKS]
        kinds[f"under way, {MIN_LOOKS} looks and more"] = under_way
    rows = []
    for what, found in kinds.items():
        ever = sum(one.was_moving for one in found)
        end = [one for one in found if one.speed_mps is not None]
        shares = sorted(
            (one.speed_mps or 0.0) / one.true_speed_mps for one in end if one.true_speed_mps > 0.0
        )
        range_ = f"{shares[0]:.2f} to {shares[-1]:.2f}" if shares else ""
        rows.append(f"| {platform} | {judged} | {what} | {len(found)} | {ever} | {len(end)} | {range_} |")
    return rows


def _row(platform: str, what: str, tracks: Sequence[ToldTrack]) -> str:
    ever, end = sum(track.was_moving for track in tracks), sum(track.ends_moving for track in tracks)
    share = f"{ever} ({ever / max(1, len(tracks)):.0%})"
    largest_mps = max((track.largest_mps for track in tracks), default=0.0)
    return f"| {platform} | {what} | {len(tracks)} | {share} | {end} | {largest_mps:.1f} |"
