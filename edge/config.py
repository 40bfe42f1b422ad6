"""The edge worker's one TOML file as frozen structs; each key: docs/reference/configuration.md."""

import re
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, ValidationError, convert, to_builtins

from edge.calibration.record import Calibration, read_calibration
from edge.cameras.config import CameraConfig
from edge.chart.config import ChartConfig
from edge.link.downlink import LinkConfig
from edge.link.thin_link import ThinLinkConfig
from edge.looks.config import LooksConfig
from edge.mavlink_port import MavlinkConfig
from edge.models_aboard.config import SwapConfig, TurnsConfig
from edge.track import Tracker, TrackerConfig
from edge.triage.config import TriageConfig
from skywarden.config import Config
from skywarden.errors import ConfigError, FlightError, GeometryError, InputError
from skywarden.flight.schema import Sensor, SensorSigma
from skywarden.geometry.camera import CameraModel
from skywarden.geometry.pose import PoseSigmas
from skywarden.messages import Label

_NAME = re.compile(r"[A-Za-z0-9_\-]{1,32}")
Name = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_\-]+$")]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
Sigma = Annotated[float, Meta(ge=0.0, le=1e3)]


class LensConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The camera's geometry: either a horizontal field of view, or a calibration.

    Attributes:
        width_px: image width that the numbers below belong to; frames of another size are scaled.
        height_px: image height.
        hfov_deg: horizontal field of view, for a camera without calibration.
        fx: focal length in pixels, horizontal.
        fy: focal length in pixels, vertical.
        cx: principal point, pixels from the centre of the upper-left pixel.
        cy: principal point, vertical.
        distortion: Brown coefficients k1, k2, p1, p2, k3 (OpenCV's order); empty for none.
    """

    width_px: Annotated[int, Meta(ge=16, le=65_535)]
    height_px: Annotated[int, Meta(ge=16, le=65_535)]
    hfov_deg: Annotated[float, Meta(gt=0.5, lt=175.0)] | None = None
    fx: Positive | None = None
    fy: Positive | None = None
    cx: float | None = None
    cy: float | None = None
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse numbers that no camera has."""
        try:
            self.model()
        except ConfigError as error:
            raise ValueError(str(error)) from error

    def model(self) -> CameraModel:
        """The camera model; raises `ConfigError` when neither a field of view nor a focal length is given."""
        try:
            if self.fx is not None:
                return CameraModel(
                    width_px=self.width_px,
                    height_px=self.height_px,
                    fx=self.fx,
                    fy=self.fy if self.fy is not None else self.fx,
                    cx=self.cx if self.cx is not None else (self.width_px - 1) / 2,
                    cy=self.cy if self.cy is not None else (self.height_px - 1) / 2,
                    distortion=self.distortion,
                )
            if self.hfov_deg is not None:
                return CameraModel.from_hfov(self.width_px, self.height_px, self.hfov_deg)
        except (InputError, GeometryError) as error:
            raise ConfigError(f"sensor.lens: {error}") from error
        raise ConfigError("sensor.lens needs hfov_deg, or fx (and fy, cx, cy) of a calibration")


class MountConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the camera is fixed to the platform.

    Attributes:
        kind: "gimbal" follows the gimbal that MAVLink reports; "fixed" is bolted to the body.
        roll_deg: of the camera's optical axis against the body (fixed) or the gimbal's head (boresight).
        pitch_deg: -90 looks straight down; with yaw 0 the top of the image is then the front of the platform.
        yaw_deg: clockwise from the nose, seen from above.
        gimbal_axes: "earth" for gimbals that report as MAVLink says; "body" for ArduPilot's servo backend.
        gimbal_device_id: which gimbal carries the camera, where several are heard: the MAVLink component that
            tells (154 for the first), or the number (1 to 6) that an autopilot gives to one of its own.
    """

    kind: Literal["gimbal", "fixed"] = "gimbal"
    roll_deg: Annotated[float, Meta(ge=-180.0, le=180.0)] = 0.0
    pitch_deg: Annotated[float, Meta(ge=-180.0, le=180.0)] = 0.0
    yaw_deg: Annotated[float, Meta(ge=-360.0, le=360.0)] = 0.0
    gimbal_axes: Literal["earth", "body"] = "earth"
    gimbal_device_id: Annotated[int, Meta(ge=1, le=255)] | None = None


class SigmaConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One-sigma errors that go into every position; measure yours, the defaults are a consumer drone's.

    Attributes:
        horizontal_m: GNSS, per horizontal axis, where the receiver does not tell.
        vertical_m: GNSS height, where the receiver does not tell.
        tilt_deg: line of sight from roll and pitch.
        heading_deg: about the vertical.
        boresight_deg: camera against gimbal or body.
        time_offset_s: frame time against telemetry time.
        surface_m: height of what the rays meet; not given: what a terrain tile says of itself, else 3 m on
            land and 0.5 m at sea.
        pixel_px: where in the image the object stands.
        focal_percent: focal length, in percent of it: 1 for a field of view from a data sheet, 0.1 to 0.3 for
            a calibrated lens.
        principal_px: principal point, per axis; 0 where boresight_deg holds it already, as every boresight
            does that was found from places on the ground.
    """

    horizontal_m: Sigma = 1.5
    vertical_m: Sigma = 3.0
    tilt_deg: Sigma = 0.5
    heading_deg: Sigma = 2.0
    boresight_deg: Sigma = 0.3
    time_offset_s: Sigma = 0.06
    surface_m: Sigma | None = None
    pixel_px: Sigma = 2.0
    focal_percent: Annotated[float, Meta(ge=0.0, le=50.0)] = 1.0
    principal_px: Sigma = 0.0

    def pose(self) -> PoseSigmas:
        """The part of the error budget that belongs to the pose and the lens."""
        return PoseSigmas(
            horizontal_m=self.horizontal_m,
            vertical_m=self.vertical_m,
            tilt_deg=self.tilt_deg,
            heading_deg=self.heading_deg,
            boresight_deg=self.boresight_deg,
            time_offset_s=self.time_offset_s,
            focal_percent=self.focal_percent,
            principal_px=self.principal_px,
        )

    def recorded(self) -> SensorSigma:
        """As a flight's description keeps it; the time offset stands beside it there."""
        told = {name: getattr(self, name) for name in SensorSigma.__struct_fields__}
        return SensorSigma(**told)

    @classmethod
    def of_flight(cls, sensor: Sensor) -> "SigmaConfig":
        """The error budget of a recorded sensor; what the flight does not state has the usual value.

        Raises `FlightError` on one that no configuration may hold.
        """
        told = {} if sensor.sigma is None else to_builtins(sensor.sigma)
        try:
            return convert(told | {"time_offset_s": sensor.frame_lag_sigma_s}, cls)
        except ValidationError as error:
            raise FlightError(f"the error budget of sensor {sensor.sensor_id}: {error}") from error


class CalibrationConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `skywarden calibrate` found for this sensor.

    Attributes:
        path: the calibration file; empty for none. Its corrections are added to every pose, and its sigmas
            replace those of boresight, attitude, heading and time offset in `sigma`.
    """

    path: str = ""


Outline = Annotated[
    tuple[tuple[Annotated[float, Meta(ge=0.0, le=1.0)], Annotated[float, Meta(ge=0.0, le=1.0)]], ...],
    Meta(min_length=3, max_length=64),
]


class ModelConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which detector runs.

    Attributes:
        name: a model of the zoo (`skywarden models list`), or the path of a folder of one.
        slot: what this detector is called in commands and conditions; empty for the model's own name.
        threads: processor threads for inference; leave one core to the rest. 0 takes all cores but one.
        providers: execution providers in order of preference (tensorrt, cuda, openvino, openvino_bf16,
            coreml, xnnpack, cpu), or auto; one that computes wrongly is passed over, the CPU comes last
            without being named. openvino_bf16 computes coarsely, in half of the time on processors with AMX.
        trusted_keys: public keys (swev1:...) or a file of them; when given, a model from outside of the
            package must be signed by one of them (`skywarden models sign`).
        next: a folder; a model that is put there while the worker runs is tried beside the one in charge,
            takes over when it does as well, and goes again when it fails. Empty for none.
        tile_scale: look in tiles, at this many pixels of the network for each of the image, and at the
            whole; 0 looks at the whole alone. Costs a look for each tile.
        tile_adapt: where a pose tells metres per pixel, it decides the scale in place of `tile_scale`, so
            that a 12 m boat has a useful size at any height; each third of an oblique image has its own.
        tile_looks: at most so many looks per frame, those that matter first; 0 for all. With it a recording
            gives the same answers every time.
        tile_budget_s: at most so many seconds of looking per frame, by what looks take on this machine; 0 for
            no limit. Not together with `tile_looks`.
        own_parts: polygons around parts of the aircraft in view, where nothing is looked for; corners as
            shares of width and height: [[[0.0, 0.9], [0.2, 0.9], [0.1, 1.0]]].
        min_score: detections below are dropped; 0 takes the model's own threshold.
        max_detections: at most so many of the best are kept per frame.
        classes: labels that are kept; empty for all that the model has.
        every: it looks at one frame in so many; several detectors are staggered.
        share: its part of a budget that is short (`turns`), beside those of the other detectors.
    """

    name: str = "anomaly"
    slot: Annotated[str, Meta(max_length=32, pattern=r"^[A-Za-z0-9_\-]*$")] = ""
    threads: Annotated[int, Meta(ge=0, le=64)] = 1
    providers: tuple[
        Literal["auto", "tensorrt", "cuda", "openvino", "openvino_bf16", "coreml", "xnnpack", "cpu"], ...
    ] = ("cpu",)
    trusted_keys: str = ""
    next: str = ""
    tile_scale: Annotated[float, Meta(ge=0.0, le=8.0)] = 0.0
    tile_adapt: bool = False
    tile_looks: Annotated[int, Meta(ge=0, le=4096)] = 0
    tile_budget_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0
    own_parts: Annotated[tuple[Outline, ...], Meta(max_length=16)] = ()
    min_score: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    max_detections: Annotated[int, Meta(ge=1, le=1000)] = 100
    classes: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    every: Annotated[int, Meta(ge=1, le=1000)] = 1
    share: Annotated[float, Meta(gt=0.0, le=1000.0)] = 1.0

    def __post_init__(self) -> None:
        """Refuse two budgets at once."""
        if self.tile_looks and self.tile_budget_s:
            raise ValueError("model.tile_looks and model.tile_budget_s are both set; give one of them")

    @property
    def is_tiled(self) -> bool:
        """Whether a frame may be looked at in parts, or parts of it are left out."""
        return self.tile_scale > 0.0 or self.tile_adapt or bool(self.own_parts)

    @property
    def slot_name(self) -> str:
        """What this detector is called: its slot, or the name of the model or its folder."""
        return self.slot or re.sub(r"[^A-Za-z0-9_\-]", "-", Path(self.name).name)[:32] or "main"


class SurfaceConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the camera's rays meet.

    Attributes:
        kind: "terrain" needs `path`; "sea" is the geoid plus the tide; "level" is level ground at the
            take-off height.
        path: tile or folder of tiles (`skywarden terrain build` makes them; .hgt works as it is).
        tide_m: sea level above the geoid.
        tide_sigma_m: one-sigma error of the tide; adds to `sigma.surface_m`.
    """

    kind: Literal["terrain", "sea", "level"] = "level"
    path: str | None = None
    tide_m: Annotated[float, Meta(ge=-20.0, le=20.0)] = 0.0
    tide_sigma_m: Annotated[float, Meta(ge=0.0, le=20.0)] = 0.0


class PlotConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How detections that come with a mask or outline become plots with an area; docs/plots.md.

    Attributes:
        labels: which detections are plots; others keep their box.
        noise_px: one-sigma error of a boundary point, across the boundary.
        correlation_px: along the boundary, over which that error stays the same.
        bias_px: one-sigma error of the whole boundary outwards or inwards; measure it on your own model.
        slope: rise per metre by which the ground may be steeper than the surface model says, one sigma.
        confirm_looks: so many looks make a plot worth telling.
        decorrelation_s: looks that follow each other faster are less than independent.
        interval_s: frames that follow the last look faster are passed over: they cost much and tell little.
    """

    labels: Annotated[tuple[Label, ...], Meta(max_length=64)] = ("plot", "parcel", "plantation")
    noise_px: Annotated[float, Meta(ge=0.0, le=100.0)] = 2.0
    correlation_px: Annotated[float, Meta(ge=0.0, le=1000.0)] = 8.0
    bias_px: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.3
    slope: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.02
    confirm_looks: Annotated[int, Meta(ge=1, le=100)] = 2
    decorrelation_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 2.0
    interval_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 0.5


class SensorConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera with everything that is needed to see and to locate with it.

    Attributes:
        camera: where its images come from.
        lens: its geometry; without one there are detections but no positions.
        mount: how it is fixed.
        model: which detector runs on it, where there is one.
        detector: which detectors run on it, where there are several; then `model` is left out.
        turns: how several detectors share the frames.
        surface: what its rays meet.
        sigma: its error budget.
        calibration: what was found out about its boresight, heading and time.
        tracker: how detections become tracks.
        plot: how detections with a mask become plots.
    """

    camera: CameraConfig
    lens: LensConfig | None = None
    mount: MountConfig = MountConfig()
    model: ModelConfig = ModelConfig()
    detector: Annotated[tuple[ModelConfig, ...], Meta(max_length=16)] = ()
    turns: TurnsConfig = TurnsConfig()
    surface: SurfaceConfig = SurfaceConfig()
    sigma: SigmaConfig = SigmaConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    tracker: TrackerConfig = TrackerConfig()
    plot: PlotConfig = PlotConfig()

    def __post_init__(self) -> None:
        """Refuse a name that ids and folders cannot carry, and a tracker that contradicts itself."""
        if not _NAME.fullmatch(self.camera.sensor_id):
            raise ValueError(
                f"camera.sensor_id is {self.camera.sensor_id!r}; it becomes part of ids and folders: 1 to 32 "
                "letters, digits, _ and -"
            )
        if self.detector and self.model != ModelConfig():
            raise ValueError("sensor.model and sensor.detector are both given; move the model to the list")
        names = [each.slot_name for each in self.detectors]
        if len(set(names)) != len(names):
            raise ValueError(f"two detectors are called the same among {', '.join(names)}; give each a slot")
        try:
            Tracker(self.tracker)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @property
    def detectors(self) -> tuple[ModelConfig, ...]:
        """All detectors, however they are given."""
        return self.detector or (self.model,)

    def read_calibration(self) -> Calibration | None:
        """The calibration that is named; raises `ConfigError` when it is not one, or another sensor's."""
        if not self.calibration.path:
            return None
        try:
            found = read_calibration(Path(self.calibration.path))
        except InputError as error:
            raise ConfigError(f"sensor.calibration: {error}") from error
        if found.sensor_id != self.camera.sensor_id:
            raise ConfigError(
                f"sensor.calibration: {self.calibration.path} belongs to sensor {found.sensor_id!r}, not to "
                f"{self.camera.sensor_id!r}"
            )
        return found


class SightingConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When looks become sightings.

    Attributes:
        interval_s: a track gives a sighting at most so often, unless a look is much better placed.
        chip_interval_s: a track gives a new chip at most so often.
        pose_wait_s: a frame waits so long for the telemetry that brackets it.
    """

    interval_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 0.5
    chip_interval_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 10.0
    pose_wait_s: Annotated[float, Meta(ge=0.0, le=5.0)] = 0.6


class RecorderConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept aboard, as a flight folder that replays.

    Attributes:
        is_on: whether to record.
        folder: where flight folders go; empty for `flights` in the state folder.
        frames_per_s: at most so many images a second are kept; 0 keeps none.
        jpeg_quality: of the images kept.
        min_free_bytes: recording of images stops below this much free space, telemetry goes on.
    """

    is_on: bool = True
    folder: str = ""
    frames_per_s: Annotated[float, Meta(ge=0.0, le=120.0)] = 2.0
    jpeg_quality: Annotated[int, Meta(ge=1, le=100)] = 90
    min_free_bytes: Annotated[int, Meta(ge=0)] = 2_000_000_000


class MetricsConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worker's own web port, for Prometheus and for health checks.

    Attributes:
        listen: address and port of /metrics, /healthz and /readyz; empty for none; port 0 takes a free one.
    """

    listen: str = "127.0.0.1:9608"


class EdgeConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything one edge worker needs to know.

    Attributes:
        platform_id: the platform's name; the ground enrols the link key under it.
        state: folder for outbox, keys and flights; empty for systemd's or the user's state folder.
        mavlink: where telemetry comes from.
        sensor: one section per camera.
        swap: when a model that was staged in flight may take over.
        sighting: when looks become sightings.
        link: the way to the ground.
        thin_link: sightings over the telemetry radio, where there is no IP link.
        recorder: what is kept aboard.
        metrics: the worker's own web port.
        triage: what is worth its bytes on the link.
        looks: small pictures of what the cameras see, when the link has room.
        chart: land and water, and what belongs on which.
        is_exercise: marks every sighting EXERCISE.
    """

    platform_id: Name
    state: str = ""
    mavlink: MavlinkConfig = MavlinkConfig()
    sensor: tuple[SensorConfig, ...] = ()
    swap: SwapConfig = SwapConfig()
    sighting: SightingConfig = SightingConfig()
    link: LinkConfig = LinkConfig()
    thin_link: ThinLinkConfig = ThinLinkConfig()
    recorder: RecorderConfig = RecorderConfig()
    metrics: MetricsConfig = MetricsConfig()
    triage: TriageConfig = TriageConfig()
    chart: ChartConfig = ChartConfig()
    looks: LooksConfig = LooksConfig()
    is_exercise: bool = False

    def __post_init__(self) -> None:
        """Refuse two sensors of one name and terrain without a path."""
        if self.thin_link.mode != "off" and self.mavlink.receive_only:
            raise ValueError("thin_link.mode asks to send on a MAVLink connection that is receive_only")
        names = [sensor.camera.sensor_id for sensor in self.sensor]
        if len(set(names)) != len(names):
            raise ValueError(f"two sensors share a name among {', '.join(names)}")
        for sensor in self.sensor:
            if sensor.surface.kind == "terrain" and not sensor.surface.path:
                raise ValueError(
                    f"sensor {sensor.camera.sensor_id}: surface.kind is terrain but path is missing"
                )

    def state_dir(self, default: Path) -> Path:
        """The folder for outbox, keys and flights."""
        return Path(self.state) if self.state else default / self.platform_id
