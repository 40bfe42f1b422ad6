"""Events for TAK: valid by the published schemas, read back by other people's readers, honest on the map."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import takproto
from google.protobuf.message import Message as Protobuf
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ground.ais.book import VesselBook
from ground.ais.hearing import Ears, HearingModel
from ground.fusion.contact import Contact
from ground.picture.live import LivePicture
from ground.tak.event import CotEvent, CotPoint, Detail, as_mesh, as_stream, as_xml
from ground.tak.things import (
    MAX_OUTLINE,
    contact_event,
    exercise_event,
    gone_event,
    platform_events,
    plot_event,
    track_event,
    vessel_event,
)
from skywarden.ais.reports import PositionReport, StaticReport
from skywarden.messages import FrameInfo, Plot, Track
from skywarden.times import parse_rfc3339
from tests.ground.scenes import START_NS, pose, position

SCHEMAS = {
    "contact": "CoT_Contact_Schema_(PUBLIC_RELEASE).xsd",
    "track": "CoT_Track_Schema__(PUBLIC_RELEASE).xsd",
    "remarks": "CoT_Remarks_Schema__(PUBLIC_RELEASE).xsd",
    "sensor": "CoT_Sensor_Schema__(PUBLIC_RELEASE).xsd",
}


def _contact(**changes: object) -> Contact:
    made = Contact(
        contact_id="c-uav07-s1-eo-1",
        label="vessel",
        score=0.8,
        first_ns=START_NS,
        last_ns=START_NS + 1_000_000_000,
        platform_ids=("uav07", "uav08"),
        track_ids=("uav07-s1-eo-1",),
        sighting_count=3,
        position=position(3.0, 4.0),
        bearing=None,
        bearing_from=None,
        no_position_reason=None,
        course_deg=87.0,
        speed_mps=4.0,
        model_id="m",
        is_exercise=False,
    )
    return msgspec.structs.replace(made, **changes)


def _plot(vertices: int = 6, holes: int = 1) -> Plot:
    angles = np.linspace(0.0, 2.0 * np.pi, vertices, endpoint=False)
    wobble = 1.0 + 0.02 * np.sin(9.0 * angles)
    outer = np.stack(
        (10_000.0 * wobble * np.sin(angles), 200_000_000.0 + 10_000.0 * wobble * np.cos(angles)), 1
    )
    ring = np.round(outer).astype("<i4").tobytes()
    hole = np.round(np.array([[0, 2e8], [500, 2e8], [500, 2e8 + 500]])).astype("<i4").tobytes()
    return Plot(
        plot_id="uav07-s1-eo.p1",
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        time_ns=START_NS,
        first_ns=START_NS,
        label="plot",
        score=0.7,
        look_count=4,
        model_id="m",
        rings_e7_i32=(ring, *(hole for _ in range(holes))),
        is_complete=False,
        position=position(),
        area_m2=(3100.0, 2900.0, 3300.0),
        surface_area_m2=(3200.0, 3000.0, 3400.0),
        slope_deg=4.0,
    )


def _platform(*, footprint: bool = True) -> list[CotEvent]:
    picture = LivePicture(1)
    picture.note_message(pose(), 0.0)
    frame = FrameInfo(
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        frame_number=1,
        time_ns=START_NS,
        received_ns=START_NS,
        width_px=640,
        height_px=480,
        footprint=((0.001, 20.0), (0.001, 20.001), (0.002, 20.002), (0.002, 20.0)) if footprint else (),
        frame_centre=(0.0015, 20.0006),
    )
    picture.note_message(frame, 0.0)
    (state,) = picture.platforms()
    return platform_events(state, "a-f-A-M-F-Q", is_exercise=False)


def _vessel(ship_type: int) -> CotEvent:
    book = VesselBook(HearingModel(None, Ears()))
    book.add(StaticReport("211123456", "A", START_NS, name="NORD <&>", ship_type=ship_type), None)
    place = PositionReport(
        "211123456", "A", START_NS, START_NS, 54.0, 8.0, 5.1, 270.0, 271.0, is_accurate=True, has_second=True
    )
    book.add(place, None)
    (vessel,) = list(book)
    event = vessel_event(vessel)
    assert event is not None
    return event


def _all_kinds() -> list[CotEvent]:
    track = Track(
        track_id="uav07-s1-eo.t9",
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        time_ns=START_NS,
        first_ns=START_NS,
        status="confirmed",
        label="vessel",
        score=0.9,
        look_count=12,
        position=position(),
        course_deg=10.0,
        speed_mps=3.0,
    )
    made = [
        contact_event(_contact(), "confirmed"),
        contact_event(_contact(label="plot", is_exercise=True, speed_mps=None), "unreviewed"),
        track_event(track, "unreviewed", is_exercise=False),
        plot_event(_plot(), "confirmed"),
        *_platform(),
        _vessel(30),
        gone_event("skywarden.c-1", "a-u-S-X", CotPoint(latitude_deg=1.0, longitude_deg=2.0), START_NS),
        exercise_event("x", (37.0, -8.0), START_NS),
    ]
    return [one for one in made if one is not None]


@pytest.mark.real_data
def test_every_kind_of_event_is_valid_by_the_published_schemas(real_data: Path) -> None:
    folder = real_data / "cot"
    event_schema = etree.XMLSchema(etree.parse(folder / "CoT_Base-Event_Schema__(PUBLIC_RELEASE).xsd"))
    parts = {tag: etree.XMLSchema(etree.parse(folder / name)) for tag, name in SCHEMAS.items()}
    seen = set()
    for event in _all_kinds():
        tree = etree.fromstring(as_xml(event))
        event_schema.assertValid(tree)
        for part in tree.find("detail"):
            if part.tag in parts:
                parts[part.tag].assertValid(part)
                seen.add(part.tag)
    assert seen == set(SCHEMAS)


def test_other_peoples_reader_finds_in_both_framings_what_the_xml_says() -> None:
    for event in _all_kinds():
        tree = etree.fromstring(as_xml(event))
        for read in (
            takproto.parse_proto(bytearray(as_mesh(event))),
            takproto.parse_proto(bytearray(as_stream(event))),
        ):
            assert isinstance(read, Protobuf)
            cot = read.cotEvent
            assert (cot.uid, cot.type, cot.how, cot.opex) == (
                tree.get("uid"),
                tree.get("type"),
                tree.get("how"),
                tree.get("opex", ""),
            )
            for name in ("time", "start", "stale"):
                sent_ms = getattr(cot, f"{'send' if name == 'time' else name}Time")
                assert sent_ms == parse_rfc3339(tree.get(name)) // 1_000_000
            point = tree.find("point")
            for name in ("lat", "lon", "hae", "ce", "le"):
                assert getattr(cot, name) == pytest.approx(float(point.get(name)), abs=6e-4)
            contact = tree.find("detail/contact")
            assert cot.detail.contact.callsign == (contact.get("callsign") if contact is not None else "")
            others = etree.fromstring(f"<detail>{cot.detail.xmlDetail}</detail>")
            expected = [one for one in tree.find("detail") if one.tag not in ("contact", "track")]
            assert [etree.tostring(one) for one in others] == [etree.tostring(one) for one in expected]
            track = tree.find("detail/track")
            assert cot.detail.HasField("track") == (track is not None)
            if track is not None:
                assert cot.detail.track.course == pytest.approx(float(track.get("course")), abs=0.06)
                assert cot.detail.track.speed == pytest.approx(float(track.get("speed")), abs=0.006)


@pytest.mark.real_data
def test_our_protobuf_is_what_a_real_client_sends_for_the_same_event(real_data: Path) -> None:
    sample = (real_data / "cot" / "winTAK_sample_mesh_v1.bin").read_bytes()
    theirs = takproto.parse_proto(bytearray(sample)).cotEvent
    event = CotEvent(
        uid=theirs.uid,
        type=theirs.type,
        how=theirs.how,
        time_ns=theirs.sendTime * 1_000_000,
        start_ns=theirs.startTime * 1_000_000,
        stale_ns=theirs.staleTime * 1_000_000,
        point=CotPoint(latitude_deg=theirs.lat, longitude_deg=theirs.lon, alt_hae_m=theirs.hae),
        callsign=theirs.detail.contact.callsign,
    )
    ours = takproto.parse_proto(bytearray(as_mesh(event))).cotEvent
    for field in (
        "uid",
        "type",
        "how",
        "sendTime",
        "startTime",
        "staleTime",
        "lat",
        "lon",
        "hae",
        "ce",
        "le",
    ):
        assert getattr(ours, field) == getattr(theirs, field), field


@settings(max_examples=50)
@given(label=st.text(max_size=80), course=st.floats(0.0, 360.0), latitude=st.floats(-90.0, 90.0))
def test_labels_from_the_radio_break_neither_form(label: str, course: float, latitude: float) -> None:
    place = msgspec.structs.replace(position(), latitude_deg=latitude)
    event = contact_event(_contact(label=label or "x", course_deg=course, position=place), "unreviewed")
    assert event is not None
    tree = etree.fromstring(as_xml(event))
    read = takproto.parse_proto(bytearray(as_mesh(event))).cotEvent
    assert read.detail.contact.callsign == tree.find("detail/contact").get("callsign")
    assert read.type.startswith("a-u-")
    assert b"\n" not in as_xml(event)


def test_what_nobody_confirmed_says_so_on_the_map_and_nobodys_side_is_guessed() -> None:
    for review in ("unreviewed", "more"):
        event = contact_event(_contact(), review)
        assert event is not None
        assert event.callsign.startswith("UNREVIEWED ")
        assert plot_event(_plot(), review).callsign.startswith("UNREVIEWED ")
    confirmed = contact_event(_contact(), "confirmed")
    assert confirmed is not None
    assert "UNREVIEWED" not in confirmed.callsign
    things = [one.type for one in _all_kinds() if one.type.startswith("a-")]
    assert {kind for kind in things if not kind.startswith("a-u-")} == {"a-f-A-M-F-Q"}


def test_ce_and_le_are_those_of_the_position() -> None:
    event = contact_event(_contact(), "confirmed")
    assert event is not None
    place = _contact().position
    assert place is not None
    assert (event.point.ce_m, event.point.le_m) == (place.ce90_m, place.le90_m)


def test_an_outline_is_closed_and_bounded_and_tells_what_it_leaves_out() -> None:
    event = plot_event(_plot(vertices=500, holes=2), "confirmed")
    corners = [dict(one.attributes)["point"] for one in event.details if one.tag == "link"]
    assert 4 < len(corners) <= MAX_OUTLINE + 1
    assert corners[0] == corners[-1]
    assert "2 holes are not drawn" in event.remarks
    assert "simplified by up to" in event.remarks
    assert "seen in part only" in event.remarks
    assert len(as_mesh(event)) < 8_000
    small = plot_event(_plot(vertices=6, holes=0), "confirmed")
    assert "simplified" not in small.remarks
    assert "holes" not in small.remarks


def test_a_platform_says_which_way_its_camera_looks_and_links_the_place() -> None:
    platform, looks = _platform()
    (sensor,) = platform.details
    said = dict(sensor.attributes)
    assert float(said["azimuth"]) == pytest.approx(21.8, abs=0.5)
    assert float(said["range"]) == pytest.approx(178.5, rel=0.02)
    assert 30.0 < float(said["fov"]) < 60.0
    assert dict(looks.details[0].attributes)["uid"] == platform.uid
    assert looks.type == "b-m-p-s-p-i"


@pytest.mark.parametrize(
    ("ship_type", "kind"),
    [(30, "a-u-S-X-F"), (37, "a-u-S-X-R"), (79, "a-u-S-X-M-C"), (80, "a-u-S-X-M-O"), (99, "a-u-S-X")],
)
def test_a_vessel_on_ais_has_the_type_that_it_tells_and_no_side(ship_type: int, kind: str) -> None:
    event = _vessel(ship_type)
    assert (event.type, event.uid) == (kind, "MMSI-211123456")
    assert "not checked" in event.remarks


def test_nested_details_survive_as_text() -> None:
    inner = Detail(tag="inner", attributes=(("a", '"<&'),), text="é<")
    event = CotEvent(
        uid="u",
        type="t-x",
        how="m-g",
        time_ns=1,
        start_ns=1,
        stale_ns=2,
        point=CotPoint(latitude_deg=0.0, longitude_deg=0.0),
        details=(Detail(tag="outer", children=(inner,)),),
    )
    read = takproto.parse_proto(bytearray(as_mesh(event))).cotEvent.detail.xmlDetail
    found = etree.fromstring(read).find("inner")
    assert (found.get("a"), found.text) == ('"<&', "é<")
