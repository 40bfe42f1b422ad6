"""The model diff: contacts gained, lost and moved, told as text, JSON and a page that runs nothing."""

import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from ground.fusion.contact import Contact
from models.catalogue import ZOO
from sim.range.diff import Flown, ModelDiff, compared, squared_distance
from sim.range.diff_page import diff_page
from sim.scenario.description import load_scenario
from sim.scenario.flown.runs import RunOptions, fly
from skywarden.cli import run
from skywarden.messages import Chip, Position, Sighting
from tests.sim.range_yard import YARD

pytestmark = pytest.mark.xdist_group("range")
NASTY = '<script>alert(1)</script>"x'


def place(north_m: float, sigma_m: float = 2.0) -> Position:
    """A place so far north of the corner of the world."""
    return Position(
        latitude_deg=10.0 + north_m / 111_320.0,
        longitude_deg=20.0,
        alt_hae_m=0.0,
        covariance_enu_m2=(sigma_m**2, 0.0, 0.0, sigma_m**2, 0.0, 1.0),
        ce90_m=2.146 * sigma_m,
        le90_m=1.6,
        surface="sea",
    )


def flown(*things: tuple[str, float, float, int]) -> Flown:
    """Contacts by name, how far north, left edge of the box, frame; each with one look and a chip."""
    contacts, looks, chips = [], {}, {}
    for name, north_m, left_px, frame in things:
        sighting = Sighting(
            sighting_id=f"{name}.1",
            track_id=f"{name}.t",
            platform_id="uav01",
            sortie_id="s1",
            sensor_id="eo",
            frame_number=frame,
            time_ns=10**18 + frame,
            label="vessel",
            score=0.8,
            model_id="m",
            box_px=(left_px, 10.0, left_px + 20.0, 30.0),
            position=place(north_m),
            bearing=None,
            no_position_reason=None,
        )
        contacts.append(
            Contact(
                contact_id=name,
                label="vessel",
                score=0.8,
                first_ns=10**18,
                last_ns=10**18,
                platform_ids=("uav01",),
                track_ids=(f"{name}.t",),
                sighting_count=1,
                position=place(north_m),
                bearing=None,
                bearing_from=None,
                no_position_reason=None,
                course_deg=None,
                speed_mps=None,
                model_id="m",
                is_exercise=False,
            )
        )
        looks[name] = {("s1/eo", frame): sighting}
        chips[sighting.sighting_id] = Chip(
            chip_id="c",
            sighting_id=sighting.sighting_id,
            platform_id="uav01",
            time_ns=10**18,
            media_type="image/png",
            width_px=4,
            height_px=4,
            box_in_chip_px=(0.0, 0.0, 2.0, 2.0),
            data=b"\x89PNG" + name.encode(),
        )
    return Flown(contacts=tuple(contacts), looks=looks, chips=chips)


def told(before: Flown, after: Flown) -> list[tuple[str, str | None, str | None]]:
    """Kind and both names of each change."""
    diff = compared(before, after, "a", "b", ("f",))
    assert diff.same + len(diff.of("moved")) + len(diff.of("lost")) == diff.contacts_a
    assert diff.same + len(diff.of("moved")) + len(diff.of("gained")) == diff.contacts_b
    return [
        (
            one.kind,
            None if one.before is None else one.before.contact_id,
            None if one.after is None else one.after.contact_id,
        )
        for one in diff.changes
    ]


def test_what_both_have_at_one_place_is_the_same() -> None:
    assert told(flown(("x", 0.0, 100.0, 1)), flown(("y", 3.0, 102.0, 1))) == []
    assert told(flown(("x", 0.0, 100.0, 1)), flown(("y", 3.0, 400.0, 7))) == [], "by place, in other frames"


def test_the_same_boxes_at_another_place_have_moved() -> None:
    before, after = flown(("x", 0.0, 100.0, 1)), flown(("y", 40.0, 102.0, 1))
    assert told(before, after) == [("moved", "x", "y")]
    (change,) = compared(before, after, "a", "b", ()).changes
    assert change.by_m == pytest.approx(40.0, abs=0.1)


def test_what_only_one_has_is_gained_or_lost() -> None:
    both = ("x", 0.0, 100.0, 1)
    assert told(flown(both, ("w", 200.0, 300.0, 1)), flown(both)) == [("lost", "w", None)]
    assert told(flown(both), flown(both, ("w", 200.0, 300.0, 1))) == [("gained", None, "w")]
    apart = (flown(("x", 0.0, 100.0, 1)), flown(("y", 1.0, 300.0, 1)))
    assert told(*apart) == [("lost", "x", None), ("gained", None, "y")], (
        "two boxes of one frame are two things"
    )


def test_the_joint_ellipse_is_that_of_both_covariances() -> None:
    away_m, squared = squared_distance(place(0.0, 3.0), place(10.0, 4.0))
    assert away_m == pytest.approx(10.0, abs=0.01)
    assert squared == pytest.approx(100.0 / 25.0, rel=1e-3)


def test_the_page_shows_both_sides_and_runs_nothing() -> None:
    diff = compared(
        flown(("x", 0.0, 100.0, 1), (NASTY, 500.0, 10.0, 1)),
        flown(("y", 40.0, 102.0, 1), ("z", 900.0, 500.0, 1)),
        "vessel<1>",
        "vessel-2",
        (NASTY,),
    )
    page = diff_page(diff)
    assert "<script" not in page
    assert "vessel&lt;1&gt;" in page
    assert page.count("data:image/png;base64,") == 4
    assert page.count("no contact") == 2
    assert "moved by 40.0 m" in page
    assert "default-src 'none'" in page


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_sees_less_loses_contacts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "yard.toml").write_text(YARD)
    options = RunOptions(seconds=2.0, fps=2.0, jobs=1)
    flight = fly(load_scenario(str(tmp_path / "yard.toml")), tmp_path / "run", options).flights["swing-1"]
    worse = tmp_path / "worse"
    worse.mkdir()
    text = (ZOO / "vessel-oblique" / "model.toml").read_text(encoding="utf-8")
    less, count = re.subn(r"(?m)^threshold = [0-9.]+$", "threshold = 0.85", text)
    assert count == 1
    (worse / "model.toml").write_text(less)
    shutil.copyfile(ZOO / "vessel-oblique" / "model.onnx", worse / "model.onnx")
    page = tmp_path / "diff.html"
    words = ["sim", "diff", str(flight), "--model", "vessel-oblique", "--model", str(worse)]
    assert run([*words, "--out", str(page), "--json"]) == 0
    found = msgspec.convert(json.loads(capsys.readouterr().out), ModelDiff)
    assert found.contacts_a > found.contacts_b
    assert found.of("lost")
    assert found.of("gained") == []
    assert all(one.before is not None and one.before.chip for one in found.of("lost"))
    assert "data:image/" in page.read_text(encoding="utf-8")
    assert run(words[:-2]) == 2, "one model is no comparison"
