"""How a TAK stream agrees on its form: it begins in XML and changes over to protobuf when both ends want it.

The server offers (`t-x-takp-v`), the client asks (`t-x-takp-q`), the server says yes (`t-x-takp-r`), and from
then on both speak protobuf. A ping (`t-x-c-t`) is answered, for clients hang up on a server that is
silent. No socket and no clock. Nothing else that comes in is looked at: what others send is searched for
these words by a bounded scan, never parsed.

Source: TAK protocol version 1, "streaming connections".
"""

import re
from typing import Literal

from ground.tak.event import CotEvent, CotPoint, Detail, Encoding, as_stream, as_xml
from skywarden.clock import NS_PER_S

Role = Literal["client", "server"]

MAX_HELD_BYTES = 65_536
ANSWER_WITHIN_S = 60.0
"""A server that does not answer a request within so long is spoken to in XML."""

_END = b"</event>"
_TYPE = re.compile(rb"<event\b[^>]{0,2000}?\btype\s*=\s*[\"'](t-x-takp-[vqr]|t-x-c-t)[\"']")
_SUPPORT = re.compile(rb"<TakProtocolSupport\b[^>]{0,200}?\bversion\s*=\s*[\"']1[\"']")
_REQUEST = re.compile(rb"<TakRequest\b[^>]{0,200}?\bversion\s*=\s*[\"']1[\"']")
_YES = re.compile(rb"<TakResponse\b[^>]{0,200}?\bstatus\s*=\s*[\"']true[\"']")
_PING = b"\x0a\x07t-x-c-t"
"""Field 1 (type) of an event, seven characters long: not the answer, which is longer."""
_NOWHERE = CotPoint(latitude_deg=0.0, longitude_deg=0.0)


class StreamProtocol:
    """One connection. `wants` is what we would like to speak; `encoding` what is spoken now."""

    def __init__(self, role: Role, wants: Encoding) -> None:
        self._role = role
        self._wants = wants
        self._held = bytearray()
        self._asked_ns: int | None = None
        self.encoding: Encoding = "xml"

    def greeting(self, now_ns: int) -> bytes:
        """What a connection begins with."""
        if self._role == "client" or self._wants == "xml":
            return b""
        support = Detail(tag="TakProtocolSupport", attributes=(("version", "1"),))
        return self._control("t-x-takp-v", support, now_ns)

    def feed(self, data: bytes, now_ns: int) -> bytes:
        """Takes in what came; the answer to send, if any."""
        if self.encoding == "protobuf":
            return self._pinged(data, now_ns)
        self._held += data
        answer = b""
        while (end := self._held.find(_END)) >= 0:
            answer += self._heard(bytes(self._held[: end + len(_END)]), now_ns)
            del self._held[: end + len(_END)]
        if len(self._held) > MAX_HELD_BYTES:
            del self._held[: -len(_END)]
        return answer

    def is_waiting(self, now_ns: int) -> bool:
        """Whether an answer is due before which nothing may be said."""
        if self._asked_ns is None:
            return False
        if now_ns - self._asked_ns > ANSWER_WITHIN_S * NS_PER_S:
            self._asked_ns = None
        return self._asked_ns is not None

    def encoded(self, event: CotEvent) -> bytes:
        """An event as this connection speaks now, nothing after it: readers cut at the end of the element."""
        return as_stream(event) if self.encoding == "protobuf" else as_xml(event)

    def ping(self, now_ns: int) -> bytes:
        """A sign of life."""
        return self.encoded(_said("skywarden.ping", "t-x-c-t", now_ns))

    def _pinged(self, data: bytes, now_ns: int) -> bytes:
        """One answer however often a piece asks; the name of the message is found wherever it was cut."""
        piece = bytes(self._held[-len(_PING) :]) + data
        self._held = bytearray(piece[-len(_PING) :])
        if _PING not in piece:
            return b""
        self._held.clear()
        return self.encoded(_said("skywarden.pong", "t-x-c-t-r", now_ns))

    def _heard(self, event: bytes, now_ns: int) -> bytes:
        found = _TYPE.search(event[-4096:])
        if found is None or self.encoding == "protobuf":
            return b""
        word = found.group(1)
        if word == b"t-x-c-t":
            return self.encoded(_said("skywarden.pong", "t-x-c-t-r", now_ns))
        if self._role == "client":
            if word == b"t-x-takp-v" and self._wants == "protobuf" and _SUPPORT.search(event):
                self._asked_ns = now_ns
                request = Detail(tag="TakRequest", attributes=(("version", "1"),))
                return self._control("t-x-takp-q", request, now_ns)
            if word == b"t-x-takp-r" and self._asked_ns is not None:
                self._asked_ns = None
                if _YES.search(event):
                    self.encoding = "protobuf"
            return b""
        if word != b"t-x-takp-q":
            return b""
        is_agreed = self._wants == "protobuf" and _REQUEST.search(event) is not None
        answer = self._control(
            "t-x-takp-r",
            Detail(tag="TakResponse", attributes=(("status", "true" if is_agreed else "false"),)),
            now_ns,
        )
        if is_agreed:
            self.encoding = "protobuf"
        return answer

    def _control(self, kind: str, said: Detail, now_ns: int) -> bytes:
        """XML in any case: it is said before both have agreed."""
        control = Detail(tag="TakControl", children=(said,))
        return as_xml(_said(f"protouid.{kind}", kind, now_ns, control))


def _said(uid: str, kind: str, now_ns: int, *details: Detail) -> CotEvent:
    return CotEvent(
        uid=uid,
        type=kind,
        how="m-g",
        time_ns=now_ns,
        start_ns=now_ns,
        stale_ns=now_ns + 60 * NS_PER_S,
        point=_NOWHERE,
        details=details,
    )
