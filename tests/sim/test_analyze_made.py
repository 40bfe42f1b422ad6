"""An analysis follows the flight's own description of its cameras."""

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from sim.analyze import analyze
from skywarden.flight import ClockNote, FlightWriter, GimbalMount, Sensor
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.geodesy import ned_from_geodetic
from skywarden.geometry.rotations import quaternion_from_euler_deg
from skywarden.mavlink.synth import MessageMaker

pytestmark = pytest.mark.slow

T0 = 1_760_000_000_000_000_000
MS = 1_000_000
PLACE = (41.5, 12.5)
POINTING = {154: (0.0, -45.0), 171: (90.0, -45.0)}


def _flight(path: Path, mount: GimbalMount) -> Path:
    """Two seconds at 100 m with a gimbal that looks north (154) and one that looks east (171)."""
    camera = CameraModel.from_hfov(640, 480, 40.0)
    sensor = Sensor(sensor_id="eo", mount=mount, camera=camera.to_jsonable(), width_px=640, height_px=480)
    vehicle = MessageMaker(1, 1)
    heads = {compid: MessageMaker(1, compid) for compid in POINTING}
    image = np.full((480, 640, 3), 90, np.uint8)
    image[236:244, 316:324] = (40, 40, 250)
    with FlightWriter(
        path,
        sortie_id="s1",
        platform_id="p1",
        telemetry_source="test",
        clock=ClockNote(source="test"),
        sensors=(sensor,),
    ) as writer:
        for step in range(21):
            boot_ms, now_ns = 1_000 + 100 * step, T0 + 100 * step * MS
            place = {
                "latitude_deg": PLACE[0],
                "longitude_deg": PLACE[1],
                "alt_msl_m": 300.0,
                "alt_rel_m": 100.0,
            }
            frames = [
                vehicle.heartbeat(),
                vehicle.global_position_int(time_boot_ms=boot_ms, **place),
                vehicle.attitude(time_boot_ms=boot_ms, roll_deg=0.0, pitch_deg=0.0, heading_deg=0.0),
            ]
            for compid, (azimuth_deg, elevation_deg) in POINTING.items():
                w, x, y, z = quaternion_from_euler_deg(0.0, elevation_deg, azimuth_deg).tolist()
                frames.append(
                    heads[compid].gimbal_device_attitude_status(time_boot_ms=boot_ms, q=(w, x, y, z))
                )
            for raw in frames:
                writer.append_telemetry(now_ns, raw)
        data = cv2.imencode(".png", image)[1].tobytes()
        writer.add_frame("eo", 0, T0 + 1_050 * MS, data, name="0")
    return path


def _detections(tmp_path: Path, mount: GimbalMount) -> list[dict[str, Any]]:
    analyze(_flight(tmp_path / "flight", mount), tmp_path / "out")
    lines = (tmp_path / "out" / "detections.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line) for line in lines]


@pytest.mark.parametrize(("device_id", "north_east_m"), [(154, (100.0, 0.0)), (171, (0.0, 100.0))])
def test_a_camera_looks_where_the_gimbal_of_its_mount_points(
    tmp_path: Path, device_id: int, north_east_m: tuple[float, float]
) -> None:
    (found,) = _detections(tmp_path, GimbalMount(gimbal_device_id=device_id))
    position = found["position"]
    there = (position["latitude_deg"], position["longitude_deg"], position["alt_hae_m"])
    away_m = ned_from_geodetic(there, *PLACE, position["alt_hae_m"])
    assert away_m[:2] == pytest.approx(north_east_m, abs=2.0)


def test_without_the_name_of_its_gimbal_a_camera_gets_no_position(tmp_path: Path) -> None:
    (found,) = _detections(tmp_path, GimbalMount())
    assert found["position"] is None
    assert found["no_position_reason"] == "gimbal_stale"
