"""A second opinion on geometry: random cases in the reference form, answered by brute force.

Nothing of ours is used: geodesy is pymap3d's, rotations are scipy's, lenses OpenCV's forward projection, and
a ray is walked along in small steps of float64 until it is under the surface, then halved to a micrometre.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pymap3d
from scipy.spatial.transform import Rotation

FloatArray = np.ndarray
HousingFromCamera = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

LENSES: tuple[dict[str, Any], ...] = (
    {"width": 1920, "height": 1080, "fx": 1500.0, "fy": 1500.0, "cx": 959.5, "cy": 539.5},
    {"width": 3840, "height": 2160, "fx": 21500.0, "fy": 21490.0, "cx": 1919.5, "cy": 1079.5},
    {"width": 640, "height": 512, "fx": 1123.5, "fy": 1123.5, "cx": 319.5, "cy": 255.5, "k": (-0.19, 0.21)},
    {"width": 4056, "height": 3040, "fx": 4826.147, "fy": 4566.952, "cx": 2028.0, "cy": 1520.0,
     "k": (-0.077582, 0.197062, 0.001172, 0.000239, -0.06815)},
    {"width": 1920, "height": 1080, "fx": 980.0, "fy": 981.2, "cx": 955.1, "cy": 544.9,
     "k": (-0.281, 0.0872, 0.0006, -0.0004, -0.0128)},
    {"width": 1280, "height": 720, "fx": 610.0, "fy": 612.0, "cx": 633.0, "cy": 371.0,
     "k": (-0.31, 0.11, -0.0011, 0.0008, -0.018)},
    {"width": 3840, "height": 2160, "fx": 2950.0, "fy": 2948.5, "cx": 1921.7, "cy": 1077.3,
     "k": (-0.0123, 0.0151, -0.00042, 0.00031, -0.0087)},
    {"width": 1920, "height": 1080, "fx": 1400.0, "fy": 1405.0, "cx": 950.0, "cy": 550.0,
     "k": (0.12, -0.05, 0.002, -0.0015, 0.03)},
)  # fmt: skip
PLACES = (
    (38.0, -9.0), (36.9, 21.7), (-3.2, -60.1), (-42.88, 147.33), (-17.2, 179.9985), (66.0, -179.9985),
    (80.0, 15.0), (89.9995, 30.0), (-89.9993, -120.0), (90.0, 0.0), (-90.0, 77.0), (31.5, 35.45),
    (0.0, 0.0), (55.0, 3.0), (-8.1, -74.9), (7.3, -72.9),
)  # fmt: skip


def lens_of(camera: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Camera matrix and distortion for OpenCV."""
    d = camera["distortion"]
    matrix = np.array([[camera["fx"], 0.0, camera["cx"]], [0.0, camera["fy"], camera["cy"]], [0.0, 0.0, 1.0]])
    return matrix, np.array([d[name] for name in ("k1", "k2", "p1", "p2", "k3")])


def fold_of(camera: dict[str, Any]) -> tuple[float, float]:
    """Undistorted and distorted radius of the first place where the radial polynomial stops growing."""
    k1, k2, _, _, k3 = lens_of(camera)[1]
    radius = np.linspace(0.0, 6.0, 600_001)
    grown = radius * (1 + k1 * radius**2 + k2 * radius**4 + k3 * radius**6)
    turns = np.flatnonzero(np.diff(grown) <= 0.0)
    if not turns.size:
        return math.inf, math.inf
    return float(radius[turns[0]]), float(grown[turns[0]])


def height_of(surface: dict[str, Any]) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Height above the ellipsoid of a surface of the reference form."""
    if surface["type"] == "constant_hae":
        return lambda lat, lon: np.full(np.shape(lat), surface["hae_m"])

    def metres(lat: FloatArray, lon: FloatArray, origin: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
        turn = np.remainder(np.asarray(lon) - origin["lon0_deg"] + 180.0, 360.0) - 180.0
        east = turn * 111_320.0 * math.cos(math.radians(origin["lat0_deg"]))
        return (np.asarray(lat) - origin["lat0_deg"]) * 111_320.0, east

    if surface["type"] == "formula_plane":

        def plane(lat: FloatArray, lon: FloatArray) -> FloatArray:
            north, east = metres(lat, lon, surface)
            return surface["hae0_m"] + surface["grad_north"] * north + surface["grad_east"] * east

        return plane

    def hills(lat: FloatArray, lon: FloatArray) -> FloatArray:
        total = np.full(np.shape(lat), float(surface["base_hae_m"]))
        for hill in surface["hills"]:
            north, east = metres(lat, lon, hill)
            total = total + hill["amp_m"] * np.exp(-(north**2 + east**2) / (2 * hill["sigma_m"] ** 2))
        return total

    return hills


@dataclass
class Walk:
    """What walking along a ray found: a word, the range, and how near it came to the other answer."""

    status: str
    range_m: float
    margin_m: float


def walk(
    surface: dict[str, Any], start_ecef: FloatArray, ray_ecef: FloatArray, *, reach_m: float, step_m: float
) -> Walk:
    """Step along the ray until it is under the surface, then halve."""
    height = height_of(surface)

    def clearance(t: FloatArray) -> FloatArray:
        point = start_ecef + np.asarray(t)[..., None] * ray_ecef
        lat, lon, alt = pymap3d.ecef2geodetic(point[..., 0], point[..., 1], point[..., 2])
        return np.asarray(alt - height(lat, lon))

    first = float(clearance(np.array([0.0]))[0])
    if first <= 0.0:
        return Walk("camera_below_surface", math.nan, -first)
    lowest = first
    for begin in np.arange(0.0, reach_m, 4000 * step_m):
        t = begin + step_m * np.arange(4001)
        above = clearance(t)
        under = np.flatnonzero(above <= 0.0)
        if under.size:
            low, high = float(t[under[0] - 1]), float(t[under[0]])
            for _ in range(40):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if clearance(np.array([middle]))[0] > 0 else (low, middle)
            return Walk("hit", 0.5 * (low + high), min(lowest, float(-above[under[0] :].min())))
        least = int(np.argmin(above))
        if 0 < least < 4000:  # the lowest point between samples, by a parabola's worth of finer steps
            fine = np.linspace(t[least - 1], t[least + 1], 400)
            finer = clearance(fine)
            if finer.min() <= 0.0:
                return Walk("hit", float(fine[np.argmax(finer <= 0.0)]), 0.0)
            lowest = min(lowest, float(finer.min()))
        lowest = min(lowest, float(above.min()))
    # Where the ground still comes nearer at the end of the walk, what lies beyond is not ours to say.
    return Walk("no_intersection", math.nan, lowest if above[-1] > above[-2] else 0.0)


class Maker:
    """Random cases of the reference form, each with its brute-force answer under `expected`."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def cases(self, count: int) -> list[dict[str, Any]]:
        """So many cases whose answer does not hang on a millimetre."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            case = self._case()
            if case is not None:
                found.append(case)
        return found

    def camera(self) -> dict[str, Any]:
        """One of the lenses."""
        lens = LENSES[self._rng.integers(len(LENSES))]
        k = (*lens.get("k", ()), 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        names = dict(zip(("k1", "k2", "p1", "p2", "k3"), k, strict=True))
        camera = {name: value for name, value in lens.items() if name != "k"}
        return camera | {"distortion": {"model": "opencv_brown_conrady"} | names}

    def _case(self) -> dict[str, Any] | None:
        rng = self._rng
        lat, lon = PLACES[rng.integers(len(PLACES))]
        if abs(lat) < 85.0:
            lat += float(rng.uniform(-0.01, 0.01))
        surface = self._surface(lat, lon)
        ground = float(height_of(surface)(np.array(lat), np.array(lon)))
        agl = float(np.exp(rng.uniform(np.log(20.0), np.log(3000.0))))
        below = rng.uniform() < 0.04
        hae = ground - 0.5 * agl if below else ground + agl
        if not -900.0 < hae < 9000.0:
            return None
        vehicle = {
            "roll": float(rng.uniform(-35, 35)),
            "pitch": float(rng.uniform(-25, 25)),
            "yaw": float(rng.uniform(-360, 360)),
        }
        ned_body = Rotation.from_euler("ZYX", [vehicle["yaw"], vehicle["pitch"], vehicle["roll"]], True)
        message, ned_housing = self._gimbal(vehicle["yaw"], ned_body)
        arm = rng.uniform(-1.5, 1.5, 3).round(3) if rng.uniform() < 0.4 else np.zeros(3)
        boresight = rng.uniform(-2, 2, 3).round(3) if rng.uniform() < 0.4 else np.zeros(3)
        housing_camera = Rotation.from_euler("ZYX", boresight[::-1], True).as_matrix() @ HousingFromCamera
        camera = self.camera()
        plane = self._plane_point(camera)
        if surface["type"] == "constant_hae" and rng.uniform() < 0.2:
            message, ned_housing = self._towards_the_horizon(6_371_000.0 / (6_371_000.0 + agl))
            plane = plane * 0.05
        ned_ray = ned_housing.as_matrix() @ housing_camera @ np.array([*plane, 1.0])
        ned_ray /= np.linalg.norm(ned_ray)
        origin = np.array(pymap3d.geodetic2ecef(lat, lon, hae))
        ecef_ned = _ecef_from_ned(lat, lon)
        start = origin + ecef_ned @ (ned_body.as_matrix() @ arm)
        ray = ecef_ned @ ned_ray
        answer = self._walked(surface, start, ray, ned_ray)
        if answer is None:
            return None
        matrix, distortion = lens_of(camera)
        pixel = cv2.projectPoints(np.array([[*plane, 1.0]]), np.zeros(3), np.zeros(3), matrix, distortion)[
            0
        ].reshape(2)
        expected: dict[str, Any] = {"status": answer.status}
        if (
            rng.uniform() < 0.05
            and math.isfinite(fold_of(camera)[1])
            and answer.status != "camera_below_surface"
        ):
            angle, radius = rng.uniform(0, math.tau), fold_of(camera)[1] * rng.uniform(1.03, 1.3)
            pixel = np.array([camera["cx"], camera["cy"]]) + radius * np.array(
                [camera["fx"] * math.cos(angle), camera["fy"] * math.sin(angle)]
            )
            expected = {"status": "pixel_not_invertible"}
        elif answer.status == "hit":
            point = start + answer.range_m * ray
            place = pymap3d.ecef2geodetic(*point)
            expected |= {
                "lat_deg": float(place[0]),
                "lon_deg": float(place[1]),
                "hae_m": float(place[2]),
                "slant_range_m": answer.range_m,
            }
        self._count += 1
        case: dict[str, Any] = {
            "id": f"R{self._count:04d}",
            "camera": camera,
            "platform": self._platform(lat, lon, hae),
            "vehicle_attitude_deg": vehicle,
            "gimbal": message,
            "surface": surface,
            "pixel": {"u": float(pixel[0]), "v": float(pixel[1])},
            "expected": expected,
        }
        if arm.any():
            case["lever_arm_body_frd_m"] = arm.tolist()
        if boresight.any():
            case["boresight_euler_deg"] = dict(zip(("roll", "pitch", "yaw"), boresight.tolist(), strict=True))
        return case

    def _walked(
        self, surface: dict[str, Any], start: FloatArray, ray: FloatArray, ned_ray: FloatArray
    ) -> Walk | None:
        reach = {"constant_hae": 250_000.0, "formula_plane": 90_000.0, "gaussian_hills": 12_000.0}
        step = {"constant_hae": 20.0, "formula_plane": 10.0, "gaussian_hills": 1.0}
        kind = surface["type"]
        if kind != "constant_hae" and abs(ned_ray[2]) < 0.02:
            return None  # what lies beyond this referee's reach is not its to say
        answer = walk(surface, start, ray, reach_m=reach[kind], step_m=step[kind])
        if answer.status == "no_intersection" and kind == "gaussian_hills" and ned_ray[2] > 0.0:
            return None
        return None if answer.margin_m < 2e-3 else answer

    def _plane_point(self, camera: dict[str, Any]) -> FloatArray:
        """A point of the undistorted plane, inside the image more or less, and well before the fold."""
        half = np.array([camera["width"] / camera["fx"], camera["height"] / camera["fy"]]) / 2
        point = self._rng.uniform(-1.0, 1.0, 2) * half
        limit = 0.93 * fold_of(camera)[0]
        radius = float(np.hypot(*point))
        return point if radius < limit else point * (limit / radius)

    def _surface(self, lat: float, lon: float) -> dict[str, Any]:
        rng = self._rng
        kind = rng.choice(["constant_hae", "formula_plane", "gaussian_hills"], p=[0.4, 0.25, 0.35])
        base = float(rng.choice([0.0, -410.0, 55.2, 300.0, 2500.0]))
        if kind == "constant_hae" or abs(lat) > 85.0:
            return {"type": "constant_hae", "hae_m": base}
        if kind == "formula_plane":
            north, east = rng.uniform(-0.35, 0.35, 2)
            return {
                "type": "formula_plane",
                "hae0_m": base,
                "lat0_deg": lat,
                "lon0_deg": lon,
                "grad_north": float(north),
                "grad_east": float(east),
            }
        hills = [
            {
                "lat0_deg": lat + float(rng.uniform(-0.015, 0.015)),
                "lon0_deg": lon + float(rng.uniform(-0.015, 0.015)),
                "amp_m": float(rng.uniform(-60, 350)),
                "sigma_m": float(rng.uniform(25, 300)),
            }
            for _ in range(rng.integers(1, 7))
        ]
        return {"type": "gaussian_hills", "base_hae_m": base, "hills": hills}

    def _platform(self, lat: float, lon: float, hae: float) -> dict[str, Any]:
        """The height under one of its names; where the source is another, `hae_m` may lack or be the same."""
        platform: dict[str, Any] = {"lat_deg": lat, "lon_deg": lon}
        match self._rng.integers(4):
            case 0:
                undulation = float(self._rng.uniform(-100, 80))
                platform |= {
                    "amsl_m": hae - undulation,
                    "geoid_undulation_m": undulation,
                    "altitude_source": "amsl",
                }
            case 1:
                home = hae - float(self._rng.uniform(10, 300))
                platform |= {
                    "relative_alt_m": hae - home,
                    "home_hae_m": home,
                    "altitude_source": "relative_to_home",
                }
            case _:
                platform["hae_m"] = hae
        return platform

    def _towards_the_horizon(self, ratio: float) -> tuple[dict[str, Any], Rotation]:
        """A gimbal that looks at about the dip of the horizon: hits and misses a few hundredths apart."""
        pitch = -math.degrees(math.acos(ratio)) * float(self._rng.uniform(0.9, 1.5))
        turned = Rotation.from_euler("ZYX", [float(self._rng.uniform(-180, 180)), pitch, 0.0], True)
        message = {"message": "GIMBAL_DEVICE_ATTITUDE_STATUS", "delta_yaw_rad": None, "flags": 64}
        return message | {"q_wxyz": turned.as_quat()[[3, 0, 1, 2]].tolist()}, turned

    def _gimbal(self, heading: float, ned_body: Rotation) -> tuple[dict[str, Any], Rotation]:
        rng = self._rng
        roll = float(rng.uniform(-8, 8)) if rng.uniform() < 0.5 else 0.0
        pitch = float(rng.choice([-90.0, rng.uniform(-90, 0), rng.uniform(-30, 12)]))
        yaw = float(rng.uniform(-180, 180))
        turned = Rotation.from_euler("ZYX", [yaw, pitch, roll], True)
        by_heading = Rotation.from_euler("Z", heading, True)
        lock = int(rng.choice([0, 4, 8, 12]))
        w_first = turned.as_quat()[[3, 0, 1, 2]] * rng.choice([-1.0, 1.0])
        device = {
            "message": "GIMBAL_DEVICE_ATTITUDE_STATUS",
            "q_wxyz": w_first.tolist(),
            "delta_yaw_rad": None,
        }
        match rng.integers(10):
            case 0:  # earth, said so; a delta_yaw is no business of it
                delta = float(rng.uniform(-3, 3)) if rng.uniform() < 0.5 else None
                return device | {
                    "flags": lock | 64 | int(rng.choice([0, 16])),
                    "delta_yaw_rad": delta,
                }, turned
            case 1:  # vehicle, said so, heading from the attitude
                return device | {"flags": lock | 32 | int(rng.choice([0, 16]))}, by_heading * turned
            case 2:  # vehicle, said so, with its own heading
                delta = float(rng.uniform(-3, 3))
                return device | {"flags": lock | 32, "delta_yaw_rad": delta}, (
                    Rotation.from_euler("Z", delta) * turned
                )
            case 3:  # before 2022: locked is earth
                return device | {"flags": lock | 16, "delta_yaw_rad": 0.0}, turned
            case 4:  # before 2022: not locked is the vehicle; a delta_yaw that is only padding
                return device | {"flags": lock, "delta_yaw_rad": 0.0}, by_heading * turned
            case 5:
                angles = {"roll_deg": roll, "pitch_deg": pitch, "yaw_deg": float(rng.uniform(-180, 180))}
                absolute = {"message": "MOUNT_ORIENTATION", "yaw_absolute_deg": yaw}
                return absolute | angles, turned
            case 6:
                angles = {"roll_deg": roll, "pitch_deg": pitch, "yaw_deg": yaw}
                relative = {"message": "MOUNT_ORIENTATION", "yaw_absolute_deg": None}
                return relative | angles, by_heading * turned
            case 7:
                hundredths = {
                    "message": "MOUNT_STATUS",
                    "pointing_a": round(100 * pitch),
                    "pointing_b": round(100 * roll),
                    "pointing_c": round(100 * yaw),
                }
                angles_deg = [round(100 * yaw) / 100, round(100 * pitch) / 100, round(100 * roll) / 100]
                return hundredths, by_heading * Rotation.from_euler("ZYX", angles_deg, True)
            case 8:  # ArduPilot's servo backend
                return device | {"flags": lock | 32, "resolved_frame": "body"}, ned_body * turned
            case _:
                mount = {"roll": roll, "pitch": pitch, "yaw": yaw}
                fixed = {"message": "none (fixed mount)", "mount_euler_body_to_housing_deg": mount}
                return fixed, ned_body * turned


DRAWS = 40_000


def sampled_ce90(case: dict[str, Any], sigmas: dict[str, float], seed: int) -> float:
    """CE90 of a case over level ground by drawing its errors; misses count as infinitely far.

    Errors are those of the reference file: position in ned; a small turn of the housing on its own axes;
    heading about down; the surface; the pixel. `case` points by `q_earth_wxyz`, without distortion.
    """
    rng = np.random.default_rng(seed)
    camera, platform = case["camera"], case["platform"]
    lat, lon, hae = platform["lat_deg"], platform["lon_deg"], platform["hae_m"]
    w, x, y, z = case["gimbal"]["q_wxyz"]
    housing = Rotation.from_quat([x, y, z, w])
    ecef_ned = _ecef_from_ned(lat, lon)
    origin = np.array(pymap3d.geodetic2ecef(lat, lon, hae))

    def landed(
        move: FloatArray, turn: FloatArray, heading: FloatArray, lift: FloatArray, pixel: FloatArray
    ) -> FloatArray:
        plane = (pixel - [camera["cx"], camera["cy"]]) / [camera["fx"], camera["fy"]]
        rays = np.column_stack([plane, np.ones(len(plane))]) @ HousingFromCamera.T
        rays = (housing * Rotation.from_rotvec(turn)).apply(rays)
        rays = Rotation.from_rotvec(np.outer(heading, [0.0, 0.0, 1.0])).apply(rays)
        rays = rays / np.linalg.norm(rays, axis=1)[:, None] @ ecef_ned.T
        start = origin + move @ ecef_ned.T
        axis = np.column_stack([np.full((len(lift), 2), 6_378_137.0), np.full(len(lift), 6_356_752.314245)])
        axis += (case["surface"]["hae_m"] + lift)[:, None]
        s, r = start / axis, rays / axis
        a, b, c = np.sum(r * r, axis=1), np.sum(s * r, axis=1), np.sum(s * s, axis=1) - 1.0
        with np.errstate(invalid="ignore"):
            t = (-b - np.sqrt(b * b - a * c)) / a
        return start + np.where(t > 0, t, np.nan)[:, None] * rays

    pixel = np.array([case["pixel"]["u"], case["pixel"]["v"]])
    none = np.zeros((1, 3))
    truth = landed(none, none, np.zeros(1), np.zeros(1), pixel[None])[0]
    found = landed(
        rng.normal(size=(DRAWS, 3)) * [sigmas["pos_n_m"], sigmas["pos_e_m"], sigmas["pos_d_m"]],
        np.radians(rng.normal(size=(DRAWS, 3)) * sigmas["rot_fwd_deg"]),
        np.radians(rng.normal(size=DRAWS) * sigmas["heading_deg"]),
        rng.normal(size=DRAWS) * sigmas["surface_m"],
        pixel + rng.normal(size=(DRAWS, 2)) * [sigmas["pixel_u"], sigmas["pixel_v"]],
    )
    place = pymap3d.ecef2geodetic(*truth)
    off = (found - truth) @ _ecef_from_ned(place[0], place[1])
    away = np.hypot(off[:, 0], off[:, 1])
    return float(np.quantile(np.where(np.isnan(away), np.inf, away), 0.9))


def _ecef_from_ned(lat: float, lon: float) -> FloatArray:
    """From scipy: first turned about the pole, then tipped."""
    return (Rotation.from_euler("z", lon, True) * Rotation.from_euler("y", -90.0 - lat, True)).as_matrix()
