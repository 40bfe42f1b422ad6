"""What the API shows of the past; times are UNIX seconds in columns, RFC 3339 elsewhere."""

from ground.http.views import LonLat, View
from ground.review.entries import State


class PastExtentView(View):
    """From when to when this station remembers; `activity` counts notes in equal parts of the asked span."""

    first: str | None
    last: str | None
    now: str
    activity: list[int]


class PastPlatformView(View):
    """Where one platform was: columns of one length, oldest first; heading from true north, degrees."""

    platform_id: str
    time_s: list[float]
    at: list[LonLat]
    heading_deg: list[float | None]


class PastFootprintView(View):
    """What a camera saw at a moment; `ring` is closed."""

    platform_id: str
    time_s: float
    ring: list[LonLat]


class PastTrackView(View):
    """The looks at one track, oldest first; `contact_id` is the contact that it belongs to by now.

    `review_s` and `review` are the moments at which what people say of it changed, and to what; it was
    unreviewed before the first.
    """

    track_id: str
    contact_id: str | None
    platform_id: str
    label: str
    time_s: list[float]
    at: list[LonLat]
    ce90_m: list[float]
    review_s: list[float]
    review: list[State]


class PastVesselView(View):
    """What one vessel said on AIS, oldest first; course over ground, degrees."""

    mmsi: str
    name: str | None
    time_s: list[float]
    at: list[LonLat]
    course_deg: list[float | None]


class PastSpanView(View):
    """Everything of a span; `is_cut` when there was more than one answer holds: ask for less time."""

    since: str
    until: str
    platforms: list[PastPlatformView]
    footprints: list[PastFootprintView]
    tracks: list[PastTrackView]
    vessels: list[PastVesselView]
    is_cut: bool


class CoverageView(View):
    """Cells of ground that cameras saw, as columns of one length.

    The cell in `column` and `row` begins `column * step_lon_deg` east of `west` and `row * step_lat_deg`
    north of `south`. `last_s` is the newest look (UNIX seconds), `gsd_m` the best metres per pixel, `looks`
    how often.
    """

    west: float
    south: float
    step_lon_deg: float
    step_lat_deg: float
    cell_m: float
    column: list[int]
    row: list[int]
    last_s: list[int]
    gsd_m: list[float | None]
    looks: list[int]
    footprints: int
    first: str | None
    last: str | None
    is_cut: bool
