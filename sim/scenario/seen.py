"""What truth says of one frame: the things in it, and which of them a box is about."""

import msgspec

MARGIN_PX = 6.0

Box = tuple[float, float, float, float]


class ObjectTruth(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in one frame.

    `box_px` is x0, y0, x1, y1 (origin at the centre of the upper-left pixel), cut at the image; `visibility`
    is the share of the uncut box that lies in the image, dimmed by haze, without what nearer things hide;
    what the relief or they hide altogether is not listed.
    `label` is vessel, plot, structure or decoy, `kind` which of them; `doing` says what a vessel is at.
    `outline_px` are points round a plot, in pixels, not cut at the image; empty for other things, whose
    `mask_px` is the convex outline of what is drawn, cut where a nearer thing covers it.
    """

    id: str
    label: str
    box_px: tuple[float, float, float, float]
    visibility: float
    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    range_m: float
    course_deg: float | None = None
    speed_mps: float | None = None
    outline_px: tuple[tuple[float, float], ...] = ()
    mask_px: tuple[tuple[float, float], ...] = ()
    kind: str = ""
    doing: str = ""
    mmsi: str = ""


class FrameTruth(msgspec.Struct, frozen=True, kw_only=True):
    """One frame: where its camera really was, how it really looked, and what it really saw.

    `time_ns` is the exposure; a frame's stamp is later by the camera's lag. The rotation goes row by row.
    """

    frame_number: int
    sensor_id: str
    time_ns: int
    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    rotation_ned_from_camera: tuple[float, ...]
    objects: tuple[ObjectTruth, ...]


def thing_at(frame: FrameTruth, box_px: Box) -> ObjectTruth | None:
    """The smallest thing in whose true box, a little widened, the middle of `box_px` lies."""
    x, y = (box_px[0] + box_px[2]) / 2, (box_px[1] + box_px[3]) / 2
    over = [each for each in frame.objects if _is_in(each.box_px, x, y)]
    return min(over, key=_area_px2, default=None)


def _is_in(box: Box, x: float, y: float) -> bool:
    x0, y0, x1, y1 = box
    return x0 - MARGIN_PX <= x <= x1 + MARGIN_PX and y0 - MARGIN_PX <= y <= y1 + MARGIN_PX


def _area_px2(thing: ObjectTruth) -> float:
    x0, y0, x1, y1 = thing.box_px
    return (x1 - x0) * (y1 - y0)
