"""Draws scenarios for the simulator to render: seas, harbours and light that real sets show too seldom.

Only text is made here, so nothing of the simulator is needed; `skywarden sim render` makes the pictures.
"""

import math
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator
HALF_M = 450.0
"""Vessels lie within this of the middle, east and west, and as far south of the coast as twice that."""
PLATFORM = "eye-1"
_KINDS = ("skiff", "go_fast", "fishing", "ship")
_DAY_CAMERA = "width_px = 960\nheight_px = 720"
_LENGTHS_M = {"skiff": 6.0, "go_fast": 12.0, "fishing": 18.0, "ship": 80.0}


@dataclass(frozen=True, kw_only=True)
class _Vessel:
    kind: str
    at: tuple[float, float]
    heading_deg: float
    speed_mps: float = 0.0
    turn_dps: float = 0.0


def world(seed: int, *, is_thermal: bool = False) -> str:
    """A scenario as TOML: one platform, `eye-1`, over drawn sea, coast, weather and vessels.

    `is_thermal` gives it a thermal camera (640 x 512, 16-bit counts) instead of one for the day.

    Every third is seen from straight above, every third from well above, every third from low and aslant; one
    in four has a row of moored boats beside the coast, and one in eight no vessel at all.
    """
    rng = np.random.default_rng((seed, 2026))
    vessels: list[_Vessel] = []
    if seed % 8 != 7:
        vessels = _at_sea(rng, int(rng.integers(8, 22)))
        if seed % 4 == 1:
            vessels += _moored(rng)
    lines = [
        f'name = "drawn-{seed}"',
        f'title = "Drawn sea {seed}"',
        f"seed = {seed}",
        f"start_unix_s = {1768498200 + 3600 * seed}",
        "[place]",
        "latitude_deg = -20.0",
        "longitude_deg = -25.0",
        f"west_m = {-HALF_M - 350}",
        f"east_m = {HALF_M + 350}",
        f"south_m = {-2 * HALF_M - 300}",
        "north_m = 500.0",
        "[light]",
        f"sun_azimuth_deg = {rng.uniform(0, 360):.1f}",
        f"sun_elevation_deg = {rng.uniform(12, 80):.1f}",
        f"visibility_m = {math.exp(rng.uniform(math.log(1500), math.log(30_000))):.0f}",
        "[sea]",
        f"wind_mps = {rng.uniform(1.0, 12.0):.1f}",
        f"wind_towards_deg = {rng.uniform(0, 360):.1f}",
        "[land]",
        f"coast_north_m = {rng.uniform(20, 120):.1f}",
        f"coast_swing_m = {rng.uniform(0, 60):.1f}",
        f"forest_cover = {rng.uniform(0.1, 0.8):.2f}",
    ]
    lines += _huts(rng) + [line for number, one in enumerate(vessels) for line in _told(one, number, rng)]
    text = "\n".join(lines + _platform(seed % 3, rng)) + "\n"
    return text.replace(_DAY_CAMERA, _thermal_camera(rng)) if is_thermal else text


def _thermal_camera(rng: Rng) -> str:
    return f'kind = "thermal"\nwidth_px = 640\nheight_px = 512\nnetd_k = {rng.uniform(0.03, 0.15):.3f}'


def _at_sea(rng: Rng, count: int) -> list[_Vessel]:
    vessels: list[_Vessel] = []
    for _ in range(count):
        kind = str(rng.choice(_KINDS, p=[0.3, 0.34, 0.28, 0.08]))
        at = (float(rng.uniform(-HALF_M, HALF_M)), float(rng.uniform(-2 * HALF_M, -40.0)))
        near = _LENGTHS_M[kind]
        if any(math.dist(at, other.at) < near + _LENGTHS_M[other.kind] for other in vessels):
            continue
        top_mps = {"skiff": 8.0, "go_fast": 22.0, "fishing": 5.0, "ship": 7.0}[kind]
        speed = float(rng.uniform(0.25, 1.0)) * top_mps if rng.random() < 0.7 else 0.0
        # What moves goes round in a circle of at most 150 m, so that it stays where the camera looks.
        turn = math.degrees(speed / float(rng.uniform(50.0, 150.0))) * float(rng.choice([-1.0, 1.0]))
        vessels.append(
            _Vessel(kind=kind, at=at, heading_deg=float(rng.uniform(0, 360)), speed_mps=speed, turn_dps=turn)
        )
    return vessels


def _moored(rng: Rng) -> list[_Vessel]:
    """Boats side by side, in two rows across a gap, as along a pier."""
    kind = str(rng.choice(["skiff", "go_fast", "fishing"]))
    length_m = _LENGTHS_M[kind]
    middle, south = float(rng.uniform(-150, 150)), float(rng.uniform(-140, -90))
    azimuth = float(rng.uniform(-25, 25))
    along = (math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth)))
    vessels = []
    for row, side in enumerate((-1.0, 1.0)):
        for place in range(int(rng.integers(5, 14))):
            step_m = place * length_m * float(rng.uniform(0.5, 0.56))
            off_m = side * (length_m * 0.5 + 2.0)
            at = (middle + along[0] * step_m - along[1] * off_m, south + along[1] * step_m + along[0] * off_m)
            heading = (-azimuth + (180.0 if row else 0.0) + float(rng.normal(0, 3.0))) % 360.0
            if rng.random() < 0.85:
                vessels.append(_Vessel(kind=kind, at=at, heading_deg=heading))
    return vessels


def _told(vessel: _Vessel, number: int, rng: Rng) -> list[str]:
    lines = [
        "[[vessels]]",
        f'id = "vessel-{number}"',
        f'kind = "{vessel.kind}"',
        f"at = [{vessel.at[0]:.1f}, {vessel.at[1]:.1f}]",
        f"heading_deg = {vessel.heading_deg:.1f}",
        f"speed_mps = {vessel.speed_mps:.2f}",
        f"turn_dps = {max(-20.0, min(20.0, vessel.turn_dps)):.2f}",
    ]
    if rng.random() < 0.8:
        level = rng.uniform(25, 245)
        colour = np.clip(level + rng.normal(0, 22, 3), 5, 250).astype(int).tolist()
        lines.append(f"colour_bgr = {colour}")
    return lines


def _huts(rng: Rng) -> list[str]:
    """Roofs and sheds on the shore: what is not a vessel."""
    lines = []
    for number in range(int(rng.integers(4, 16))):
        lines += [
            "[[structures]]",
            f'id = "house-{number}"',
            f'kind = "{rng.choice(["hut", "shed", "nursery"])}"',
            f"at = [{rng.uniform(-HALF_M, HALF_M):.1f}, {rng.uniform(170, 320):.1f}]",
            f"heading_deg = {rng.uniform(0, 360):.1f}",
            f"length_m = {rng.uniform(5, 22):.1f}",
            f"width_m = {rng.uniform(3, 9):.1f}",
        ]
    return lines


def _platform(way: int, rng: Rng) -> list[str]:
    """How it is looked at: 0 straight down, 1 from well above, 2 from low and aslant."""
    far_m = -2 * HALF_M + 150
    alt_m = float(rng.uniform(*((90.0, 320.0), (80.0, 300.0), (35.0, 140.0))[way]))
    lines = [
        "[[platforms]]",
        f'id = "{PLATFORM}"',
        "sysid = 21",
        f"plan = [[-260, {far_m}], [260, {far_m}], [260, -70], [-260, -70]]",
        "turn_radius_m = 80.0",
        f"alt_msl_m = {alt_m:.1f}",
        f"speed_mps = {rng.uniform(24, 34):.1f}",
        "home = [0.0, 160.0]",
        f"look_area = [{-HALF_M - 300}, {-2 * HALF_M - 250}, {HALF_M + 300}, 450.0]",
        "texel_m = 0.5",
        "[platforms.camera]",
        _DAY_CAMERA,
        f"hfov_deg = {rng.uniform(38, 75):.1f}",
        f"noise_sigma = {rng.uniform(0.5, 4.0):.1f}",
        f"jpeg_quality = {int(rng.integers(60, 96))}",
    ]
    if way:
        pitch = rng.uniform(-65, -32) if way == 1 else rng.uniform(-28, -8)
        lines.append(
            'sweep = { reference = "nose", azimuth_deg = 0.0, amplitude_deg = 120.0, '
            f"period_s = {rng.uniform(23, 41):.1f}, pitch_deg = {pitch:.1f} }}"
        )
    return lines
