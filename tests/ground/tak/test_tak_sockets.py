"""The feed of a running station, heard through real sockets by other people's readers."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytak
import pytest
import takproto
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lxml import etree

from ground.review.entries import Decision
from ground.serve import GroundHandle, start_ground
from ground.tak.config import TakFeedConfig
from ground.tak.connections import ListeningFeed, open_outgoing
from ground.tak.event import CotEvent
from ground.tak.offers import Offered
from ground.tak.things import exercise_event
from ground.tak.worker import TakFeed
from skywarden.clock import SystemClock
from skywarden.errors import ConfigError, LinkError
from skywarden.messages import Sighting
from tests.ground.scenes import arrival, ground_config, position, sighting, until

pytestmark = pytest.mark.slow

LIMIT_S = 30.0


def _now_ns() -> int:
    return time.time_ns()


def _fresh(track: str, number: int, *, east_m: float = 0.0) -> Sighting:
    made = sighting(track, number, place=position(east_m=east_m))
    return msgspec.structs.replace(made, time_ns=_now_ns() - 1_000_000_000)


def _config(url: str, **more: object) -> TakFeedConfig:
    return msgspec.convert({"url": url, "interval_s": 0.5, **more}, TakFeedConfig)


@contextmanager
def _station(folder: Path, *feeds: TakFeedConfig) -> Iterator[GroundHandle]:
    handle = start_ground(msgspec.structs.replace(ground_config(folder), tak=feeds))
    try:
        yield handle
    finally:
        handle.stop()


def _see(station: GroundHandle, *looks: Sighting) -> None:
    """Sightings as if they had come over the link, settled into contacts and shown."""
    first = 1 + station.store.counts().records
    station.store.ingest([arrival(one, first + number) for number, one in enumerate(looks)])
    settled = station.store.settle(station.picture.next_revision())
    station.picture.note_contacts(list(settled.contacts), list(settled.removed))


def _decide(station: GroundHandle, contact_id: str, decision: Decision) -> None:
    contact = station.store.contact(contact_id)
    assert contact is not None
    version = station.review.of_contact(contact.contact.track_ids).version
    station.review.decide(contact, decision, account="ana", version=version, utc_ns=_now_ns())


@contextmanager
def _udp_listener() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(LIMIT_S)
        yield made, int(made.getsockname()[1])


def _until_event(heard: socket.socket, wanted: Callable[[Any], bool]) -> Any:
    """The first event by other people's reader that is wanted."""
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        event = takproto.parse_proto(bytearray(heard.recv(65_536))).cotEvent
        if wanted(event):
            return event
    raise AssertionError("such an event was not heard")


def test_what_is_confirmed_is_heard_and_what_is_rejected_then_is_taken_away(tmp_path: Path) -> None:
    with _udp_listener() as (heard, port), _station(tmp_path, _config(f"udp://127.0.0.1:{port}")) as station:
        _see(station, _fresh("uav07-s1-eo.t1", 1), _fresh("uav07-s1-eo.t2", 1, east_m=3_000.0))
        _decide(station, "c-uav07-s1-eo.t2", "confirmed")
        event = _until_event(heard, lambda _: True)  # the first: nothing unreviewed came before it
        assert event.uid == "skywarden.c-uav07-s1-eo.t2"
        assert event.ce > 0.0
        assert "UNREVIEWED" not in event.detail.contact.callsign
        _decide(station, "c-uav07-s1-eo.t2", "rejected")
        gone = _until_event(heard, lambda one: one.type == "t-x-d-d")
        assert 'uid="skywarden.c-uav07-s1-eo.t2"' in gone.detail.xmlDetail
        assert station.tak.problems() == []
        assert b"skywarden_tak_events_total{" in b"".join(
            line + b"\n" for line in _metrics(station).splitlines() if b"tak" in line
        )


def _metrics(station: GroundHandle) -> bytes:
    import urllib.request

    from tests.ground.scenes import authorization

    name, value = authorization(station)
    request = urllib.request.Request(f"{station.http_url}/metrics", headers={name: value})
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return bytes(answer.read())


def test_unreviewed_things_leave_only_when_it_is_said_and_marked(tmp_path: Path) -> None:
    with (
        _udp_listener() as (heard, port),
        _station(
            tmp_path,
            _config(f"udp://127.0.0.1:{port}", unreviewed=True, what=["contacts", "tracks", "platforms"]),
        ) as station,
    ):
        _see(station, _fresh("uav07-s1-eo.t1", 1))
        event = _until_event(heard, lambda one: one.type.startswith("a-u"))
        assert event.detail.contact.callsign.startswith("UNREVIEWED ")
        assert "UNREVIEWED:" in event.detail.xmlDetail


def test_a_confirmed_contact_that_a_new_track_joins_is_held_and_not_taken_away(tmp_path: Path) -> None:
    with _udp_listener() as (heard, port), _station(tmp_path, _config(f"udp://127.0.0.1:{port}")) as station:
        _see(station, _fresh("uav07-s1-eo.t1", 1))
        _decide(station, "c-uav07-s1-eo.t1", "confirmed")
        _until_event(heard, lambda one: one.uid == "skywarden.c-uav07-s1-eo.t1")
        again = msgspec.structs.replace(
            _fresh("uav08-s1-eo.t1", 1), platform_id="uav08", time_ns=_now_ns() + 1_000_000
        )
        _see(station, again)
        contact = station.store.contact("c-uav07-s1-eo.t1")
        assert contact is not None
        assert len(contact.contact.track_ids) == 2
        sentinel = _fresh("uav07-s1-eo.t5", 1, east_m=9_000.0)
        _see(station, sentinel)
        _decide(station, "c-uav07-s1-eo.t5", "confirmed")
        seen: list[str] = []

        def is_sentinel(one: Any) -> bool:
            seen.append(one.type)
            return bool(one.uid == "skywarden.c-uav07-s1-eo.t5")

        _until_event(heard, is_sentinel)
        assert "t-x-d-d" not in seen


def test_what_is_rejected_while_the_station_is_away_is_taken_off_when_it_comes_back(tmp_path: Path) -> None:
    with _udp_listener() as (heard, port):
        config = _config(f"udp://127.0.0.1:{port}")
        with _station(tmp_path, config) as station:
            _see(station, _fresh("uav07-s1-eo.t1", 1))
            _decide(station, "c-uav07-s1-eo.t1", "confirmed")
            _until_event(heard, lambda one: one.uid == "skywarden.c-uav07-s1-eo.t1")
        with _station(tmp_path) as station:
            _decide(station, "c-uav07-s1-eo.t1", "rejected")
        with _station(tmp_path, config):
            gone = _until_event(heard, lambda one: one.type == "t-x-d-d")
            assert gone.uid == "skywarden.c-uav07-s1-eo.t1.gone"


def _offers(*events: CotEvent) -> Callable[[int], Offered]:
    return lambda now_ns: Offered(events=list(events))


def _marker(name: str = "one") -> CotEvent:
    return exercise_event(name, (37.0, -8.9), _now_ns())


@contextmanager
def _running(config: TakFeedConfig, offers: Callable[[int], Offered]) -> Iterator[TakFeed]:
    feed = TakFeed(config, offers, SystemClock())
    try:
        feed.start()
        yield feed
    finally:
        feed.stop()


def test_a_multicast_group_hears_the_feed() -> None:
    group = "239.255.77.41"
    with ExitStack() as stack:
        heard = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        heard.bind(("", 0))
        joined = socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
        heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        heard.settimeout(LIMIT_S)
        config = _config(f"udp://{group}:{heard.getsockname()[1]}", interface="127.0.0.1", protocol="xml")
        stack.enter_context(_running(config, _offers(_marker())))
        event = etree.fromstring(heard.recv(65_536))
        assert event.find("detail/contact").get("callsign").startswith("EXERCISE")


def test_pytak_connects_to_our_listener_and_reads_whole_events() -> None:
    config = _config("tcp-listen://127.0.0.1:0", protocol="xml")
    with _running(config, _offers(_marker("one"), _marker("two"))) as feed:
        outgoing = feed.outgoing
        assert isinstance(outgoing, ListeningFeed)
        read = asyncio.run(_by_pytak(f"tcp://127.0.0.1:{outgoing.port}", 2))
    assert {etree.fromstring(one).get("uid") for one in read} == {"skywarden.test.one", "skywarden.test.two"}


async def _by_pytak(url: str, count: int) -> list[bytes]:
    parser = ConfigParser()
    parser.read_dict({"listener": {"COT_URL": url}})
    reader, writer = await pytak.protocol_factory(parser["listener"])
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    worker = pytak.RXWorker(queue, parser["listener"], reader)
    try:
        async with asyncio.timeout(LIMIT_S):
            return [await worker.readcot() for _ in range(count)]
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_listener_changes_to_protobuf_with_a_client_that_asks() -> None:
    config = _config("tcp-listen://127.0.0.1:0")
    with ExitStack() as stack:
        feed = stack.enter_context(_running(config, _offers(_marker())))
        assert isinstance(feed.outgoing, ListeningFeed)
        client = stack.enter_context(
            socket.create_connection(("127.0.0.1", feed.outgoing.port), timeout=LIMIT_S)
        )
        first = _read_until(client, b"</event>")
        assert b"t-x-takp-v" in first
        client.sendall(
            b"<event type='t-x-takp-q'><detail><TakControl><TakRequest version='1'/>"
            b"</TakControl></detail></event>"
        )
        rest = _read_until(client, b"EXERCISE: a test", first)
        answer, _, stream = rest.partition(b'TakResponse status="true"')
        assert stream, answer
        framed = stream[stream.index(b"\xbf") :]
        read = takproto.parse_proto(bytearray(framed))
        assert read.cotEvent.uid == "skywarden.test.one"


def _read_until(client: socket.socket, mark: bytes, held: bytes = b"") -> bytes:
    end_s = time.monotonic() + LIMIT_S
    while mark not in held:
        assert time.monotonic() < end_s, held
        data = client.recv(65_536)
        assert data, held
        held += data
    return held + _rest(client)


def _rest(client: socket.socket) -> bytes:
    client.setblocking(False)
    try:
        return client.recv(65_536)
    except BlockingIOError:
        return b""
    finally:
        client.settimeout(LIMIT_S)


def test_a_server_that_goes_away_is_called_again_and_told_everything_anew() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(LIMIT_S)
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        feed = stack.enter_context(_running(_config(url), _offers(_marker())))
        for _ in range(2):
            peer, _ = server.accept()
            with peer:
                peer.settimeout(LIMIT_S)
                assert b"skywarden.test.one" in _read_until(peer, b"</event>")
        until(lambda: feed.counts.lost_connections >= 1, LIMIT_S)


def test_a_server_that_is_not_there_is_a_notice_of_the_station_and_no_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with _running(_config(f"tcp://127.0.0.1:{port}"), _offers(_marker())) as feed:
        until(lambda: feed.fault is not None, LIMIT_S)
        assert "nothing goes to TAK" in feed.problems()[0]
        assert str(port) in feed.problems()[0]


def test_too_many_clients_are_sent_away_and_one_that_takes_nothing_holds_nobody_up() -> None:
    config = _config("tcp-listen://127.0.0.1:0", protocol="xml")
    with ExitStack() as stack:
        feed = stack.enter_context(_running(config, _offers(_marker())))
        assert isinstance(feed.outgoing, ListeningFeed)
        where = ("127.0.0.1", feed.outgoing.port)
        clients = [stack.enter_context(socket.create_connection(where, timeout=LIMIT_S)) for _ in range(18)]
        until(lambda: feed.counts.refused >= 2, LIMIT_S)
        assert feed.receivers == 16
        assert b"skywarden.test.one" in _read_until(clients[0], b"</event>")


class Authority:
    """A certificate authority for one test; ECDSA, good for an hour."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}-ca.pem"
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._write(self.path, self._builder(self._name, self._key.public_key()).add_extension(basic, True))

    def issue(self, name: str) -> Path:
        """Certificate and key of `name` (127.0.0.1) in one PEM file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        path = self._folder / f"{name}.pem"
        self._write(path, self._builder(subject, key.public_key()).add_extension(alternative, False))
        with path.open("ab") as file:
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return path

    def _builder(self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder(subject_name=subject, issuer_name=self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            .add_extension(identifier, False)
        )

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        made = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def test_over_tls_both_ends_prove_who_they_are(tmp_path: Path) -> None:
    agency, strangers = Authority(tmp_path, "agency"), Authority(tmp_path, "strangers")
    ours, theirs, wrong = agency.issue("station"), agency.issue("client"), strangers.issue("stranger")
    config = _config("tls-listen://127.0.0.1:0", certificate=str(ours), authority=str(agency.path))
    with ExitStack() as stack:
        listening = stack.enter_context(_running(config, _offers(_marker())))
        assert isinstance(listening.outgoing, ListeningFeed)
        url = f"tls://127.0.0.1:{listening.outgoing.port}"
        where = ("127.0.0.1", listening.outgoing.port)
        context = ssl.create_default_context(cafile=str(agency.path))
        context.load_cert_chain(theirs)
        raw = stack.enter_context(socket.create_connection(where, timeout=LIMIT_S))
        client = stack.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1"))
        client.settimeout(LIMIT_S)
        assert b"t-x-takp-v" in client.recv(65_536)
        until(lambda: listening.receivers == 1, LIMIT_S)
        stranger = open_outgoing(_config(url, certificate=str(wrong), authority=str(agency.path)))
        stack.callback(stranger.close)

        def is_refused() -> bool:
            try:
                stranger.turn([_marker()], (), _now_ns())
            except LinkError:
                return listening.counts.refused > 0
            return False

        until(is_refused, LIMIT_S)
        deceived = open_outgoing(_config(url, certificate=str(theirs), authority=str(strangers.path)))
        stack.callback(deceived.close)
        with pytest.raises(LinkError, match="not to be trusted"):
            deceived.turn([_marker()], (), _now_ns())


def test_our_two_ends_speak_protobuf_over_tls(tmp_path: Path) -> None:
    agency = Authority(tmp_path, "agency")
    server, client = agency.issue("station"), agency.issue("client")
    files = {"authority": str(agency.path)}
    with ExitStack() as stack:
        listening = stack.enter_context(
            _running(_config("tls-listen://127.0.0.1:0", certificate=str(server), **files), _offers())
        )
        assert isinstance(listening.outgoing, ListeningFeed)
        calling = stack.enter_context(
            _running(
                _config(f"tls://127.0.0.1:{listening.outgoing.port}", certificate=str(client), **files),
                _offers(_marker()),
            )
        )
        until(lambda: calling.counts.sent == 1, LIMIT_S)
        assert calling.fault is None


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"url": "http://x:1"}, "no TAK address"),
        ({"url": "udp://u:p@h:1"}, "no TAK address"),
        ({"url": "tcp://h:0"}, "port 0"),
        ({"url": "tcp://h:99999"}, "no TAK address"),
        ({"url": "tls://h:8089"}, "certificate and authority"),
        ({"url": "tcp-listen://0.0.0.0:8087"}, "read along"),
        ({"url": "udp://h", "platform_type": "a-h-G"}, "platform_type"),
        ({"url": "udp://h", "what": []}, "what"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tree: dict[str, object], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(tree, TakFeedConfig)


def test_files_that_are_no_certificates_keep_the_station_from_starting(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    feed = _config(
        "tls://127.0.0.1:1", certificate=str(tmp_path / "x.pem"), authority=str(tmp_path / "x.pem")
    )
    with pytest.raises(ConfigError, match="PEM"), _station(tmp_path, feed):
        pass
