"""Edge and ground over real sockets, CURVE on: nothing lost, nothing twice, no stranger let in."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

from ground.link.authenticator import revoke
from ground.serve import GroundHandle, authorized_dir
from ground.store.reading import Filter
from ground.store.sqlite import SqliteStore
from skywarden import evidence
from skywarden.errors import ConfigError, LinkError, WireError
from skywarden.evidence import EvidenceKey
from skywarden.link import keys
from skywarden.link.protocol import (
    KIND_BATCH,
    MAX_BATCH_BYTES,
    Batch,
    Head,
    Signature,
    decode_reply,
    encode_batch,
)
from skywarden.messages import Tasking
from skywarden.wire import Entry, Record, decode_entry, encode, encode_entry
from tests.ground.scenes import (
    BOOT,
    START_NS,
    chip,
    enrolment,
    ground_config,
    pose,
    position,
    put,
    running_edge,
    running_ground,
    sighting,
    until,
)

pytestmark = pytest.mark.slow


def _raw(
    ground: GroundHandle, pair: keys.KeyPair | None, server_key: bytes | None = None
) -> zmq.Socket[bytes]:
    """A client of our own; `pair` None speaks without CURVE."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.sndtimeo = 1_000
    if pair is not None:
        socket.curve_serverkey = keys.curve_option(server_key or keys.parse_public(ground.server_public_key))
        socket.curve_publickey, socket.curve_secretkey = pair.public_z85, pair.secret_z85
    socket.connect(f"tcp://{ground.link_address}")
    return socket


_SIGNER = EvidenceKey.new()


def _batch(
    *records: bytes, platform: str = "uav07", number: int = 1, signer: EvidenceKey | None = _SIGNER
) -> bytes:
    head = Head(seq=1_000, chain=b"h" * 32)
    text = evidence.seal_text(platform, BOOT, number, head.seq, head.chain, _leaves(platform, records))
    signature = (
        Signature(key_id=evidence.key_id(signer.public), signature=signer.sign(text)) if signer else None
    )
    return encode_batch(
        Batch(
            number=number,
            platform_id=platform,
            boot_id=BOOT,
            sent_ns=START_NS,
            last_seq=len(records),
            pending=0,
            records=records,
            head=head if signer else None,
            signature=signature,
        )
    )


def _leaves(platform: str, records: tuple[bytes, ...]) -> list[bytes]:
    leaves = []
    for data in records:
        with contextlib.suppress(WireError):
            one = decode_entry(data)
            record = Record(
                platform_id=platform,
                boot_id=BOOT,
                seq=one.seq,
                topic=one.topic,
                time_ns=one.time_ns,
                body=one.body,
            )
            leaves.append(evidence.leaf_of(record))
    return leaves


def _record(seq: int, *, body: bytes | None = None) -> bytes:
    message = sighting(number=seq, place=position())
    return encode_entry(
        Entry(
            seq=seq,
            topic="sighting",
            time_ns=START_NS,
            body=body if body is not None else encode(message),
        )
    )


def _line(pair: keys.KeyPair) -> str:
    return evidence.enrolment_line(pair, _SIGNER)


def test_sightings_and_chips_arrive_and_leave_the_outbox(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        seen = [sighting(number=n, at_s=n, place=position()) for n in range(1, 51)]
        put(outbox, *seen, *[chip(one, 30_000) for one in seen[:5]])
        assert downlink.wait_until_delivered(10)
        counts = ground.store.counts()
        assert (counts.sightings, counts.chips, counts.records) == (50, 5, 55)
        assert downlink.health(START_NS).state == "ok"
        assert outbox.state().acknowledged == 55


def test_the_newest_pose_reaches_the_live_picture(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (_, downlink):
        for number in range(20):
            downlink.offer_newest("pose", "uav07", START_NS, encode(pose(at_s=number, east_m=number)))

        def has_last() -> bool:
            states = ground.picture.platforms()
            return bool(states) and states[0].pose == pose(at_s=19, east_m=19)

        until(has_last)
        assert ground.store.counts().records == 0


@pytest.mark.parametrize("kind", ["no curve", "unknown key", "wrong server key"])
def test_a_stranger_is_refused_without_an_answer_and_nothing_is_stored(tmp_path: Path, kind: str) -> None:
    with running_ground(tmp_path) as ground:
        other = keys.new_key_pair().public if kind == "wrong server key" else None
        socket = _raw(ground, None if kind == "no curve" else keys.new_key_pair(), other)
        with contextlib.suppress(zmq.Again):
            socket.send_multipart([KIND_BATCH, _batch(_record(1))])
        assert not socket.poll(1_000)
        assert ground.receiver.counts.messages == 0
        assert ground.store.counts().records == 0
        socket.close(linger=0)


def test_a_platform_cannot_speak_for_another(tmp_path: Path) -> None:
    pair = keys.new_key_pair()
    with running_ground(tmp_path) as ground:
        ground.enrol("uav07", _line(pair))
        socket = _raw(ground, pair)
        socket.send_multipart([KIND_BATCH, _batch(_record(1), platform="uav08")])
        until(lambda: ground.receiver.counts.refused_identity == 1)
        forged = encode(sighting(number=2, place=position(), platform="uav08"))
        socket.send_multipart([KIND_BATCH, _batch(_record(2, body=forged))])
        assert socket.poll(5_000)
        assert ground.receiver.counts.refused_identity == 1
        assert ground.store.counts().sightings == 0
        assert ground.store.counts().quarantined == 1
        socket.close(linger=0)


def test_poison_is_acknowledged_junk_is_counted_and_the_good_goes_through(tmp_path: Path) -> None:
    pair = keys.new_key_pair()
    with running_ground(tmp_path) as ground:
        ground.enrol("uav07", _line(pair))
        socket = _raw(ground, pair)
        for junk in (b"", b"\xff" * 100, b"\x01" + b"\x91" * 50_000, b"\x01\xdd\xff\xff\xff\xff"):
            socket.send_multipart([KIND_BATCH, junk])
        socket.send_multipart([b"?", b"x"])
        socket.send_multipart([KIND_BATCH, _batch(), b"extra"])
        socket.send_multipart(
            [KIND_BATCH, _batch(_record(1), _record(2, body=b"\x01junk"), b"\x01", _record(3))]
        )
        assert socket.poll(5_000)
        reply = decode_reply(socket.recv_multipart()[1])
        assert reply.ack is not None
        assert reply.ack.contiguous_seq == 3
        assert ground.store.counts().sightings == 2
        assert ground.store.counts().quarantined == 1
        assert ground.receiver.counts.undecodable == 7
        assert ground.receiver.counts.failures == 0
        socket.close(linger=0)


def test_a_message_over_size_ends_the_connection_and_nothing_else(tmp_path: Path) -> None:
    pair = keys.new_key_pair()
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground, "uav08") as (outbox, downlink):
        ground.enrol("uav07", _line(pair))
        socket = _raw(ground, pair)
        socket.send_multipart([KIND_BATCH, b"\x01" * (MAX_BATCH_BYTES + 1_000)])
        put(outbox, sighting(number=1, place=position(), platform="uav08"))
        assert downlink.wait_until_delivered(10)
        assert ground.receiver.counts.undecodable == 0
        socket.close(linger=0)


def test_a_revoked_platform_is_cut_off_while_it_is_connected_and_back_when_enrolled_again(
    tmp_path: Path,
) -> None:
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        put(outbox, sighting(number=1, place=position()))
        assert downlink.wait_until_delivered(10)
        revoke(authorized_dir(tmp_path / "ground"), "uav07")
        until(lambda: ground.receiver.sessions.cut_count > 0, 5.0)
        put(outbox, sighting(number=2, place=position()))
        before = ground.authenticator.refused
        until(lambda: ground.authenticator.refused > before)
        assert ground.store.counts().sightings == 1
        assert outbox.state().held == 1
        ground.enrol("uav07", enrolment(tmp_path))
        assert downlink.wait_until_delivered(30)
        assert ground.store.counts().sightings == 2


@pytest.mark.slow
def test_a_platform_that_is_enrolled_late_gets_in_without_a_restart(tmp_path: Path) -> None:
    with (
        running_ground(tmp_path) as ground,
        running_edge(tmp_path, ground, is_enrolled=False) as (outbox, downlink),
    ):
        put(outbox, sighting(number=1, place=position()))
        until(lambda: ground.authenticator.refused >= 2)  # the self-test and the platform
        ground.enrol("uav07", enrolment(tmp_path))
        assert downlink.wait_until_delivered(20)


@pytest.mark.slow
def test_the_ground_may_go_and_come_back_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground:
        address = ground.link_address
        edge = running_edge(tmp_path, ground)
        outbox, downlink = edge.__enter__()
        put(outbox, *[sighting(number=n, place=position()) for n in range(1, 200)])
        until(lambda: ground.store.counts().sightings > 0)
    put(outbox, *[sighting(number=n, place=position()) for n in range(200, 400)])
    with running_ground(tmp_path, link=address) as ground:
        assert downlink.wait_until_delivered(30)
        counts = ground.store.counts()
        assert counts.sightings == counts.records == 399
        contact = ground.store.contact("c-uav07-s1-eo-1")
        until(lambda: ground.receiver.counts.stored > 0)
        assert contact is not None
        edge.__exit__(None, None, None)


_SENDER = """
import sys
from pathlib import Path
from edge.link.downlink import Downlink, LinkConfig
from edge.link.outbox import Outbox
from skywarden import evidence
from skywarden.link import keys
from skywarden.logs import configure_logs
from skywarden.wire import encode
from tests.ground.scenes import START_NS, position, sighting
folder, address, ground_key, start = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
outbox = Outbox(folder / "outbox.sqlite", "uav07")
pair = keys.load_key_file(folder / "keys" / "link.key")
downlink = Downlink(
    LinkConfig(ground=address, ground_public_key=ground_key, retry_min_s=0.5),
    outbox,
    pair,
    evidence_key=evidence.load_evidence_key(folder / "keys" / "link.evidence.key"),
)
configure_logs("json", verbosity=-1)
downlink.start()
for number in range(start, start + 100_000):
    outbox.append("sighting", START_NS, encode(sighting(number=number, at_s=number, place=position())))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.slow
def test_a_sender_killed_with_minus_nine_loses_nothing_that_it_had_made_durable(tmp_path: Path) -> None:
    pair = keys.create_key_file(tmp_path / "uav07" / "keys" / "link.key")
    signer = evidence.create_evidence_key(tmp_path / "uav07" / "keys" / "link.evidence.key")
    confirmed: list[int] = []
    with running_ground(tmp_path) as ground:
        ground.enrol("uav07", evidence.enrolment_line(pair, signer))
        for turn in range(3):
            arguments = [str(tmp_path / "uav07"), ground.link_address, ground.server_public_key]
            child = subprocess.Popen(
                [sys.executable, "-c", _SENDER, *arguments, str(1 + turn * 1_000_000)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=Path(__file__).resolve().parents[3],
            )
            assert child.stdout is not None
            try:
                goal = ground.store.counts().sightings + 150
                while ground.store.counts().sightings < goal:
                    confirmed.append(int(child.stdout.readline()))
            finally:
                os.kill(child.pid, signal.SIGKILL)
            confirmed += [int(line) for line in child.stdout.read().splitlines()]
            child.wait(10)
            child.stdout.close()
        with running_edge(tmp_path, ground) as (outbox, downlink):
            assert downlink.wait_until_delivered(30)
            last = outbox.state().last_seq
        found, matched = ground.store.sightings(Filter(limit=1_000_000))
        assert set(confirmed) <= {one.sighting.frame_number for one in found}
        assert matched == len({one.sighting.sighting_id for one in found}) == last
        assert ground.store.sequence_state("uav07") == (last, 0, last)


def test_a_ground_whose_disk_is_full_acknowledges_nothing_says_so_and_recovers(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        put(outbox, sighting(number=1, place=position()))
        assert downlink.wait_until_delivered(10)
        assert isinstance(ground.store, SqliteStore)
        ground.store._db.execute("PRAGMA max_page_count = 1")  # as if the disk were full
        for number in range(2, 30):
            put(outbox, chip(sighting(number=number), 60_000))
        downlink.offer_newest("pose", "uav07", START_NS, encode(pose()))
        until(lambda: ground.receiver.store_problem is not None)
        held = outbox.state().held
        assert held > 0
        problem = _until_failures(ground)
        assert "disk is full" in problem
        assert outbox.state().held + ground.store.counts().chips >= 28
        until(lambda: ground.picture.platforms()[0].pose is not None)
        ground.store._db.execute("PRAGMA max_page_count = 100000000")
        assert downlink.wait_until_delivered(30)
        assert ground.store.counts().chips == 28
        assert ground.receiver.store_problem is None
        assert ground.receiver.counts.failures == 0


def _until_failures(ground: GroundHandle) -> str:
    until(lambda: ground.receiver.counts.store_failures >= 2)
    assert ground.receiver.store_problem is not None
    return ground.receiver.store_problem


def test_a_request_reaches_its_platform(tmp_path: Path) -> None:
    heard: list[Tasking] = []
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        downlink._on_tasking = heard.append
        put(outbox, sighting(number=1, place=position()))
        assert downlink.wait_until_delivered(10)
        tasking = Tasking(
            tasking_id="t1",
            platform_id="uav07",
            time_ns=START_NS,
            expires_ns=START_NS,
            kind="threshold",
            score=0.4,
        )
        assert ground.receiver.send_tasking(tasking)
        until(lambda: heard == [tasking])


def test_both_ends_stop_in_time_with_work_under_way(tmp_path: Path) -> None:
    with running_ground(tmp_path) as ground, running_edge(tmp_path, ground) as (outbox, downlink):
        put(outbox, *[sighting(number=n, place=position()) for n in range(1, 2_000)])
        began_s = time.monotonic()
        downlink.stop()
        assert time.monotonic() - began_s < 2.0
        ground.stop()
        assert time.monotonic() - began_s < 5.0


def test_an_address_in_use_and_an_open_web_port_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with running_ground(tmp_path / "one") as ground:
        config = ground_config(tmp_path / "two")
        with (
            pytest.raises(LinkError, match="link address"),
            running_ground(tmp_path / "two", link=ground.link_address),
        ):
            pass
        assert config.http == "127.0.0.1:0"
    from ground.config import GroundConfig
    from ground.serve import start_ground

    with pytest.raises(ConfigError, match="insecure-http"):
        start_ground(GroundConfig(state=str(tmp_path / "three"), http="0.0.0.0:0", link="127.0.0.1:0"))
