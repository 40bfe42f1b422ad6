"""Flights that importers make are analysed to their end: positions where geometry is known, else a reason."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.catalogue import ZOO
from sim.analyze import AnalyzeOptions, AnalyzeReport, analyze
from sim.importers import ImportReport, import_flight
from skywarden.errors import FlightError
from skywarden.flight import FixedMount, FlightReader
from skywarden.geometry.geodesy import ned_from_geodetic
from skywarden.geometry.terrain import SeaSurface, Surface

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

AP_HILL = Path("recordings/aphill/aphill_klv_10s.ts")
AP_HILL_CENTRE = (38.18508921514427, -77.35811980459758)
SEA = Path("imagery/vessels-drone-seadronessee")


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """What came out, the detections as they were written."""

    imported: ImportReport
    report: AnalyzeReport
    rows: list[dict[str, Any]]

    @property
    def reasons(self) -> Counter[str | None]:
        """How often each reason (or a position: None) was given."""
        return Counter(row["no_position_reason"] for row in self.rows)

    @property
    def positions(self) -> list[dict[str, float]]:
        """Every position."""
        return [row["position"] for row in self.rows if row["position"] is not None]


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The anomaly detector with a threshold so low that every picture gives it something to say."""
    folder = tmp_path_factory.mktemp("anomaly-eager")
    text = (ZOO / "anomaly" / "model.toml").read_text(encoding="utf-8")
    for old, new in (
        ("\nthreshold = 0.65", "\nthreshold = 0.12"),
        ("grow_threshold = 0.35", "grow_threshold = 0.1"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "model.toml").write_text(text, encoding="utf-8")
    shutil.copyfile(ZOO / "anomaly" / "model.onnx", folder / "model.onnx")
    return str(folder)


def _analysed(
    source: Path,
    folder: Path,
    model: str,
    *,
    frames: int | None = None,
    surface: Surface | None = None,
    **options: Any,
) -> Analysed:
    """Import and analyse, at most the first `frames` pictures of each sensor."""
    imported = import_flight(source, folder / "flight", **options)
    if frames is not None:
        _shorten(folder / "flight" / "frames.jsonl", frames)
    out = folder / "out"
    report = analyze(folder / "flight", out, AnalyzeOptions(model=model, surface=surface))
    rows = [msgspec.json.decode(line) for line in (out / "detections.jsonl").read_bytes().splitlines()]
    found = Analysed(imported=imported, report=report, rows=rows)
    _check_whole(found, folder / "flight", frames)
    return found


def _shorten(index: Path, frames: int) -> None:
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join(lines[:frames]))


def _check_whole(found: Analysed, flight: Path, frames: int | None) -> None:
    """What holds for every analysis: all frames looked at, each detection placed or told why not."""
    expected = sum(found.imported.frame_counts.values())
    assert found.report.frames == (expected if frames is None else min(frames, expected))
    told = [problem for problem in found.report.problems if "have no line in frames.jsonl" not in problem]
    assert told == [], "pictures without a line are those that `_shorten` took away"
    assert found.report.detections == len(found.rows) > 0
    assert found.report.located == len(found.positions)
    for row in found.rows:
        assert (row["position"] is None) == (row["no_position_reason"] is not None)
    for position in found.positions:
        assert np.isfinite(list(position.values())).all()
        assert 0.0 < position["ce90_m"] < 1_000.0
    assert FlightReader(flight).info.sortie_id == found.report.flight


def _away_m(position: Mapping[str, float], place: tuple[float, float]) -> float:
    there = (position["latitude_deg"], position["longitude_deg"], 0.0)
    north, east, _ = ned_from_geodetic(there, *place, 0.0).tolist()
    return float(np.hypot(north, east))


def test_old_video_metadata_without_level_ground_give_a_bearing_and_the_reason(
    real_data: Path, tmp_path: Path, eager: str
) -> None:
    found = _analysed(real_data / AP_HILL, tmp_path, eager)
    assert found.report.frames == 10
    assert set(found.reasons) == {"no_surface"}, "poses are there, what the rays meet is not known"
    sightings = msgspec.json.decode((tmp_path / "out" / "sightings.geojson").read_bytes())["features"]
    assert sightings
    assert all(each["geometry"] is None for each in sightings)
    bearings = [each["properties"]["bearing_deg"] for each in sightings]
    assert max(bearings) - min(bearings) < 30.0


@pytest.mark.parametrize("takeoff_alt_msl_m", [None, 60.0])
def test_old_video_metadata_place_detections_around_the_told_frame_centre(
    real_data: Path, tmp_path: Path, eager: str, takeoff_alt_msl_m: float | None
) -> None:
    """With level ground at the height that the user tells, or on a surface: both need no attitude."""
    surface = SeaSurface(tide_m=20.0) if takeoff_alt_msl_m is None else None
    found = _analysed(
        real_data / AP_HILL, tmp_path, eager, surface=surface, takeoff_alt_msl_m=takeoff_alt_msl_m
    )
    assert set(found.reasons) == {None}
    away_m = [_away_m(position, AP_HILL_CENTRE) for position in found.positions]
    assert max(away_m) < 600.0
    assert np.median(away_m) < 300.0


def test_metadata_whose_two_heights_contradict_each_other_give_no_position(
    real_data: Path, tmp_path: Path, eager: str
) -> None:
    """A made ST 0601 stream: its heights above sea level and above the ellipsoid fit nowhere on earth."""
    found = _analysed(real_data / "klv/h264_klv.ts", tmp_path, eager, frames=10, takeoff_alt_msl_m=0.0)
    assert set(found.reasons) == {"datum_alarm"}


def test_a_camera_whose_angles_nobody_tells_gives_detections_without_a_position(
    real_data: Path, tmp_path: Path, eager: str
) -> None:
    found = _analysed(
        real_data / "recordings/gopro-karma/karma.mp4", tmp_path, eager, frames=25, hfov_deg=80.0
    )
    assert found.report.located == 0
    assert set(found.reasons) == {"telemetry_stale", "gimbal_stale"}
    assert found.reasons["gimbal_stale"] > 0.8 * len(found.rows), "telemetry begins 0.3 s after the video"


def test_angles_that_the_user_tells_give_positions_on_level_ground(
    real_data: Path, tmp_path: Path, eager: str
) -> None:
    found = _analysed(
        real_data / "recordings/gopro-karma/karma.mp4",
        tmp_path,
        eager,
        frames=25,
        hfov_deg=80.0,
        mount=FixedMount(pitch_deg=-60.0),
    )
    assert found.report.located > 0.8 * len(found.rows)
    spread_m = [_away_m(each, _place(found.positions[0])) for each in found.positions]
    assert max(spread_m) < 500.0


def test_a_camera_without_a_field_of_view_says_that_it_is_not_calibrated(
    real_data: Path, tmp_path: Path, eager: str
) -> None:
    found = _analysed(real_data / SEA, tmp_path, eager, takeoff_alt_msl_m=0.0)
    assert set(found.reasons) == {"uncalibrated_camera"}


def test_frames_at_sea_are_placed_on_the_water_in_front_of_the_camera(
    real_data: Path, tmp_path: Path, eager: str
) -> None:
    found = _analysed(
        real_data / SEA, tmp_path, eager, surface=SeaSurface(), hfov_deg=60.0, takeoff_alt_msl_m=0.0
    )
    assert found.report.frames == 4
    assert found.report.located > 0
    assert set(found.reasons) <= {None, "near_horizon", "above_horizon"}
    for position in found.positions:
        assert position["alt_hae_m"] == pytest.approx(39.9, abs=0.5), "the geoid off Langeoog"
        assert position["le90_m"] < 3.0
    spread_m = [_away_m(each, _place(found.positions[0])) for each in found.positions]
    assert max(spread_m) < 2_000.0


def test_a_height_above_nothing_known_is_no_position(real_data: Path, tmp_path: Path, eager: str) -> None:
    """Without the height of the take-off place the receiver counts as one with a 2D fix."""
    found = _analysed(real_data / SEA, tmp_path, eager, surface=SeaSurface(), hfov_deg=60.0)
    assert found.report.located == 0
    assert set(found.reasons) == {"no_height"}
    assert any("--takeoff-alt-msl-m" in note for note in found.imported.notes)


@pytest.mark.parametrize(
    ("subtitles", "reasons"),
    [
        ("MAVIC3.srt", {"gimbal_stale"}),
        ("mavic_pro.SRT", {"no_telemetry", "no_height"}),
        ("dji_embed_air3S_clip.SRT", {"gimbal_stale", "telemetry_stale"}),
    ],
)
def test_a_video_with_subtitles_gives_detections_and_says_what_the_subtitles_do_not(
    real_data: Path, tmp_path: Path, eager: str, subtitles: str, reasons: set[str]
) -> None:
    """No real pair of both lies here: the subtitles of one flight beside the pictures of another."""
    pair = tmp_path / "pair"
    pair.mkdir()
    shutil.copyfile(real_data / "srt" / subtitles, pair / "flight.srt")
    shutil.copyfile(real_data / "video" / "sds_northsea_z30_2fps_720p.mp4", pair / "flight.mp4")
    found = _analysed(pair, tmp_path, eager, frames=12, hfov_deg=70.0)
    assert found.imported.kind == "DJI video with subtitles"
    assert set(found.reasons) == reasons
    assert any("where the camera points" in note for note in found.imported.notes)


def test_subtitles_alone_are_a_flight_that_has_nothing_to_look_at(real_data: Path, tmp_path: Path) -> None:
    import_flight(real_data / "srt" / "air2s.srt", tmp_path / "flight")
    with pytest.raises(FlightError, match="no images"):
        analyze(tmp_path / "flight", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _place(position: Mapping[str, float]) -> tuple[float, float]:
    return position["latitude_deg"], position["longitude_deg"]
