"""How a TAK stream changes from XML to protobuf, and what hostile ends cannot do to it."""

import takproto
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ground.tak.stream_protocol import MAX_HELD_BYTES, Role, StreamProtocol
from ground.tak.things import exercise_event

NOW = 1_763_000_000_000_000_000
EVENT = exercise_event("x", (1.0, 2.0), NOW)


def test_two_of_ours_agree_on_protobuf() -> None:
    server, client = StreamProtocol("server", "protobuf"), StreamProtocol("client", "protobuf")
    request = client.feed(server.greeting(NOW), NOW)
    assert client.is_waiting(NOW)
    response = server.feed(request, NOW)
    assert client.feed(response, NOW) == b""
    assert (server.encoding, client.encoding) == ("protobuf", "protobuf")
    assert not client.is_waiting(NOW)
    read = takproto.parse_proto(bytearray(server.encoded(EVENT)))
    assert read.cotEvent.detail.contact.callsign == EVENT.callsign


def test_the_words_are_those_of_the_protocol() -> None:
    server, client = StreamProtocol("server", "protobuf"), StreamProtocol("client", "protobuf")
    offer = etree.fromstring(server.greeting(NOW))
    assert offer.get("type") == "t-x-takp-v"
    assert offer.find("detail/TakControl/TakProtocolSupport").get("version") == "1"
    asked = etree.fromstring(client.feed(server.greeting(NOW), NOW))
    assert asked.get("type") == "t-x-takp-q"
    assert asked.find("detail/TakControl/TakRequest").get("version") == "1"
    answer = etree.fromstring(server.feed(etree.tostring(asked), NOW))
    assert answer.get("type") == "t-x-takp-r"
    assert answer.find("detail/TakControl/TakResponse").get("status") == "true"


def test_who_wants_xml_stays_with_it() -> None:
    server, client = StreamProtocol("server", "protobuf"), StreamProtocol("client", "xml")
    assert client.feed(server.greeting(NOW), NOW) == b""
    assert etree.fromstring(client.encoded(EVENT)).get("uid") == EVENT.uid
    refusing, asking = StreamProtocol("server", "xml"), StreamProtocol("client", "protobuf")
    assert refusing.greeting(NOW) == b""
    request = asking.feed(server.greeting(NOW), NOW)
    assert b'status="false"' in refusing.feed(request, NOW)
    assert refusing.encoding == "xml"


def test_a_server_that_does_not_answer_is_spoken_to_in_xml_after_a_minute() -> None:
    client = StreamProtocol("client", "protobuf")
    client.feed(StreamProtocol("server", "protobuf").greeting(NOW), NOW)
    assert client.is_waiting(NOW + 59_000_000_000)
    assert not client.is_waiting(NOW + 61_000_000_000)
    assert client.encoding == "xml"


def test_a_ping_is_answered_in_xml_and_in_protobuf_wherever_it_is_cut() -> None:
    server, client = StreamProtocol("server", "protobuf"), StreamProtocol("client", "protobuf")
    answer = etree.fromstring(server.feed(client.ping(NOW), NOW))
    assert answer.get("type") == "t-x-c-t-r"
    client.feed(server.feed(client.feed(server.greeting(NOW), NOW), NOW), NOW)
    ping = client.ping(NOW)
    for cut in range(len(ping)):
        answers = server.feed(ping[:cut], NOW) + server.feed(ping[cut:], NOW)
        assert takproto.parse_proto(bytearray(answers)).cotEvent.type == "t-x-c-t-r"
        assert client.feed(answers, NOW) == b""


def test_an_answer_that_nobody_asked_for_changes_nothing() -> None:
    client = StreamProtocol("client", "protobuf")
    client.feed(b'<event type="t-x-takp-r"><detail><TakResponse status="true"/></detail></event>', NOW)
    assert client.encoding == "xml"


@given(st.lists(st.binary(max_size=300), max_size=20), st.sampled_from(["client", "server"]))
def test_rubbish_is_passed_over(pieces: list[bytes], role: Role) -> None:
    protocol = StreamProtocol(role, "protobuf")
    for piece in pieces:
        protocol.feed(piece, NOW)
        protocol.feed(b"<event type='t-x-takp-x'" + piece + b"</event>", NOW)
    assert protocol.encoding == "xml"


def test_an_event_without_end_is_not_kept() -> None:
    protocol = StreamProtocol("server", "protobuf")
    for _ in range(10):
        protocol.feed(b"<event " + b"x" * 50_000, NOW)
    assert len(protocol._held) <= MAX_HELD_BYTES
    request = b'<event type="t-x-takp-q"><detail><TakRequest version="1"/></detail></event>'
    assert protocol.feed(b"</event>" + request, NOW)
