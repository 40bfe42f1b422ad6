"""What the HTTP API shows: pydantic models, and how they are made from what the ground knows.

This is the only place with pydantic. Names carry units, times are RFC 3339 UTC, map coordinates are
[longitude, latitude]. Altitude in GeoJSON is above the ellipsoid (RFC 7946).
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ground.fusion.contact import Contact
from ground.picture.clocks import PlatformClock
from ground.picture.live import LinkCounts, PlatformState, TrackState
from ground.review.book import UNREVIEWED, ContactReview
from ground.review.entries import State
from ground.store.reading import StoredContact, StoredSighting
from skywarden.geometry.uncertainty import ellipse_90
from skywarden.messages import Bearing, FrameInfo, Health, PlatformPose, Position
from skywarden.times import rfc3339

LonLat = tuple[float, float]

LINK_STALE_S = 10.0
POSE_STALE_S = 5.0


class View(BaseModel):
    """Base of all views."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class ErrorView(View):
    """Why a request was refused."""

    error: str


class CountsView(View):
    """How much there is."""

    platforms: int
    contacts: int
    sightings: int
    chips: int


class StatusView(View):
    """The station itself."""

    version: str
    now: str
    is_exercise: bool
    revision: int
    started: str
    counts: CountsView
    notices: list[str]
    link_address: str
    server_public_key: str


class LinkView(View):
    """What came over the link from one platform; `missing` are numbers below `last_seq` not (yet) here.

    `delay_s` is how long the last batch travelled, corrected for the clocks' difference where that is known.
    """

    records: int
    duplicates: int
    missing: int
    last_seq: int
    delay_s: float | None
    bytes: int


class ClockView(View):
    """The platform's clock minus the station's: within `bound_s` of `offset_s` when it was measured.

    `drift_ppm` is how fast it grows, within `drift_bound_ppm`; `null` is not known. Doubtful: what came since
    contradicts it, the clock has leapt.
    """

    offset_s: float
    bound_s: float
    drift_ppm: float | None
    drift_bound_ppm: float | None
    round_trip_s: float
    age_s: float
    is_doubtful: bool


class PoseView(View):
    """Where a platform is; `null` is not known."""

    time: str
    latitude_deg: float | None
    longitude_deg: float | None
    alt_hae_m: float | None
    alt_msl_m: float | None
    alt_rel_m: float | None
    heading_deg: float | None
    course_deg: float | None
    speed_mps: float | None
    climb_mps: float | None
    reason: str | None


class FrameView(View):
    """What a sensor sees now; `footprint` is a closed ring or empty."""

    time: str
    sensor_id: str
    frame_number: int
    footprint: list[LonLat]
    frame_centre: LonLat | None
    no_position_reason: str | None


class HealthView(View):
    """One condition of one component."""

    component: str
    condition: str
    state: Literal["ok", "degraded", "failed"]
    text: str
    since: str
    time: str
    values: dict[str, float]


class PlatformView(View):
    """One platform."""

    platform_id: str
    sortie_id: str | None
    last_heard: str | None
    age_s: float | None
    is_stale: bool
    link: LinkView
    clock: ClockView | None
    pose: PoseView | None
    frame: FrameView | None
    health: list[HealthView]
    trail: list[LonLat]


class EllipseView(View):
    """The ellipse that holds the truth in 90 % of cases: half axes, azimuth of the major one from north."""

    semi_major_m: float
    semi_minor_m: float
    azimuth_deg: float


class PositionView(View):
    """A place with its uncertainty; the covariance is the upper triangle (ee, en, eu, nn, nu, uu)."""

    latitude_deg: float
    longitude_deg: float
    alt_hae_m: float
    ce90_m: float
    le90_m: float
    covariance_enu_m2: tuple[float, float, float, float, float, float]
    surface: Literal["terrain", "sea", "level"]
    ellipse: EllipseView


class BearingView(View):
    """A direction where there is no place; `from` is [lon, lat] of the platform."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, serialize_by_alias=True)

    azimuth_deg: float
    elevation_deg: float
    sigma_deg: float
    from_: LonLat | None = Field(alias="from")


class ContactView(View):
    """One real thing, as far as the ground believes.

    `review` is what people said of all its tracks; `review_was` what they had said before `new_tracks` joined
    that nobody has decided about (or the newest word where its parts differ). `review_version` goes back with
    a decision.
    """

    contact_id: str
    label: str
    score: float
    review: State
    review_version: int
    review_was: State | None
    reviewed_by: str | None
    new_tracks: int
    assignee: str | None
    first_seen: str
    last_seen: str
    platform_ids: list[str]
    track_ids: list[str]
    sighting_count: int
    position: PositionView | None
    bearing: BearingView | None
    no_position_reason: str | None
    course_deg: float | None
    speed_mps: float | None
    best_chip_id: str | None
    model_id: str
    is_exercise: bool
    revision: int


class SightingView(View):
    """One logged observation.

    A preview came over a thin link: coarse figures without proof, until the record itself takes its place.
    """

    sighting_id: str
    contact_id: str | None
    track_id: str
    platform_id: str
    sortie_id: str
    sensor_id: str
    frame_number: int
    time: str
    received: str
    label: str
    score: float
    model_id: str
    box_px: tuple[float, float, float, float]
    position: PositionView | None
    bearing: BearingView | None
    no_position_reason: str | None
    slant_range_m: float | None
    chip_id: str | None
    is_exercise: bool
    position_doubt: str | None
    is_preview: bool
    review: State


class ContactDetailView(ContactView):
    """A contact with its newest sightings."""

    sightings: list[SightingView]


class TrackView(View):
    """One object as one platform follows it now."""

    track_id: str
    platform_id: str
    sensor_id: str
    status: Literal["tentative", "confirmed", "coasting", "dropped"]
    label: str
    score: float
    time: str
    first: str
    look_count: int
    position: PositionView | None
    course_deg: float | None
    speed_mps: float | None
    contact_id: str | None
    trail: list[LonLat]
    model_id: str | None


class PlatformList(View):
    """All platforms."""

    items: list[PlatformView]
    number_matched: int
    number_returned: int


class ContactList(View):
    """A page of contacts."""

    items: list[ContactView]
    number_matched: int
    number_returned: int


class SightingList(View):
    """A page of sightings."""

    items: list[SightingView]
    number_matched: int
    number_returned: int


class TrackList(View):
    """All live tracks."""

    items: list[TrackView]
    number_matched: int
    number_returned: int


class LayerView(View):
    """One map layer; `coordinates` are the corners of an image from its upper left, clockwise."""

    name: str
    title: str
    kind: Literal["geojson", "image", "tiles"]
    url: str
    coordinates: list[LonLat] | None
    style: dict[str, Any] | None


class LayerList(View):
    """All map layers."""

    items: list[LayerView]
    number_matched: int
    number_returned: int


class PointView(View):
    """RFC 7946 point: longitude, latitude, height above the ellipsoid."""

    type: Literal["Point"]
    coordinates: tuple[float, float, float]


class FeatureView(View):
    """RFC 7946 feature; no geometry where there is no position."""

    type: Literal["Feature"]
    id: str
    geometry: PointView | None
    properties: dict[str, Any]


class FeatureCollectionView(View):
    """RFC 7946 feature collection."""

    type: Literal["FeatureCollection"]
    notice: str
    number_matched: int = Field(serialization_alias="numberMatched")
    number_returned: int = Field(serialization_alias="numberReturned")
    features: list[FeatureView]


class HealthzView(View):
    """Whether the process lives, or is ready to take records in."""

    ok: bool
    reasons: list[str]


def view_position(position: Position | None) -> PositionView | None:
    """A position with its 90 % ellipse."""
    if position is None:
        return None
    ee, en, _, nn, _, _ = position.covariance_enu_m2
    major, minor, azimuth = ellipse_90([[ee, en], [en, nn]])
    return PositionView(
        latitude_deg=position.latitude_deg,
        longitude_deg=position.longitude_deg,
        alt_hae_m=position.alt_hae_m,
        ce90_m=position.ce90_m,
        le90_m=position.le90_m,
        covariance_enu_m2=position.covariance_enu_m2,
        surface=position.surface,
        ellipse=EllipseView(semi_major_m=float(major), semi_minor_m=float(minor), azimuth_deg=float(azimuth)),
    )


def view_bearing(bearing: Bearing | None, seen_from: tuple[float, float] | None) -> BearingView | None:
    """A bearing; `seen_from` is (latitude, longitude)."""
    if bearing is None:
        return None
    return BearingView.model_validate(
        {
            "azimuth_deg": bearing.azimuth_deg,
            "elevation_deg": bearing.elevation_deg,
            "sigma_deg": bearing.sigma_deg,
            "from": (seen_from[1], seen_from[0]) if seen_from is not None else None,
        }
    )


def view_contact(stored: StoredContact, review: ContactReview = UNREVIEWED) -> ContactView:
    """One contact with where its review stands."""
    return ContactView(**_contact_fields(stored, review))


def view_contact_detail(
    stored: StoredContact, review: ContactReview, sightings: list[SightingView]
) -> ContactDetailView:
    """One contact with sightings, newest first."""
    return ContactDetailView(**_contact_fields(stored, review), sightings=sightings)


def _contact_fields(stored: StoredContact, review: ContactReview) -> dict[str, Any]:
    contact: Contact = stored.contact
    decision = review.decision
    return {
        "contact_id": contact.contact_id,
        "label": contact.label,
        "score": contact.score,
        "review": review.state,
        "review_version": review.version,
        "review_was": review.was,
        "reviewed_by": decision.account if decision is not None else None,
        "new_tracks": review.new_tracks,
        "assignee": review.assignee,
        "first_seen": rfc3339(contact.first_ns),
        "last_seen": rfc3339(contact.last_ns),
        "platform_ids": list(contact.platform_ids),
        "track_ids": list(contact.track_ids),
        "sighting_count": contact.sighting_count,
        "position": view_position(contact.position),
        "bearing": view_bearing(contact.bearing, contact.bearing_from),
        "no_position_reason": contact.no_position_reason,
        "course_deg": contact.course_deg,
        "speed_mps": contact.speed_mps,
        "best_chip_id": stored.best_chip_id,
        "model_id": contact.model_id,
        "is_exercise": contact.is_exercise,
        "revision": stored.revision,
    }


def view_sighting(stored: StoredSighting, review: State = "unreviewed") -> SightingView:
    """One sighting with what people said of it."""
    sighting = stored.sighting
    platform = sighting.platform_position
    return SightingView(
        sighting_id=sighting.sighting_id,
        contact_id=stored.contact_id,
        track_id=sighting.track_id,
        platform_id=sighting.platform_id,
        sortie_id=sighting.sortie_id,
        sensor_id=sighting.sensor_id,
        frame_number=sighting.frame_number,
        time=rfc3339(sighting.time_ns),
        received=rfc3339(stored.received_ns),
        label=sighting.label,
        score=sighting.score,
        model_id=sighting.model_id,
        box_px=sighting.box_px,
        position=view_position(sighting.position),
        bearing=view_bearing(sighting.bearing, platform[:2] if platform is not None else None),
        no_position_reason=sighting.no_position_reason,
        slant_range_m=sighting.slant_range_m,
        chip_id=stored.chip_id,
        is_exercise=sighting.is_exercise,
        position_doubt=sighting.position_doubt,
        is_preview=stored.is_preview,
        review=review,
    )


def view_track(state: TrackState, contact_id: str | None) -> TrackView:
    """One live track."""
    track = state.track
    return TrackView(
        track_id=track.track_id,
        platform_id=track.platform_id,
        sensor_id=track.sensor_id,
        status=track.status,
        label=track.label,
        score=track.score,
        time=rfc3339(track.time_ns),
        first=rfc3339(track.first_ns),
        look_count=track.look_count,
        position=view_position(track.position),
        course_deg=track.course_deg,
        speed_mps=track.speed_mps,
        contact_id=contact_id,
        trail=list(state.trail),
        model_id=track.model_id,
    )


def view_platform(state: PlatformState, now_s: float, now_ns: int) -> PlatformView:
    """One platform as of `now_s` (monotonic) and `now_ns` (UTC)."""
    age_s = state.age_s(now_s, now_ns)
    return PlatformView(
        platform_id=state.platform_id,
        sortie_id=state.sortie_id,
        last_heard=rfc3339(state.last_heard_ns) if state.last_heard_ns else None,
        age_s=round(age_s, 3) if age_s is not None else None,
        is_stale=age_s is None or age_s > LINK_STALE_S,
        link=_view_link(state.link, state.clock),
        clock=_view_clock(state.clock, now_s),
        pose=_view_pose(state.pose),
        frame=_view_frame(state.frame),
        health=[*_link_health(state, age_s, now_s, now_ns), *map(_view_health, state.health_in_order())],
        trail=list(state.trail),
    )


_POSITION_PROPERTIES = ("alt_hae_m", "ce90_m", "le90_m", "covariance_enu_m2", "surface")


def view_feature(view: ContactView | SightingView) -> FeatureView:
    """A contact or sighting as a GeoJSON feature; what nobody confirmed carries a mark that people see."""
    properties = view.model_dump(mode="json")
    identity = view.contact_id if isinstance(view, ContactView) else view.sighting_id
    if view.review != "confirmed":
        properties = {"mark": f"NOT CONFIRMED ({view.review})", **properties}
    position = properties.pop("position")
    geometry = None
    if position is not None:
        geometry = PointView(
            type="Point",
            coordinates=(
                round(position["longitude_deg"], 8),
                round(position["latitude_deg"], 8),
                round(position["alt_hae_m"], 2),
            ),
        )
        properties |= {name: position[name] for name in _POSITION_PROPERTIES}
        properties |= {f"ellipse_{name}": value for name, value in position["ellipse"].items()}
    return FeatureView(type="Feature", id=str(identity), geometry=geometry, properties=properties)


def _view_clock(clock: PlatformClock | None, now_s: float) -> ClockView | None:
    if clock is None:
        return None
    return ClockView(
        offset_s=round(clock.offset_s, 4),
        bound_s=round(clock.bound_s, 4),
        drift_ppm=round(clock.drift_ppm, 1) if clock.drift_ppm is not None else None,
        drift_bound_ppm=round(clock.drift_bound_ppm, 1) if clock.drift_bound_ppm is not None else None,
        round_trip_s=round(clock.round_trip_s, 4),
        age_s=round(clock.age_s(now_s), 1),
        is_doubtful=clock.is_doubtful,
    )


def _view_link(link: LinkCounts, clock: PlatformClock | None) -> LinkView:
    delay_s = clock.delay_s(link.delay_s) if clock and link.delay_s is not None else link.delay_s
    return LinkView(
        records=link.records,
        duplicates=link.duplicates,
        missing=link.missing,
        last_seq=link.last_seq,
        delay_s=round(delay_s, 4) if delay_s is not None else None,
        bytes=link.bytes,
    )


def _view_pose(pose: PlatformPose | None) -> PoseView | None:
    if pose is None:
        return None
    return PoseView(
        time=rfc3339(pose.time_ns),
        latitude_deg=pose.latitude_deg,
        longitude_deg=pose.longitude_deg,
        alt_hae_m=pose.alt_hae_m,
        alt_msl_m=pose.alt_msl_m,
        alt_rel_m=pose.alt_rel_m,
        heading_deg=pose.heading_deg,
        course_deg=pose.course_deg,
        speed_mps=pose.speed_mps,
        climb_mps=pose.climb_mps,
        reason=pose.reason,
    )


def _view_frame(frame: FrameInfo | None) -> FrameView | None:
    if frame is None:
        return None
    ring = [(longitude, latitude) for latitude, longitude in frame.footprint]
    if ring and ring[0] != ring[-1]:
        ring.append(ring[0])
    centre = frame.frame_centre
    return FrameView(
        time=rfc3339(frame.time_ns),
        sensor_id=frame.sensor_id,
        frame_number=frame.frame_number,
        footprint=ring if len(ring) >= 4 else [],
        frame_centre=(centre[1], centre[0]) if centre is not None else None,
        no_position_reason=frame.no_position_reason,
    )


def _view_health(health: Health) -> HealthView:
    return HealthView(
        component=health.component,
        condition=health.condition,
        state=health.state,
        text=health.text,
        since=rfc3339(health.since_ns),
        time=rfc3339(health.time_ns),
        values=dict(health.values),
    )


def _link_health(state: PlatformState, age_s: float | None, now_s: float, now_ns: int) -> list[HealthView]:
    """What only the ground can know: that a platform, or its telemetry, has fallen silent."""
    found = []
    if age_s is None or age_s > LINK_STALE_S:
        since_ns = state.last_heard_ns or now_ns
        text = f"not heard for {age_s:.0f} s" if age_s is not None else "not heard since this station started"
        found.append(_own_health("link", "silent", "failed", text, since_ns, now_ns))
    pose_age_s = state.pose_age_s(now_s)
    if pose_age_s is not None and pose_age_s > POSE_STALE_S:
        text = f"no telemetry for {pose_age_s:.0f} s; what is drawn is where it was"
        since_ns = now_ns - int(pose_age_s * 1e9)
        found.append(_own_health("link", "pose_stale", "degraded", text, since_ns, now_ns))
    if state.clock is not None and (state.clock.differs or state.clock.is_doubtful):
        found.append(_clock_health(state.clock, now_s, now_ns))
    return found


def _clock_health(clock: PlatformClock, now_s: float, now_ns: int) -> HealthView:
    side = "ahead of" if clock.offset_s > 0 else "behind"
    text = f"its clock is {abs(clock.offset_s):.2f} s {side} this station's, ± {clock.bound_s:.2f} s"
    if clock.is_doubtful:
        text = "its clock has leapt since it was last compared with this station's"
    since_ns = now_ns - int(clock.age_s(now_s) * 1e9)
    return _own_health("clock", "differs", "degraded", text, since_ns, now_ns)


def _own_health(
    component: str,
    condition: str,
    state: Literal["degraded", "failed"],
    text: str,
    since_ns: int,
    now_ns: int,
) -> HealthView:
    return HealthView(
        component=component,
        condition=condition,
        state=state,
        text=text,
        since=rfc3339(since_ns),
        time=rfc3339(now_ns),
        values={},
    )
