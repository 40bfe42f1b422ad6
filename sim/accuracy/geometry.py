"""Accuracy of the geometry alone: the reference cases, their areas, and the way back to the pixel."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.geolocation import cases
from edge.geolocation.locate import Locator
from sim.accuracy.section import Section
from skywarden.geometry import geodesy


def section(data: Path, scratch: Path) -> Section:
    """Every reference case through `skywarden locate`; `scratch` is not used."""
    path = data / "geolocation" / "pixel_to_ground_cases.json"
    document = cases.read_cases(path)
    tree = msgspec.json.decode(path.read_bytes())
    found = {each["id"]: each for each in cases.answers(document)[0]}
    asked = [msgspec.json.decode(raw, type=cases.Case) for raw in document.cases or ()]
    wanted = {each["id"]: each["expected"] for each in tree["cases"]}
    right = sum(found[name]["status"] == expected["status"] for name, expected in wanted.items())
    hits = [name for name, expected in wanted.items() if expected["status"] == found[name]["status"] == "hit"]
    misses_m = [_miss_m(found[name], wanted[name]) for name in hits]
    back_px = [_back_px(case, found[case.id]) for case in asked if case.id in hits]
    areas = [
        abs(found[each["id"]][name] / each[name] - 1.0)
        for each in tree["area_cases"]
        for name in cases.AREA_NAMES
    ]
    sampled = {each["id"]: each["monte_carlo"]["ce90_m"] for each in tree["cases"] if "monte_carlo" in each}
    ratios = {name: found[name]["ce90_m"] / ce90_m for name, ce90_m in sampled.items()}
    worst = max(ratios, key=lambda name: abs(ratios[name] - 1.0))
    text = [
        "The reference cases (made elsewhere by forward projection) through `skywarden locate CASES.json`. "
        "Cases that are not given here, some hundreds with every field drawn at random, are compared with a "
        "brute-force referee in the tests (`tests/edge/geolocation/test_cases.py`).\n",
        "| what | goal | reached | count |",
        "|---|---|---|---|",
        f"| status right | all | {right} of {len(wanted)} | {len(wanted)} |",
        f"| worst miss of a hit | 10 mm | {1e3 * max(misses_m):.2f} mm | {len(hits)} |",
        f"| worst ground to pixel and back | 0.001 px | {max(back_px):.1e} px | {len(back_px)} |",
        f"| worst area, of all three kinds | 0.02 % | {100 * max(areas):.5f} % | {len(areas)} |",
        f"| stated CE90 over sampled, worst (case {worst}) | 0.97 to 1.03 | {ratios[worst]:.4f} "
        f"| {len(ratios)} |",
    ]
    return Section(title="Geometry: reference cases", text="\n".join(text))


def _miss_m(found: dict[str, Any], expected: dict[str, Any]) -> float:
    here, there = (
        geodesy.ecef_from_geodetic(each["lat_deg"], each["lon_deg"], each["hae_m"])
        for each in (found, expected)
    )
    return float(np.linalg.norm(here - there))


def _back_px(case: cases.Case, found: dict[str, Any]) -> float:
    surface = cases.surface_of(case.surface, case.platform, 0.0)
    pose = cases.pose_of(case, surface, cases.Sigmas())
    locator = Locator(cases.camera_of(case.camera), surface)
    pixel, _ = locator.project(pose, found["lat_deg"], found["lon_deg"], found["hae_m"])
    return float(np.hypot(pixel[0, 0] - case.pixel.u, pixel[0, 1] - case.pixel.v))
