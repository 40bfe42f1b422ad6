"""The error budget page's plot and tables: what each source of error comes to, by the edge's own locator.

Usage: python -m sim.accuracy.budget (writes docs/images/error-budget.svg and the tables of
docs/error-budget.md; a test fails when they are not what the code says)
"""

import hashlib
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from edge.geolocation.locate import OK, Locator
from sim.accuracy.truth.short_flight import CAMERA, EXACT, SET_A, SET_B, SPEED_MPS, TURN_DPS, ErrorSet
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.rotations import GIMBAL_FROM_CAMERA, matrix_from_euler_deg
from skywarden.geometry.terrain import LevelSurface

FloatArray = npt.NDArray[np.float64]

AGL_M = 300.0
ANGLES_DEG = tuple(float(angle) for angle in range(0, 81, 2))
PICTURE = Path("docs/images/error-budget.svg")
PAGE = Path("docs/error-budget.md")
BEGIN, END = "<!-- made by sim.accuracy.budget: begin -->", "<!-- made by sim.accuracy.budget: end -->"
ASIDE_PX = 640.0

COLOURS = {
    "attitude": "#0072b2",
    "boresight": "#56b4e9",
    "heading": "#d55e00",
    "GNSS position": "#009e73",
    "GNSS height": "#117733",
    "ground height": "#8c6d31",
    "time offset": "#cc79a7",
    "pixel": "#7f7f7f",
    "lens": "#e69f00",
}
"""Sources of error in the order of the legend; colours that the colour-blind tell apart."""


def sources(errors: ErrorSet, *, is_sea: bool) -> dict[str, tuple[PoseSigmas, float, float, float]]:
    """By source, alone: pose sigmas, surface sigma (m), pixel sigma, how far aside in the image (px)."""
    pose = errors.pose
    return {
        "attitude": (replace(EXACT, tilt_deg=pose.tilt_deg), 0.0, 0.0, 0.0),
        "boresight": (replace(EXACT, boresight_deg=pose.boresight_deg), 0.0, 0.0, 0.0),
        "heading": (replace(EXACT, heading_deg=pose.heading_deg), 0.0, 0.0, 0.0),
        "GNSS position": (replace(EXACT, horizontal_m=pose.horizontal_m), 0.0, 0.0, 0.0),
        "GNSS height": (replace(EXACT, vertical_m=pose.vertical_m), 0.0, 0.0, 0.0),
        "ground height": (EXACT, errors.surface_m(is_sea=is_sea), 0.0, 0.0),
        "time offset": (replace(EXACT, time_offset_s=pose.time_offset_s), 0.0, 0.0, 0.0),
        "pixel": (EXACT, 0.0, errors.pixel_px, 0.0),
        "lens": (replace(EXACT, focal_percent=pose.focal_percent), 0.0, 0.0, ASIDE_PX),
    }


def located(
    sigmas: PoseSigmas,
    surface_m: float,
    pixel_px: float,
    aside_px: float = 0.0,
    *,
    off_nadir_deg: float,
    agl_m: float = AGL_M,
) -> tuple[float, FloatArray]:
    """CE90 in metres and the horizontal covariance (2, 2: across, along) of one look ahead, to the north.

    The platform moves at 15 m/s ahead and turns with its camera at 5 deg/s about the vertical.
    """
    looking = matrix_from_euler_deg(0.0, off_nadir_deg - 90.0, 0.0) @ GIMBAL_FROM_CAMERA
    pose = CameraPose(
        time_ns=0,
        latitude_deg=0.0,
        longitude_deg=0.0,
        alt_hae_m=agl_m,
        rotation_ned_from_camera=looking,
        velocity_ned_mps=np.array([SPEED_MPS, 0.0, 0.0]),
        angular_rate_dps=TURN_DPS,
        sigmas=sigmas,
        level_alt_hae_m=None,
        source="budget",
    )
    found = Locator(CAMERA, LevelSurface(0.0, sigma_m=surface_m)).locate(
        pose, [[CAMERA.cx + aside_px, CAMERA.cy]], pixel_px
    )
    if found.status[0] != OK:
        return math.nan, np.full((2, 2), np.nan)
    return float(found.ce90_m[0]), found.covariance_enu_m2[0, :2, :2]


def curves(errors: ErrorSet, *, is_sea: bool) -> dict[str, list[float]]:
    """CE90 in metres over `ANGLES_DEG` of each source alone, and of all together ("all")."""
    alone = sources(errors, is_sea=is_sea)
    found = {
        name: [located(*what, off_nadir_deg=angle)[0] for angle in ANGLES_DEG] for name, what in alone.items()
    }
    surface_m = errors.surface_m(is_sea=is_sea)
    found["all"] = [
        located(errors.pose, surface_m, errors.pixel_px, off_nadir_deg=angle)[0] for angle in ANGLES_DEG
    ]
    return found


def closed_form(errors: ErrorSet, *, agl_m: float, off_nadir_deg: float) -> dict[str, tuple[float, float]]:
    """One-sigma metres (along, across) by source, over land, from the closed form for level ground.

    Along is towards and away from the platform. With R the slant range, h the height and t the angle off
    nadir, an angle s moves a place by s R^2 / h along and by s R across; see the page.
    """
    t, pose = math.radians(off_nadir_deg), errors.pose
    slant = agl_m / math.cos(t)
    along, tangent = slant * slant / agl_m, math.tan(t)
    tilt, boresight, heading = (
        math.radians(angle) for angle in (pose.tilt_deg, pose.boresight_deg, pose.heading_deg)
    )
    pixel, moved = errors.pixel_px / CAMERA.fx, pose.time_offset_s
    return {
        "attitude": (along * tilt, slant * tilt),
        "boresight": (along * boresight, slant * boresight),
        "heading": (0.0, agl_m * tangent * heading),
        "GNSS position": (pose.horizontal_m, pose.horizontal_m),
        "GNSS height": (tangent * pose.vertical_m, 0.0),
        "ground height": (tangent * errors.land_m, 0.0),
        "time offset": (SPEED_MPS * moved, agl_m * tangent * math.radians(TURN_DPS) * moved),
        "pixel": (along * pixel, slant * pixel),
    }


FORMULAS = {
    "attitude": ("`R²/h · σ`", "`R · σ`"),
    "boresight": ("`R²/h · σ`", "`R · σ`"),
    "heading": ("none", "`h · tan t · σ`"),
    "GNSS position": ("`σ`", "`σ`"),
    "GNSS height": ("`tan t · σ`", "none"),
    "ground height": ("`tan t · σ`", "none"),
    "time offset": ("`v · σ`", "`h · tan t · ω · σ`"),
    "pixel": ("`R²/h · σ/f`", "`R · σ/f`"),
}


def tables() -> str:
    """The page's tables: formula and own number by source, sets A and B, 45 and 75 degrees, over land."""
    parts = []
    for errors in (SET_A, SET_B):
        parts.append(
            f"\nSet {errors.name}, {AGL_M:.0f} m above land, one sigma in metres, along / across (*formula* "
            "is the closed form, *edge* what the edge's locator says):\n"
        )
        parts.append(
            "| source | along | across | 45 deg: formula | 45 deg: edge | 75 deg: formula | 75 deg: edge |\n"
            "|---|---|---|---|---|---|---|"
        )
        alone = sources(errors, is_sea=False)
        for name, (along, across) in FORMULAS.items():
            cells = []
            for angle in (45.0, 75.0):
                formula = closed_form(errors, agl_m=AGL_M, off_nadir_deg=angle)[name]
                covariance = located(*alone[name], off_nadir_deg=angle)[1]
                own = math.sqrt(covariance[1, 1]), math.sqrt(covariance[0, 0])
                cells += [f"{pair[0]:.1f} / {pair[1]:.1f}" for pair in (formula, own)]
            parts.append(f"| {name} | {along} | {across} | {' | '.join(cells)} |")
        totals = [
            f"{located(errors.pose, errors.land_m, errors.pixel_px, off_nadir_deg=angle)[0]:.1f}"
            for angle in (45.0, 75.0)
        ]
        parts.append(f"| *all: CE90* | | | | {totals[0]} | | {totals[1]} |")
    return "\n".join(parts).strip("\n")


def digest() -> str:
    """SHA-256 of the plotted numbers to three figures, which the picture carries."""
    numbers = {
        f"{errors.name} {ground}": {
            name: [f"{value:.3g}" for value in values]
            for name, values in curves(errors, is_sea=ground == "sea").items()
        }
        for errors in (SET_A, SET_B)
        for ground in ("land", "sea")
    }
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def draw(path: Path) -> None:
    """Write the plot as SVG: the same numbers and matplotlib give the same bytes."""
    style: dict[Any, Any] = {"svg.hashsalt": "error-budget", "svg.fonttype": "none", "font.size": 9.0}
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.0, 7.4), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        for row, errors in zip(panels, (SET_A, SET_B), strict=True):
            for panel, is_sea in zip(row, (False, True), strict=True):
                _fill(panel, errors, is_sea=is_sea)
        for panel in panels[:, 0]:
            panel.set_ylabel("CE90 of this source alone, m")
        for panel in panels[1, :]:
            panel.set_xlabel("angle off nadir, deg")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
        figure.suptitle(f"What each error comes to, {AGL_M:.0f} m above the ground")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": f"numbers {digest()}"})


def _fill(panel: Any, errors: ErrorSet, *, is_sea: bool) -> None:
    """One panel: a line a source, all together in black."""
    found = curves(errors, is_sea=is_sea)
    for name, colour in COLOURS.items():
        dashes = "--" if name == "ground height" else "-"  # on land it lies on that of the GNSS height
        panel.plot(ANGLES_DEG, found[name], dashes, color=colour, linewidth=1.5, label=name)
    panel.plot(ANGLES_DEG, found["all"], color="black", linewidth=2.4, label="all together")
    grade = "A, out of the box" if errors is SET_A else "B, calibrated"
    panel.set_title(f"Set {grade}: {'sea' if is_sea else 'land'}", loc="left", fontsize=10)
    panel.set_yscale("log")
    panel.set_ylim(0.1, 300.0)
    panel.set_xlim(0.0, 80.0)
    ticks = (0.1, 0.3, 1, 3, 10, 30, 100, 300)
    panel.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    panel.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)


def with_tables(page: str) -> str:
    """The page's text with its tables made anew; raises `ValueError` when it has no place for them."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main() -> int:
    """Write the picture and the tables."""
    draw(PICTURE)
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stderr.write(f"{PICTURE}\n{PAGE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
