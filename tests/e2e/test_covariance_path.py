"""One covariance, followed from the pixel to every place where it comes out again."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.geolocation.locate import Locations, Locator, position_message
from edge.track import Tracker, TrackerConfig, measurements_of
from edge.track.plane import LocalPlane
from edge.vision.pipeline import Outcome
from ground.config import ContactsConfig
from ground.exports.cot import cot_event, read_position
from ground.exports.klv import sighting_packet
from ground.fusion.book import ContactBook
from ground.fusion.contact import Contact
from ground.http import views
from ground.store.reading import Filter, StoredContact
from ground.store.sqlite import SqliteStore
from sim.analyze import sighting_feature
from skywarden import klv, wire
from skywarden.geometry.terrain import LevelSurface
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import Position, Sighting
from skywarden.topics import topic_of
from skywarden.vmti import decode_vmti
from tests.edge.eyes import CAMERA, GROUND_HAE_M, T0, S, box, fly, frame, node, pose
from tests.ground.scenes import arrival

VIEW = {"elevation_deg": -40.0, "height_m": 150.0}


def _upper(covariance: np.ndarray) -> tuple[float, ...]:
    return tuple(covariance[np.triu_indices(3)].tolist())


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Six frames of one thing off the axis."""
    return fly(node(lambda n: [box(410.0, 300.0)]), [frame(number) for number in range(6)], **VIEW)


@pytest.fixture(scope="module")
def looks(outcomes: list[Outcome]) -> list[tuple[Sighting, Locations]]:
    """Every sighting with what the locator said of its frame."""
    by_time = {T0 + round(number / 10 * S): outcome for number, outcome in enumerate(outcomes)}
    found = []
    for outcome in outcomes:
        for message in outcome.messages:
            if isinstance(message, Sighting):
                locations = by_time[message.time_ns].locations
                assert locations is not None
                found.append((message, locations))
    assert found
    return found


def _position(sighting: Sighting) -> Position:
    assert sighting.position is not None
    return sighting.position


def test_a_sighting_says_what_the_locator_said(looks: list[tuple[Sighting, Locations]]) -> None:
    for sighting, locations in looks:
        place = _position(sighting)
        assert place.covariance_enu_m2 == _upper(locations.covariance_enu_m2[0])
        assert place.ce90_m == locations.ce90_m[0] == float(ce90_m(locations.covariance_enu_m2[0]))
        assert place.le90_m == locations.le90_m[0] == float(le90_m(locations.covariance_enu_m2[0, 2, 2]))
        assert all(part != 0.0 for part in place.covariance_enu_m2)


def test_the_wire_changes_no_bit(looks: list[tuple[Sighting, Locations]]) -> None:
    sighting = looks[0][0]
    back = wire.decode(topic_of(sighting).name, wire.encode(sighting))
    assert isinstance(back, Sighting)
    assert _position(back) == _position(sighting)


def test_the_store_and_its_geojson_change_no_bit(
    looks: list[tuple[Sighting, Locations]], tmp_path: Path
) -> None:
    sighting, locations = looks[0]
    told = _upper(locations.covariance_enu_m2[0])
    store = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    store.ingest([arrival(sighting, 1, platform=sighting.platform_id)])
    store.close()
    again = SqliteStore(tmp_path / "store.sqlite", ContactBook(ContactsConfig()))
    stored = again.sightings(Filter())[0][0]
    again.close()
    assert _position(stored.sighting).covariance_enu_m2 == told
    view = views.view_sighting(stored)
    feature = json.loads(views.view_feature(view).model_dump_json())
    assert tuple(feature["properties"]["covariance_enu_m2"]) == told
    analyzed = msgspec.json.decode(msgspec.json.encode(sighting_feature(sighting)))
    assert tuple(analyzed["properties"]["covariance_enu_m2"]) == told
    packet = klv.read_packets(sighting_packet(stored))[0][0]
    target = decode_vmti(packet.raw[74]).targets[0]
    assert target.position is not None
    assert np.allclose(target.position.covariance_enu_m2, told, atol=1.0)  # the format's 16-bit steps


def test_an_event_of_cursor_on_target_changes_no_bit(looks: list[tuple[Sighting, Locations]]) -> None:
    sighting = looks[0][0]
    contact = Contact(
        contact_id=sighting.track_id,
        label=sighting.label,
        score=sighting.score,
        first_ns=sighting.time_ns,
        last_ns=sighting.time_ns,
        platform_ids=(sighting.platform_id,),
        track_ids=(sighting.track_id,),
        sighting_count=1,
        position=sighting.position,
        bearing=None,
        bearing_from=None,
        no_position_reason=None,
        course_deg=None,
        speed_mps=None,
        model_id=sighting.model_id,
        is_exercise=False,
    )
    event = cot_event(StoredContact(contact=contact, best_chip_id=None, revision=1))
    assert event is not None
    assert read_position(event).covariance_enu_m2 == _position(sighting).covariance_enu_m2


def test_a_track_begins_with_the_covariance_of_its_first_look() -> None:
    """To a floor of a centimetre or so, which keeps the tracker's matrices invertible."""
    looking = pose(T0, **VIEW)
    locations = Locator(CAMERA, LevelSurface(GROUND_HAE_M)).locate(looking, [[410.0, 300.0]], 2.0)
    assert position_message(locations, 0) is not None
    measurements = measurements_of(
        LocalPlane(looking.latitude_deg, looking.longitude_deg),
        looking,
        locations,
        pixel_rad=np.array([2.0 / CAMERA.fx]),
        score=[0.9],
        label_index=[0],
        labels=("anomaly",),
        config=TrackerConfig(),
    )
    told = locations.covariance_enu_m2[0, :2, :2]
    floor = 5e-4
    assert measurements.covariance_m2[0] == pytest.approx(told, rel=1e-9, abs=floor)
    state = next(iter(Tracker().update(T0, measurements)))
    assert state.covariance_m2 == pytest.approx(told, rel=1e-6, abs=floor)
