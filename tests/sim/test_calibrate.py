"""`skywarden calibrate`: AIS files, which track is which vessel, marks in stills, a real flight, words."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge.calibration.control_points import KNOT_MPS, VesselTrack
from edge.calibration.record import Calibration, HeldOut, read_calibration
from edge.calibration.solver import estimate, find_lies
from sim.accuracy.truth.ais_flights import CAMERA, ORIGIN, AisFlight, observe
from sim.ais_file import read_ais
from sim.analyze import AnalyzeOptions, calibration_of
from sim.calibrate import CalibrateOptions, TrackLook, calibrate, report_json, report_text, vessel_looks
from sim.calibrate_plot import plot_calibration
from sim.importers import import_flight
from skywarden.cli import run
from skywarden.errors import InputError
from skywarden.flight.schema import FixedMount, Sensor
from skywarden.geometry.terrain import load_terrain
from skywarden.times import rfc3339

SENTENCE = "!AIVDM,1,1,,B,15M67FC000G?ufbE`FepT@3n00Sa,0*5C"


def test_nmea_with_a_tag_block_or_a_time_behind_it_is_read(tmp_path: Path) -> None:
    for line in (f"\\s:st,c:1700000102*3E\\{SENTENCE}", f"{SENTENCE},1700000102"):
        path = tmp_path / "ais.nmea"
        path.write_text(f"# comment\n{line}\nnonsense\n!AIVDM,9,9,,A,broken,0*00\n", encoding="utf-8")
        (report,) = read_ais(path)["366053209"]
        assert report.time_ns == 1_700_000_099 * 10**9  # its second is 59
        assert report.latitude_deg == pytest.approx(37.802118)
        assert report.heading_deg == 1.0
        assert not report.is_accurate


def test_nmea_without_times_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ais.nmea"
    path.write_text(f"{SENTENCE}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"no position report with a time .*1 had no time of reception"):
        read_ais(path)


@pytest.mark.slow
@pytest.mark.real_data
def test_foreign_ais_logs_are_read_without_harm(real_data: Path, tmp_path: Path) -> None:
    for log in sorted((real_data / "ais").rglob("*"))[:60]:
        if log.is_file() and log.stat().st_size < 300_000:
            path = tmp_path / "log"
            path.write_bytes(b"".join(line + b",1700000102\n" for line in log.read_bytes().splitlines()))
            try:
                reports = read_ais(path)
            except InputError:
                continue
            for rows in reports.values():
                assert all(abs(row.latitude_deg) <= 90.0 for row in rows)


def test_json_lines_are_read_and_nonsense_in_them_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "ais.jsonl"
    good = {"time": "2023-11-14T22:14:00.7Z", "mmsi": 7, "lat_deg": 43.0, "lon_deg": 5.0, "sog_kn": 10.0}
    bad = [good | {"lat_deg": 95}, good | {"sog_kn": -3}, good | {"time": "now"}, good | {"mmsi": "x"}]
    path.write_text("\n".join(json.dumps(row) for row in [*bad, good]) + "\n{]\n", encoding="utf-8")
    (report,) = read_ais(path)["7"]
    assert report.sog_mps == pytest.approx(10.0 * KNOT_MPS)
    assert report.time_ns % 10**9 == 0


@pytest.mark.slow
def test_tracks_of_a_flight_find_their_vessels_in_a_file_and_the_liar_is_named(tmp_path: Path) -> None:
    flown = observe(AisFlight(seed=31))
    path = tmp_path / "ais.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for reports in flown.reports.values():
            for row in reports:
                line = {
                    "time": rfc3339(row.time_ns),
                    "mmsi": row.mmsi,
                    "lat_deg": row.latitude_deg,
                    "lon_deg": row.longitude_deg,
                    "sog_kn": (row.sog_mps or 0.0) / KNOT_MPS,
                    "cog_deg": row.cog_deg,
                    "heading_deg": row.heading_deg,
                    "accuracy": True,
                    "dimensions": [10, 10, 3, 3],
                }
                file.write(json.dumps(line) + "\n")
    vessels = {name: VesselTrack(rows, surface_hae_m=ORIGIN[2]) for name, rows in read_ais(path).items()}
    tracks = {
        f"track of {name}": [TrackLook(pose=pose, pixel=pixel, sigma_px=2.0) for pose, pixel in looks]
        for name, looks in flown.seen.items()
    }
    looks, notes = vessel_looks(tracks, vessels, CAMERA)
    told = [note.removeprefix("track of ").split(" is vessel ") for note in notes]
    assert all(track == vessel for track, vessel in told)
    assert len(told) >= 4
    assert {lie.thing for lie in find_lies(looks)} <= {flown.spoofed}
    names = np.array(looks.things)[looks.thing]
    honest = looks.of(names != flown.spoofed)
    found = estimate(honest)
    assert abs(found.value("heading_deg") - flown.truth["heading_deg"]) < 4 * found.sigma("heading_deg")


@pytest.mark.slow
@pytest.mark.real_data
def test_marks_in_stills_get_better_by_the_flights_own_position_and_no_file_is_made(
    real_data: Path, tmp_path: Path
) -> None:
    report = calibrate(real_data / "geolocation" / "field_marks.json")
    assert report.calibration is None
    assert report.verdict.startswith("refused: held-out misses")
    assert "accepted" in report.notes[0]
    text = report_text(report)
    assert "(this flight only)" in text
    plot = tmp_path / "marks.png"
    plot_calibration(report, plot)
    assert plot.read_bytes()[:4] == b"\x89PNG"
    assert json.loads(json.dumps(report_json(report)))["is_accepted"] is False


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_flight_is_calibrated_and_the_record_reads_back(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flight = tmp_path / "flight"
    import_flight(real_data / "recordings" / "cuav-2018", flight)
    terrain = real_data / "terrain" / "S36E149_srtm3.tif"
    out, plot = tmp_path / "calibration.toml", tmp_path / "found.png"
    words = ["calibrate", str(flight), "--terrain", str(terrain), "--out", str(out), "--plot", str(plot)]
    code = run([*words, "--json", "--quiet"])
    tree = json.loads(capsys.readouterr().out)
    assert code == (0 if tree["is_accepted"] else 3)
    assert tree["time_offset"]["is_observable"]
    assert tree["source"] == "repeated looks at what stands still"
    assert {row["name"] for row in tree["parameters"]} >= {"heading_deg", "time_offset_s"}
    assert plot.is_file()
    assert out.is_file() == tree["is_accepted"]
    if tree["is_accepted"]:
        kept = read_calibration(out)
        assert kept.sensor_id == "eo"
        assert kept.held_out.after_rms_m < kept.held_out.before_rms_m


@pytest.mark.slow
@pytest.mark.real_data
def test_a_flight_without_anything_to_look_at_says_so(real_data: Path, tmp_path: Path) -> None:
    flight = tmp_path / "flight"
    import_flight(real_data / "recordings" / "cuav-2018", flight)
    options = CalibrateOptions(
        min_score=1.0, surface=load_terrain(real_data / "terrain" / "S36E149_srtm3.tif")
    )
    with pytest.raises(InputError, match="no track of 4 looks or more"):
        calibrate(flight, options)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["calibrate", "nowhere"], "nowhere"),
        (["calibrate", "x", "--control", "a", "--ais", "b"], "give one of --control and --ais"),
        (["calibrate", "x", "--terrain", "a", "--sea"], "give one of --terrain and --sea"),
        (["calibrate", "x", "--out", "/nowhere/at/all.toml"], "name a file in a folder that is there"),
    ],
)
def test_wrong_words_are_told_in_a_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) != 0
    assert message in capsys.readouterr().err


def test_the_help_shows_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "--help"]) == 0
    out = capsys.readouterr().out
    assert "skywarden calibrate flight --sea --ais ais.nmea" in out
    assert np.char.find(out, "exit code 3") >= 0


@pytest.mark.parametrize("name", ["eo", "another"])
def test_an_analysis_uses_a_calibration_of_its_own_sensor_and_of_no_other(
    name: str,
) -> None:
    calibration = Calibration(
        sensor_id=name,
        platform_id="uav",
        made="2026-11-22T01:00:00Z",
        software="skywarden",
        source="test",
        data_sha256="0" * 64,
        noise_deg=0.1,
        names=("heading_deg",),
        values=(5.0,),
        covariance=((0.01,),),
        held_out=HeldOut(**dict.fromkeys(HeldOut.__struct_fields__[:-1], 1), sentence="accepted"),
    )
    sensor = Sensor(sensor_id="eo", mount=FixedMount())
    options = AnalyzeOptions(calibration=calibration)
    assert (calibration_of(sensor, options) is calibration) == (name == "eo")
    assert calibration_of(sensor, AnalyzeOptions()) is None
