"""Heights of four kinds: what turns one into another, and that the checker keeps them apart."""

import subprocess
import sys
from pathlib import Path

import pytest

from skywarden.errors import InputError
from skywarden.geometry import geoid, heights
from skywarden.geometry.heights import AboveHomeM, AboveTerrainM, HaeM, MslM
from skywarden.mavlink import decode
from skywarden.mavlink.framing import parse_frame
from skywarden.mavlink.synth import MessageMaker


def test_heights_change_their_datum_and_back() -> None:
    hae = heights.hae_from_msl(MslM(200.0), 38.5, -28.6)
    assert hae - 200.0 == pytest.approx(float(geoid.undulation_m(38.5, -28.6)))
    assert heights.msl_from_hae(hae, 38.5, -28.6) == pytest.approx(200.0)
    assert heights.hae_from_msl(MslM(200.0), 38.5, -28.6, undulation_m=54.0) == 254.0
    assert heights.msl_from_hae(HaeM(254.0), 38.5, -28.6, undulation_m=54.0) == 200.0
    home, ground = HaeM(812.4), HaeM(790.0)
    assert heights.hae_from_home(AboveHomeM(150.0), home) == pytest.approx(962.4)
    assert heights.home_from_hae(HaeM(962.4), home) == pytest.approx(150.0)
    assert heights.hae_from_terrain(AboveTerrainM(30.0), ground) == 820.0
    assert heights.terrain_from_hae(HaeM(820.0), ground) == 30.0


def test_an_autopilot_that_calls_ellipsoid_height_sea_level_is_seen() -> None:
    undulation = float(geoid.undulation_m(47.0, 8.0))
    assert abs(heights.datum_error_m(HaeM(500.0 + undulation), MslM(500.0), 47.0, 8.0)) < 1e-9
    assert abs(heights.datum_error_m(HaeM(500.0), MslM(500.0), 47.0, 8.0)) > 40.0


@pytest.mark.parametrize("make", [heights.hae, heights.msl, heights.above_home, heights.above_terrain])
def test_what_is_no_height_is_refused_with_its_number(make: type) -> None:
    assert make(12.5) == 12.5
    for wrong in (float("nan"), float("inf"), -13_000.0, 1e6):
        with pytest.raises(InputError, match="a height of"):
            make(wrong)
    with pytest.raises(InputError, match="undulation"):
        heights.hae_from_msl(MslM(0.0), 0.0, 0.0, undulation_m=float("nan"))


def test_heights_from_the_radio_come_in_the_kind_that_the_message_states() -> None:
    """At run time a number; that the fields are typed is what the checker tests below."""
    place = {"latitude_deg": 41.5, "longitude_deg": 12.5, "alt_msl_m": 300.0}
    frame = parse_frame(
        MessageMaker(1, 1).global_position_int(
            time_boot_ms=5, alt_rel_m=120.0, vn_mps=0.0, heading_deg=0.0, **place
        )
    )
    assert frame is not None
    position = decode.global_position(frame)
    assert position is not None
    assert heights.msl(position.alt_msl_m) == 300.0
    assert heights.hae_from_home(position.alt_rel_m, HaeM(180.0)) == 300.0


MIXED = """
from skywarden.geometry import heights
from skywarden.geometry.heights import AboveHomeM, AboveTerrainM, HaeM, MslM
from skywarden.mavlink.decode import GlobalPosition, GpsRaw

def fly(
    position: GlobalPosition, fix: GpsRaw, hae: HaeM, msl: MslM, home: AboveHomeM, agl: AboveTerrainM
) -> None:
    {line}
"""
REFUSED = (
    "heights.hae_from_msl(hae, 1.0, 2.0)",
    "heights.hae_from_msl(home, 1.0, 2.0)",
    "heights.hae_from_msl(120.0, 1.0, 2.0)",
    "heights.hae_from_home(agl, hae)",
    "heights.hae_from_home(home, msl)",
    "heights.hae_from_terrain(home, hae)",
    "heights.terrain_from_hae(msl, hae)",
    "heights.datum_error_m(msl, hae, 1.0, 2.0)",
    "wrong: HaeM = position.alt_msl_m",
    "wrong: HaeM = position.alt_msl_m + 3.0",
    "wrong: MslM = position.alt_rel_m",
    "wrong: MslM | None = fix.alt_ellipsoid_m",
)
ALLOWED = (
    "right: HaeM = heights.hae_from_msl(position.alt_msl_m, 1.0, 2.0)",
    "number: float = heights.hae_from_home(position.alt_rel_m, hae)",
)


@pytest.mark.slow
def test_the_type_checker_refuses_every_mixture_of_heights(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    for number, line in enumerate(REFUSED + ALLOWED):
        (tmp_path / f"mixture_{number}.py").write_text(MIXED.format(line=line))
    root = Path(heights.__file__).resolve().parents[2]
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path / "cache"),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    for number, line in enumerate(REFUSED):
        assert f"mixture_{number}.py:9: error" in done.stdout, f"{line} passes\n{done.stdout}{done.stderr}"
    for number, line in enumerate(ALLOWED, start=len(REFUSED)):
        assert f"mixture_{number}.py" not in done.stdout, f"{line} is refused\n{done.stdout}"
