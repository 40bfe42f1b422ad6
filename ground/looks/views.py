"""What the API says of looks: whose, when, how old, where, and the boxes to draw over them."""

from typing import Literal

from ground.http.views import LonLat, View
from ground.link.tasking import AskedTasking, State
from ground.picture.live import LatestLook
from ground.review.entries import State as ReviewState
from skywarden.times import rfc3339

BoxShare = tuple[float, float, float, float]


class LookBoxView(View):
    """One detection: `box` is left, top, right, bottom as shares 0..1 of the image.

    `track_id` is the confirmed track that took it, `contact_id` what the track belongs to here, `review` what
    a person decided about it.
    """

    box: BoxShare
    label: str
    score: float
    track_id: str | None
    contact_id: str | None
    review: ReviewState


class LookView(View):
    """A small picture of what a camera saw, with what lay in it; it is no evidence, and kept in memory only.

    `taken` is by this station's clock; where the platform's clock was never compared with it
    (`is_time_known` false) the picture may be older than that. `detection_count` may be more than `boxes`.
    `footprint` are [lon, lat] round the image from its upper left; `ce90_m` is the uncertainty of the middle.
    """

    platform_id: str
    sortie_id: str
    sensor_id: str
    frame_number: int
    kind: Literal["eo", "thermal"]
    url: str
    width_px: int
    height_px: int
    size_bytes: int
    taken: str
    received: str
    is_time_known: bool
    is_live: bool
    is_exercise: bool
    boxes: list[LookBoxView]
    detection_count: int
    footprint: list[LonLat]
    frame_centre: LonLat | None
    ce90_m: float | None
    no_position_reason: str | None
    position_doubt: str | None


class LiveRequestView(View):
    """A live view that somebody asked for; "waiting" until the platform has answered with `text`."""

    tasking_id: str
    platform_id: str
    sensor_id: str | None
    frames_per_s: float | None
    asked: str
    asked_by: str
    expires: str
    state: State
    text: str


class LookList(View):
    """The latest look of every camera, and the live views of the last half hour, newest first."""

    items: list[LookView]
    live: list[LiveRequestView]


def view_boxes(
    latest: LatestLook, contacts: dict[str, str | None], reviews: dict[str, ReviewState]
) -> list[LookBoxView]:
    """The boxes of a look; `contacts` and `reviews` by track."""
    look = latest.look
    out = []
    for index, box in enumerate(look.box_share.tolist()):
        track_id = look.track_id(index)
        out.append(
            LookBoxView(
                box=(round(box[0], 5), round(box[1], 5), round(box[2], 5), round(box[3], 5)),
                label=look.labels[look.label_index_u8[index]],
                score=round(look.score_u8[index] / 255.0, 3),
                track_id=track_id,
                contact_id=contacts.get(track_id) if track_id is not None else None,
                review=reviews.get(track_id, "unreviewed") if track_id is not None else "unreviewed",
            )
        )
    return out


def view_look(latest: LatestLook, boxes: list[LookBoxView], url: str) -> LookView:
    """A look as the API tells of it."""
    look = latest.look
    centre = look.frame_centre
    return LookView(
        platform_id=look.platform_id,
        sortie_id=look.sortie_id,
        sensor_id=look.sensor_id,
        frame_number=look.frame_number,
        kind=look.kind,
        url=url,
        width_px=look.width_px,
        height_px=look.height_px,
        size_bytes=len(look.data),
        taken=rfc3339(latest.taken_ns),
        received=rfc3339(latest.received_ns),
        is_time_known=latest.is_time_known,
        is_live=look.is_live,
        is_exercise=look.is_exercise,
        boxes=boxes,
        detection_count=look.detection_count,
        footprint=[(longitude, latitude) for latitude, longitude in look.footprint],
        frame_centre=(centre[1], centre[0]) if centre is not None else None,
        ce90_m=look.ce90_m,
        no_position_reason=look.no_position_reason,
        position_doubt=look.position_doubt,
    )


def view_live(asked: AskedTasking) -> LiveRequestView:
    """A live view as it stands."""
    tasking = asked.tasking
    return LiveRequestView(
        tasking_id=tasking.tasking_id,
        platform_id=tasking.platform_id,
        sensor_id=tasking.sensor_id,
        frames_per_s=tasking.frames_per_s,
        asked=rfc3339(tasking.time_ns),
        asked_by=asked.asked_by,
        expires=rfc3339(tasking.expires_ns),
        state=asked.state,
        text=asked.text,
    )
