"""What a station offers to TAK: what may leave by now, of every kind that is asked for."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ground.picture.live import LivePicture
from ground.tak.config import TakFeedConfig, What
from ground.tak.offers import StationOffers
from skywarden.messages import PlatformPose, Track
from tests.ground.report.night import START_NS, UNTIL_NS, Night, S, make_night, place
from tests.ground.scenes import pose

CONFIRMED = {"skywarden.c-uav07-s1-eo.t0", "skywarden.c-uav08-s1-eo.t1", "skywarden.c-uav07-s1-eo.t2"}


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    made = make_night(tmp_path / "ground")
    try:
        yield made
    finally:
        made.close()


def _offers(night: Night, *what: What, unreviewed: bool = False, keep_s: float = 7_200.0) -> StationOffers:
    config = TakFeedConfig(url="udp://127.0.0.1:6969", what=what, unreviewed=unreviewed, keep_s=keep_s)
    picture = LivePicture(1)
    platform: PlatformPose = msgspec.structs.replace(pose(), time_ns=UNTIL_NS)
    picture.note_message(platform, 0.0)
    for number in (0, 3, 5):
        picture.note_message(_track(number), 0.0)
    return StationOffers(config, night.store, picture, night.review, None)


def _track(number: int) -> Track:
    return Track(
        track_id=f"uav{7 + number % 2:02d}-s1-eo.t{number}",
        platform_id="uav07",
        sortie_id="s1",
        sensor_id="eo",
        time_ns=UNTIL_NS,
        first_ns=START_NS,
        status="confirmed",
        label="vessel",
        score=0.9,
        look_count=9,
        position=place(0.0, 0.0),
    )


def _uids(offers: StationOffers) -> set[str]:
    return {one.uid for one in offers.at(UNTIL_NS).events}


def test_contacts_are_offered_as_people_decide(night: Night) -> None:
    offers = _offers(night, "contacts")
    assert _uids(offers) - {"skywarden.c-uav08-s1-eo.t7"} == CONFIRMED
    found = night.store.contact("c-uav07-s1-eo.t0")
    assert found is not None
    version = night.review.of_contact(found.contact.track_ids).version
    night.review.decide(found, "rejected", account="eva", version=version, utc_ns=UNTIL_NS)
    assert "skywarden.c-uav07-s1-eo.t0" not in _uids(offers)
    assert "skywarden.c-uav07-s1-eo.t0" not in offers.at(UNTIL_NS).held


def test_what_nobody_confirmed_is_offered_only_when_asked_for_and_never_what_was_rejected(
    night: Night,
) -> None:
    found = _uids(_offers(night, "contacts", unreviewed=True))
    assert "skywarden.c-uav08-s1-eo.t5" in found
    assert "skywarden.c-uav08-s1-eo.t3" not in found


def test_what_is_old_is_not_said_and_not_taken_away(night: Night) -> None:
    offered = _offers(night, "contacts", keep_s=60.0).at(UNTIL_NS + 7_200 * S)
    assert offered.events == []
    assert offered.held >= CONFIRMED


def test_a_confirmed_plot_and_an_own_platform_are_offered(night: Night) -> None:
    assert _uids(_offers(night, "plots")) == {"skywarden.plot.uav08-s1-eo.t7"}
    assert _uids(_offers(night, "platforms")) == {"skywarden.platform.uav07"}


def test_a_track_is_offered_when_it_may_leave_and_its_contact_is_not_there(night: Night) -> None:
    assert _uids(_offers(night, "tracks")) == {"skywarden.track.uav07-s1-eo.t0"}
    both = _uids(_offers(night, "contacts", "tracks"))
    assert "skywarden.track.uav07-s1-eo.t0" not in both
    unreviewed = _uids(_offers(night, "tracks", unreviewed=True))
    assert "skywarden.track.uav08-s1-eo.t5" in unreviewed
    assert "skywarden.track.uav08-s1-eo.t3" not in unreviewed
