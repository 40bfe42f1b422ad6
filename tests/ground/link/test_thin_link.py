"""Sightings by the telemetry radio: real MAVLink over UDP into a real station, then the same by IP."""

import itertools
import os
import socket
from pathlib import Path

import pytest

from edge.link.thin_link import Frame, Mode, ThinLink, ThinLinkConfig
from ground.config import GroundConfig
from ground.link.authenticator import Enrolled
from ground.link.thin_link import ThinLinkConfig as GroundThinLinkConfig
from ground.link.thin_link import ThinReader
from ground.serve import start_ground
from ground.store.reading import Filter
from ground.upkeep.verify import verify_store
from skywarden import evidence
from skywarden.link import keys
from skywarden.link.thin import ThinKey, ThinSealer
from skywarden.mavlink import decode
from skywarden.mavlink.framing import Framer
from skywarden.mavlink.synth import MessageMaker
from skywarden.messages import Sighting
from tests.ground.scenes import position, put, running_edge, sighting, until


def _node(mode: Mode = "always", per_s: float = 1.0, sealer: ThinSealer | None = None) -> ThinLink:
    return ThinLink(ThinLinkConfig(mode=mode, per_s=per_s), sealer)


def _sealer(own: keys.KeyPair, station: bytes) -> ThinSealer:
    return ThinSealer(ThinKey.agree(own.secret, station), os.urandom(6))


def _raw(frames: list[Frame]) -> bytes:
    maker = MessageMaker(1, 191)
    return b"".join(maker.message(name, **fields) for name, fields in frames)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.slow
def test_a_sighting_comes_by_radio_and_its_record_takes_its_place(tmp_path: Path) -> None:
    port = _free_port()
    config = GroundConfig(
        state=str(tmp_path / "ground"),
        http="127.0.0.1:0",
        link="127.0.0.1:0",
        thin_link=GroundThinLinkConfig(connection=f"udpin:127.0.0.1:{port}"),
    )
    ground = start_ground(config)
    try:
        pair = keys.create_key_file(tmp_path / "uav07" / "keys" / "link.key")
        signer = evidence.create_evidence_key(tmp_path / "uav07" / "keys" / "link.evidence.key")
        ground.enrol("uav07", evidence.enrolment_line(pair, signer))
        seen = sighting(number=3, place=position(0.123456789, 20.987654321), score=0.7654321)
        node = _node(sealer=_sealer(pair, keys.parse_public(ground.server_public_key)))
        node.see(seen, 0.0)
        raw = _raw(node.due(0.0, is_ground_up=False))
        radio = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with radio:

            def has_come() -> bool:
                radio.sendto(raw, ("127.0.0.1", port))
                return bool(ground.store.sightings_of_ids([seen.sighting_id]))

            until(has_come)
        (thin,) = ground.store.sightings_of_ids([seen.sighting_id])
        assert thin.sighting.model_id in ("thin", seen.model_id)
        with running_edge(tmp_path, ground) as (outbox, _):
            put(outbox, seen)
            until(lambda: outbox.state().held == 0)
        stored, matched = ground.store.sightings(Filter(limit=10))
        assert matched == 1
        assert stored[0].sighting == seen
        _, missing, last = ground.store.sequence_state("uav07")
        assert (missing, last) == (0, 1)
    finally:
        ground.stop()
    found = verify_store(tmp_path / "ground" / "store.sqlite", {"uav07": (signer.public,)})
    assert (found.damaged, found.signed, found.unsigned) == (0, 1, 1)


def test_only_enrolled_platforms_are_believed_by_radio() -> None:
    station, own, other = keys.new_key_pair(), keys.new_key_pair(), keys.new_key_pair()
    enrolled = [Enrolled(platform_id="uav07", public_key=own.public, fingerprint="")]
    reader = ThinReader(station.secret, lambda: list(enrolled))

    def read(node: ThinLink, now_s: float) -> list[Sighting]:
        node.see(sighting(place=position()), now_s)
        frames = Framer().feed(_raw(node.due(now_s, is_ground_up=False)))
        return [one for frame in frames if (one := reader.take(frame, now_s)) is not None]

    assert len(read(_node(sealer=_sealer(own, station.public)), 0.0)) == 1
    assert read(_node(sealer=_sealer(other, station.public)), 1.0) == []
    assert read(_node(sealer=_sealer(own, other.public)), 2.0) == []
    enrolled.clear()
    assert read(_node(sealer=_sealer(own, station.public)), 10.0) == []
    assert reader.counts.sightings == 1


def test_other_peoples_tunnels_and_nonsense_are_passed_over() -> None:
    reader = ThinReader(keys.new_key_pair().secret, lambda: [])
    maker = MessageMaker(1, 191)
    for payload_type, length in ((0, 10), (0x8577, 0), (0x8577, 255), (0x8577, 128)):
        raw = maker.message(
            "TUNNEL",
            target_system=0,
            target_component=0,
            payload_type=payload_type,
            payload_length=length,
            payload=list(os.urandom(128)),
        )
        for frame in Framer().feed(raw):
            assert reader.take(frame, 0.0) is None


def test_nothing_goes_by_radio_while_the_ground_answers_or_when_it_is_off() -> None:
    cases: list[tuple[Mode, bool, bool]] = [
        ("off", False, False),
        ("when_silent", True, False),
        ("when_silent", False, True),
        ("always", True, True),
    ]
    for mode, is_up, sends in cases:
        node = _node(mode)
        node.see(sighting(place=position()), 0.0)
        assert bool(node.due(0.0, is_ground_up=is_up)) == sends


def test_the_rate_is_kept_new_tracks_go_first_and_thrice() -> None:
    node = _node(per_s=0.5)
    for number in range(20):
        node.see(sighting(number=number, track=f"t{number % 2}", place=position()), 0.1 * number)
    times = [tick / 10 for tick in range(20, 400) if node.due(tick / 10, is_ground_up=False)]
    assert node.counts.sent == 6
    assert all(later - earlier >= 1.99 for earlier, later in itertools.pairwise(times))


def test_a_ground_control_station_is_shown_place_and_words() -> None:
    node = _node()
    node.see(sighting(place=position()), 0.0)
    frames = {
        decode.message_name(frame.msgid): decode.fields(frame)
        for frame in Framer().feed(_raw(node.due(0.0, is_ground_up=False)))
    }
    assert set(frames) == {"CAMERA_TRACKING_GEO_STATUS", "STATUSTEXT"}
    geo, text = frames["CAMERA_TRACKING_GEO_STATUS"], frames["STATUSTEXT"]
    assert geo is not None
    assert text is not None
    assert geo["lat"] == round(position().latitude_deg * 1e7)
    assert str(text["text"]).startswith("vessel")


def test_a_label_of_control_characters_is_told_in_printable_ones() -> None:
    node = _node()
    node.see(sighting(place=position(), label="\x1b[2Jship\nnew line \u202eabc"), 0.0)
    texts = [fields["text"] for name, fields in node.due(0.0, is_ground_up=False) if name == "STATUSTEXT"]
    assert all(32 <= byte < 127 for byte in texts[0])
    assert texts[0].startswith(b"?[2Jship?new line ?a")
