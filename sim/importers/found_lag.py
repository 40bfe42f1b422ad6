"""By how much a folder's images are stamped late, found from how they move against the telemetry."""

from dataclasses import dataclass
from pathlib import Path

from edge.calibration.flight_motion import attitude_of, mount_of
from edge.calibration.image_motion import ImageMotionEstimator
from edge.calibration.time_offset import estimate_time_offset
from sim.importers.options import Progress
from skywarden.clock import NS_PER_S
from skywarden.errors import FlightError, InputError
from skywarden.flight.decoding import read_image
from skywarden.flight.schema import FixedMount, GimbalMount
from skywarden.geometry.camera import CameraModel
from skywarden.mavlink.tlog import read_tlog

MAX_IMAGES_FOLLOWED = 60
UNKNOWN_SIGMA_S = 0.3
_MARGIN_NS = 4 * NS_PER_S
_FLOOR_S = 0.01
"""Names of images tell time to a hundredth of a second: no average of them is better."""


@dataclass(frozen=True, kw_only=True)
class FoundLag:
    """A lag with its sigma, and the sentence for the flight's notes."""

    lag_s: float = 0.0
    sigma_s: float = UNKNOWN_SIGMA_S
    note: str = ""


def found_lag(
    log: Path,
    images: list[tuple[int, Path]],
    camera: CameraModel | None,
    mount: FixedMount | GimbalMount,
    progress: Progress,
) -> FoundLag:
    """The lag of the middle images of a flight (60 at most); none, and why, where it does not show."""
    if camera is None:
        return FoundLag(
            note="the time offset of the images was not looked for: the field of view is not known"
        )
    first = max(0, (len(images) - MAX_IMAGES_FOLLOWED) // 2)
    chosen = images[first : first + MAX_IMAGES_FOLLOWED]
    try:
        follower = ImageMotionEstimator(camera)
        for number, (time_ns, path) in enumerate(chosen):
            progress(number, len(chosen), "looking for the time offset")
            follower.add(time_ns, read_image(path))
        motion = follower.motion()
        span_ns = (chosen[0][0] - _MARGIN_NS, chosen[-1][0] + _MARGIN_NS)
        found = estimate_time_offset(motion, attitude_of(read_tlog(log), mount_of(mount), span_ns))
    except (InputError, FlightError) as error:
        return FoundLag(note=f"the time offset of the images was not found: {error}"[:2000])
    if found.offset_s is None or found.sigma_s is None:
        return FoundLag(note=f"the time offset of the images was not found: {found.reason}"[:2000])
    sigma_s = max(_FLOOR_S, found.sigma_s)
    note = (
        f"the images are stamped {found.offset_s:+.3f} s (one sigma {sigma_s:.3f}) late against the "
        f"telemetry, found from their motion: {found.reason}"
    )
    return FoundLag(lag_s=round(found.offset_s, 4), sigma_s=round(sigma_s, 4), note=note)
