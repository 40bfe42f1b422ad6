"""The error budget's plot and tables are what the code says today."""

import math
import re
from pathlib import Path

import pytest

from sim.accuracy.budget import BEGIN, END, PAGE, PICTURE, closed_form, digest, located, sources, tables
from sim.accuracy.truth.short_flight import SET_A, SET_B, ErrorSet

ROOT = Path(__file__).resolve().parents[2]
HINT = "run python -m sim.accuracy.budget and commit what it writes"


def test_the_tables_of_the_page_are_current() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page.split(BEGIN)[1].split(END)[0].strip() == tables(), HINT


@pytest.mark.slow
def test_the_plot_is_of_the_present_numbers() -> None:
    told = re.search(r"numbers ([0-9a-f]{64})", (ROOT / PICTURE).read_text(encoding="utf-8"))
    assert told is not None, HINT
    assert told.group(1) == digest(), HINT


@pytest.mark.parametrize("errors", [SET_A, SET_B], ids=["A", "B"])
@pytest.mark.parametrize(("agl_m", "off_nadir_deg"), [(100.0, 0.0), (300.0, 45.0), (300.0, 75.0)])
def test_the_closed_form_and_the_locator_agree_source_by_source(
    errors: ErrorSet, agl_m: float, off_nadir_deg: float
) -> None:
    alone = sources(errors, is_sea=False)
    for name, (along_m, across_m) in closed_form(errors, agl_m=agl_m, off_nadir_deg=off_nadir_deg).items():
        _, covariance = located(*alone[name], off_nadir_deg=off_nadir_deg, agl_m=agl_m)
        own = math.sqrt(covariance[1, 1]), math.sqrt(covariance[0, 0])
        assert own == pytest.approx((along_m, across_m), rel=0.01, abs=1e-3), name
