"""A calibration as it is kept: what was found, how surely, from what, and how it proved itself; and its use.

The file is TOML that a person can read. It is applied to every pose: corrections to the rotation and to the
instant at which telemetry is read, the sigmas to the error budget.
"""

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from edge.calibration.looks import LASTING
from edge.calibration.solver import Estimate, Proof, SolverConfig
from skywarden.errors import InputError
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import CameraPose, PoseSigmas
from skywarden.geometry.rotations import GIMBAL_FROM_CAMERA, matrix_from_vector_rad

FloatArray = npt.NDArray[np.float64]

FORMAT = 1
MAX_FILE_BYTES = 1_000_000
MAX_CORRECTION = {"time_offset_s": 10.0, "focal_ln": 0.3}
MAX_ANGLE_DEG = 20.0

Text = Annotated[str, Meta(max_length=512)]
Number = Annotated[float, Meta(ge=-1e6, le=1e6)]
Sigma = Annotated[float, Meta(ge=0.0, le=1e6)]


class HeldOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proof: misses (metres) of looks that took no part, before and after."""

    looks: Annotated[int, Meta(ge=0)]
    blocks: Annotated[int, Meta(ge=0)]
    folds: Annotated[int, Meta(ge=0)]
    before_rms_m: Sigma
    after_rms_m: Sigma
    before_ce90_m: Sigma
    after_ce90_m: Sigma
    gain: Number
    lower_gain: Number
    sentence: Text


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sensor's calibration.

    Attributes:
        format: version of this file.
        sensor_id, platform_id, sortie_id: whose it is and which flight it comes from.
        made: RFC 3339 time; software: version that made it; source: kinds of looks it was made from.
        data_sha256: of the data it was made from.
        frame_lag_s: what the flight stated; `time_offset_s` comes on top of it.
        names, values, covariance: corrections in the units of their names, to be added to what is told; rows
            of the covariance in the same order.
        unobservable: parameters that the looks did not tell, and why; their value is 0.
        noise_deg: attitude error that remains from look to look, per axis.
        left_out: things (vessels, points) that contradicted the others.
        held_out: how it proved itself.
    """

    format: int = FORMAT
    sensor_id: Text
    platform_id: Text
    sortie_id: Text = ""
    made: Text
    software: Text
    source: Text
    data_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    frame_lag_s: Number = 0.0
    noise_deg: Sigma
    names: Annotated[tuple[str, ...], Meta(max_length=16)]
    values: tuple[Number, ...]
    covariance: tuple[tuple[Number, ...], ...]
    left_out: tuple[Text, ...] = ()
    unobservable: dict[str, Text] = {}
    held_out: HeldOut

    def __post_init__(self) -> None:
        """Refuse what cannot be a calibration; msgspec tells it as a validation error."""
        count = len(self.names)
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is not known here; this program reads {FORMAT}")
        if len(self.values) != count or [len(row) for row in self.covariance] != [count] * count:
            raise ValueError(
                f"{count} names need {count} values and a covariance of {count} rows and columns"
            )
        if len(set(self.names)) != count or not set(self.names) <= LASTING:
            raise ValueError(f"names are {', '.join(self.names)}; known are {', '.join(sorted(LASTING))}")
        for name, value in zip(self.names, self.values, strict=True):
            limit = MAX_CORRECTION.get(name, MAX_ANGLE_DEG)
            if not abs(value) <= limit:
                raise ValueError(
                    f"{name} is {value}; a correction beyond {limit} is a wrong mount, not a bias"
                )
        matrix = np.array(self.covariance).reshape(count, count)
        is_symmetric = np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-12)
        if count and (not is_symmetric or float(np.linalg.eigvalsh(matrix).min()) < -1e-9):
            raise ValueError("the covariance is not one: not symmetric, or with a negative variance")

    def value(self, name: str) -> float:
        """One correction; 0 when it is not among them."""
        return self.values[self.names.index(name)] if name in self.names else 0.0

    def sigma(self, name: str) -> float | None:
        """Its one-sigma error; None when it is not among them or was not told by the looks."""
        if name not in self.names or name in self.unobservable:
            return None
        number = self.names.index(name)
        return math.sqrt(max(0.0, self.covariance[number][number]))

    @property
    def time_offset_s(self) -> float:
        """Telemetry for a frame is read so much earlier than its time says."""
        return self.value("time_offset_s")

    def rotation(self, ned_from_camera: FloatArray) -> FloatArray:
        """The corrected rotation, shape (3, 3), of camera axes into ned."""
        boresight = np.radians([self.value(f"boresight_{axis}_deg") for axis in ("roll", "pitch", "yaw")])
        in_housing = GIMBAL_FROM_CAMERA.T @ matrix_from_vector_rad(boresight) @ GIMBAL_FROM_CAMERA
        heading = matrix_from_vector_rad([0.0, 0.0, math.radians(self.value("heading_deg"))])
        right = np.array([-ned_from_camera[1, 2], ned_from_camera[0, 2], 0.0])
        length = float(np.linalg.norm(right))
        right = right / length if length > 1e-3 else ned_from_camera[:, 0]
        raised = matrix_from_vector_rad(right * math.radians(self.value("elevation_deg")))
        rotation: FloatArray = heading @ raised @ ned_from_camera @ in_housing
        return rotation

    def pose(self, pose: CameraPose, time_ns: int) -> CameraPose:
        """A pose (of the corrected instant) with its rotation corrected, said of the frame at `time_ns`."""
        return replace(
            pose, time_ns=time_ns, rotation_ned_from_camera=self.rotation(pose.rotation_ned_from_camera)
        )

    def camera(self, camera: CameraModel) -> CameraModel:
        """The lens with its focal length corrected."""
        scale = math.exp(self.value("focal_ln"))
        return camera if scale == 1.0 else replace(camera, fx=camera.fx * scale, fy=camera.fy * scale)

    def sigmas(self, prior: PoseSigmas) -> PoseSigmas:
        """The error budget with this calibration applied; what was not told keeps its prior.

        Roll about the optical axis counts half: it moves nothing in the middle of the image and at most half
        as much as the other axes at the rim of a lens of 50 degrees.
        """
        told = {name: self.sigma(name) for name in self.names}
        changes: dict[str, float] = {}
        pitch = told.get("boresight_pitch_deg") or told.get("elevation_deg")
        if pitch is not None:
            yaw, roll = told.get("boresight_yaw_deg") or 0.0, told.get("boresight_roll_deg")
            of_roll = prior.boresight_deg if roll is None else 0.5 * roll
            changes["boresight_deg"] = max(pitch, yaw, min(of_roll, prior.boresight_deg))
            changes["tilt_deg"] = min(prior.tilt_deg, self.noise_deg)
            changes["principal_px"] = 0.0
        if (heading := told.get("heading_deg")) is not None:
            changes["heading_deg"] = min(prior.heading_deg, math.hypot(heading, self.noise_deg))
        if (time_s := told.get("time_offset_s")) is not None:
            changes["time_offset_s"] = time_s
        if (focal := told.get("focal_ln")) is not None:
            changes["focal_percent"] = 100.0 * focal
        return replace(prior, **changes)


def lasting_part(found: Estimate) -> tuple[tuple[str, ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Names, values and covariance rows of the parameters that belong to the machine."""
    keep = [number for number, name in enumerate(found.names) if name in LASTING]
    rows = found.covariance[np.ix_(keep, keep)]
    rows = 0.5 * (rows + rows.T)
    return (
        tuple(found.names[number] for number in keep),
        tuple(float(found.values[number]) for number in keep),
        tuple(tuple(float(cell) for cell in row) for row in rows),
    )


def held_out(proof: Proof) -> HeldOut:
    """The proof as it is recorded."""
    return HeldOut(**{name: getattr(proof, name) for name in HeldOut.__struct_fields__})


def remaining_noise_deg(found: Estimate, config: SolverConfig) -> float:
    """Attitude error from look to look: what was assumed, or more where the residuals say so."""
    return config.look_attitude_deg * max(1.0, found.scale)


def read_calibration(path: Path) -> Calibration:
    """Raises `InputError`, naming the file, on anything that is not a calibration."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {size} bytes are over the limit of {MAX_FILE_BYTES}")
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(tree, Calibration)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not a calibration: {error}") from error


def calibration_toml(calibration: Calibration) -> str:
    """The file's text; reads back to the same."""
    tree = msgspec.to_builtins(calibration)
    tables = {key: value for key, value in tree.items() if isinstance(value, dict)}
    lines = ["# Made by `skywarden calibrate`; name it as path in [sensor.calibration] of the edge's file."]
    lines += [f"{key} = {_toml(value)}" for key, value in tree.items() if key not in tables]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return str(value)
