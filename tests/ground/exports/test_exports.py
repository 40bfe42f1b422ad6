"""What leaves for other programs: valid for them, honest on its face, with the covariance as it was."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from lxml import etree

from ground.exports.cot import cot_event, cot_events, read_position
from ground.exports.klv import sighting_packet, sighting_packets
from ground.fusion.contact import Contact
from ground.http import views
from ground.store.reading import StoredContact, StoredSighting
from skywarden import klv
from skywarden.messages import Position
from skywarden.vmti import decode_vmti
from tests.ground.scenes import START_NS, position, sighting

COVARIANCE = (41.7, -12.3, 0.4, 9.1, -0.05, 6.25)


def _place() -> Position:
    return msgspec.structs.replace(position(3.0, 4.0), covariance_enu_m2=COVARIANCE, ce90_m=11.9, le90_m=4.1)


def _contact(**changes: object) -> StoredContact:
    contact = Contact(
        contact_id="uav07-s1-eo-1",
        label="vessel",
        score=0.8,
        first_ns=START_NS,
        last_ns=START_NS + 1,
        platform_ids=("uav07",),
        track_ids=("uav07-s1-eo-1",),
        sighting_count=3,
        position=_place(),
        bearing=None,
        bearing_from=None,
        no_position_reason=None,
        course_deg=87.0,
        speed_mps=4.0,
        model_id="m",
        is_exercise=False,
    )
    return StoredContact(contact=msgspec.structs.replace(contact, **changes), best_chip_id=None, revision=1)


@pytest.fixture(scope="session")
def event_schema(real_data: Path) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(real_data / "cot" / "CoT_Base-Event_Schema__(PUBLIC_RELEASE).xsd"))


@pytest.mark.real_data
@pytest.mark.parametrize("label", ["vessel", "plot", "anomaly", "<b>&\x00", "é" * 600])
def test_an_event_is_valid_and_unknown_and_says_that_nobody_reviewed_it(
    label: str, event_schema: etree.XMLSchema
) -> None:
    event = cot_event(_contact(label=label))
    assert event is not None
    tree = etree.fromstring(event)
    event_schema.assertValid(tree)
    assert tree.get("type").startswith("a-u-")
    assert tree.get("how") == "m-f"
    assert tree.findtext("detail/remarks").startswith("UNREVIEWED: ")


def test_an_exercise_can_not_pass_for_real() -> None:
    tree = etree.fromstring(cot_event(_contact(is_exercise=True)) or b"")
    assert tree.get("how") == "m-s"
    assert tree.findtext("detail/remarks").startswith("EXERCISE ")
    assert tree.find("detail/contact").get("callsign").startswith("EXERCISE ")


def test_a_position_keeps_its_covariance_in_an_event() -> None:
    event = cot_event(_contact())
    assert event is not None
    back, sent = read_position(event), _contact().contact.position
    assert sent is not None
    assert back.covariance_enu_m2 == COVARIANCE
    assert (back.ce90_m, back.le90_m, back.surface) == (sent.ce90_m, sent.le90_m, sent.surface)
    assert back.latitude_deg == pytest.approx(sent.latitude_deg, abs=1e-8)


def test_contacts_without_a_position_are_left_out_of_events() -> None:
    lines = cot_events([(_contact(position=None), "unreviewed"), (_contact(), "unreviewed")]).splitlines()
    assert len(lines) == 1
    assert etree.fromstring(lines[0]).get("uid") == "skywarden.uav07-s1-eo-1"


def _stored(**changes: object) -> StoredSighting:
    seen = msgspec.structs.replace(sighting(place=_place()), **changes)
    return StoredSighting(sighting=seen, received_ns=START_NS, contact_id=None, chip_id=None)


def test_a_sighting_becomes_a_packet_with_its_errors_and_its_covariance() -> None:
    stored = _stored(platform_position=(0.01, 20.01, 320.0), slant_range_m=512.5)
    packets, counts = klv.read_packets(sighting_packets([(stored, "unreviewed"), (stored, "unreviewed")]))
    assert (counts.packets, counts.bad_checksums, counts.skipped_bytes) == (2, 0, 0)
    packet, place = packets[0], stored.sighting.position
    assert place is not None
    assert packet.time_ns == stored.sighting.time_ns // 1000 * 1000
    assert packet.number("target_location_latitude_deg") == pytest.approx(place.latitude_deg, abs=1e-7)
    assert packet.number("target_error_estimate_ce90_m") == pytest.approx(11.9, abs=0.04)
    assert packet.number("target_error_estimate_le90_m") == pytest.approx(4.1, abs=0.04)
    assert packet.number("sensor_alt_hae_m") == pytest.approx(320.0, abs=0.2)
    assert packet.number("slant_range_m") == pytest.approx(512.5, abs=0.01)
    assert packet.values["mission_id"] == "unreviewed s1"
    target = decode_vmti(packet.raw[74]).targets[0]
    assert target.position is not None
    assert np.allclose(target.position.covariance_enu_m2, COVARIANCE, atol=0.3)
    assert target.confidence_percent == 80


def test_a_sighting_without_a_position_is_a_packet_without_a_target_location() -> None:
    packet = klv.read_packets(sighting_packet(_stored(position=None)))[0][0]
    assert packet.is_checksum_good
    assert packet.number("target_location_latitude_deg") is None
    assert decode_vmti(packet.raw[74]).targets[0].position is None


def test_geojson_carries_the_covariance_unchanged() -> None:
    feature = views.view_feature(views.view_sighting(_stored()))
    assert tuple(feature.properties["covariance_enu_m2"]) == COVARIANCE
    assert math.isclose(feature.properties["ce90_m"], 11.9)
