"""The picture of a calibration: what was found against what was known, and the misses before and after."""

from pathlib import Path
from typing import Any

import numpy as np

from edge.calibration.looks import LASTING
from sim.calibrate import CalibrateReport

BEFORE, AFTER, PRIOR = "#b5533c", "#1f6f8b", "#c9c9c9"
_TITLES = {
    "boresight_roll_deg": "boresight roll [deg]",
    "boresight_pitch_deg": "boresight pitch [deg]",
    "boresight_yaw_deg": "boresight yaw [deg]",
    "heading_deg": "heading [deg]",
    "elevation_deg": "elevation [deg]",
    "time_offset_s": "time offset [s]",
    "focal_ln": "focal length [ln]",
    "north_m": "this flight: north [m]",
    "east_m": "this flight: east [m]",
    "down_m": "this flight: down [m]",
}


def plot_calibration(report: CalibrateReport, out: Path) -> None:
    """Write a PNG (or what the name's ending says); left the parameters, right the held-out misses."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    _parameters(left, report)
    _misses(right, report)
    figure.suptitle(
        f"{report.flight}, sensor {report.sensor_id}: {len(report.looks)} looks, {report.source}", fontsize=11
    )
    figure.savefig(out, dpi=130)


def _parameters(axes: Any, report: CalibrateReport) -> None:
    found = report.found
    rows = np.arange(len(found.names))[::-1]
    prior = found.prior_sigmas
    axes.barh(rows, 2 * np.ones(len(rows)), left=-1, height=0.5, color=PRIOR, label="prior, one sigma")
    for row, name, value, sigma, scale in zip(
        rows, found.names, found.values, found.sigmas, prior, strict=True
    ):
        is_held = name in found.unobservable
        color = BEFORE if is_held else AFTER
        axes.errorbar(value / scale, row, xerr=sigma / scale, fmt="o", color=color, capsize=4)
        number = "not told by these looks" if is_held else f"{value:+.3g} ± {sigma:.2g}"
        axes.text(1.02, row, number, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(rows, [_TITLES[name] + ("" if name in LASTING else " *") for name in found.names])
    axes.axvline(0, color="black", lw=0.6)
    widest = float(np.max(np.abs(found.values / prior) + found.sigmas / prior, initial=1.2))
    axes.set_xlim(-1.1 * widest, 1.1 * widest)
    axes.set_xlabel("correction, in sigmas of what was known before")
    axes.set_title("What was found (* holds for this flight only)", fontsize=10)
    axes.legend(loc="lower left", fontsize=8)


def _misses(axes: Any, report: CalibrateReport) -> None:
    proof = report.proof
    named = ((BEFORE, "before", proof.before_m), (AFTER, "after", proof.after_m))
    for color, name, misses in named:
        if len(misses):
            away = np.hypot(misses[:, 0], misses[:, 1])
            label = f"{name}: RMS {np.sqrt(np.mean(away**2)):.1f} m, CE90 {np.quantile(away, 0.9):.1f} m"
            axes.plot(misses[:, 0], misses[:, 1], ".", color=color, alpha=0.6, ms=5, label=label)
            radius = float(np.quantile(away, 0.9))
            turn = np.linspace(0, 2 * np.pi, 121)
            axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=color, lw=1)
            mean = misses.mean(axis=0)
            axes.plot(mean[0], mean[1], "+", color=color, ms=13, mew=2)
    axes.axhline(0, color="black", lw=0.5)
    axes.axvline(0, color="black", lw=0.5)
    reach = [np.quantile(np.abs(misses), 0.99) for _, _, misses in named if len(misses)]
    limit = 1.15 * max([1.0, *(float(each) for each in reach)])
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")
    axes.set_xlabel("east [m]")
    axes.set_ylabel("north [m]")
    axes.set_title(f"Misses of looks that were held out: {report.verdict.split(':')[0]}", fontsize=10)
    if len(proof.before_m):
        axes.legend(loc="upper right", fontsize=8)
