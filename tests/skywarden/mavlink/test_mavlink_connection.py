"""Connection strings as users of pymavlink, MAVProxy, QGroundControl and MAVSDK write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywarden.errors import ConfigError
from skywarden.mavlink.connection import Connection, parse_connection

FORMS = {
    "udpin:0.0.0.0:14550": Connection(kind="udpin", host="0.0.0.0", port=14550),
    "udpin:14551": Connection(kind="udpin", host="0.0.0.0", port=14551),
    "udpin::14551": Connection(kind="udpin", host="0.0.0.0", port=14551),
    "udpout:192.168.1.2:14550": Connection(kind="udpout", host="192.168.1.2", port=14550),
    "udpout:gcs.local": Connection(kind="udpout", host="gcs.local", port=14550),
    "udpbcast:192.168.1.255:14550": Connection(kind="udpbcast", host="192.168.1.255", port=14550),
    "mcast:": Connection(kind="mcast", host="239.255.145.50", port=14550),
    "mcast:14555": Connection(kind="mcast", host="239.255.145.50", port=14555),
    "mcast:239.1.2.3:14555": Connection(kind="mcast", host="239.1.2.3", port=14555),
    "udp:127.0.0.1:14550": Connection(kind="udpin", host="127.0.0.1", port=14550),
    "127.0.0.1:14550": Connection(kind="udpin", host="127.0.0.1", port=14550),
    "[::1]:14550": Connection(kind="udpin", host="::1", port=14550),
    "tcp:127.0.0.1:5760": Connection(kind="tcp", host="127.0.0.1", port=5760),
    "tcp:[::1]:5760": Connection(kind="tcp", host="::1", port=5760),
    "tcpin:0.0.0.0:5760": Connection(kind="tcpin", host="0.0.0.0", port=5760),
    "uds:/run/mavlink.sock": Connection(kind="unix", path="/run/mavlink.sock"),
    "unix:/run/mavlink.sock": Connection(kind="unix", path="/run/mavlink.sock"),
    "/dev/ttyAMA0": Connection(kind="serial", path="/dev/ttyAMA0", baud=115200),
    "/dev/ttyAMA0,921600": Connection(kind="serial", path="/dev/ttyAMA0", baud=921600),
    "/dev/ttyAMA0:921600": Connection(kind="serial", path="/dev/ttyAMA0", baud=921600),
    "/dev/serial/by-id/usb-Hex_ProfiCNC:1-if00,57600": Connection(
        kind="serial", path="/dev/serial/by-id/usb-Hex_ProfiCNC:1-if00", baud=57600
    ),
    "COM3,57600": Connection(kind="serial", path="COM3", baud=57600),
    "serial:/dev/ttyAMA0:921600": Connection(kind="serial", path="/dev/ttyAMA0", baud=921600),
    "serial:/dev/ttyAMA0": Connection(kind="serial", path="/dev/ttyAMA0", baud=115200),
    "serial:///dev/ttyUSB0:57600": Connection(kind="serial", path="/dev/ttyUSB0", baud=57600),
    "serial_flowcontrol:///dev/ttyUSB0:57600": Connection(
        kind="serial", path="/dev/ttyUSB0", baud=57600, has_flow_control=True
    ),
    "udpin://0.0.0.0:14540": Connection(kind="udpin", host="0.0.0.0", port=14540),
    "udp://:14540": Connection(kind="udpin", host="0.0.0.0", port=14540),
    "udp://192.168.1.12:14550": Connection(kind="udpout", host="192.168.1.12", port=14550),
    "udpout://192.168.1.12:14550": Connection(kind="udpout", host="192.168.1.12", port=14550),
    "tcpout://10.0.0.1:5760": Connection(kind="tcp", host="10.0.0.1", port=5760),
    "tcp://10.0.0.1:5760": Connection(kind="tcp", host="10.0.0.1", port=5760),
    "tcpin://0.0.0.0:5760": Connection(kind="tcpin", host="0.0.0.0", port=5760),
    "flight.tlog": Connection(kind="file", path="flight.tlog"),
    "/data/00000012.BIN": Connection(kind="file", path="/data/00000012.BIN"),
    "../logs/a.log": Connection(kind="file", path="../logs/a.log"),
    "file:capture": Connection(kind="file", path="capture"),
    "  UDPIN:0.0.0.0:14550 ": Connection(kind="udpin", host="0.0.0.0", port=14550),
}

REFUSED = [
    "",
    "   ",
    "udpin:0.0.0.0:99999",
    "udpout:",
    "udpout::14550",
    "tcp:",
    "tcp:host:port",
    "tcp:::1:5760",
    "tcp:[::1:5760",
    "tcp:[::1]x",
    "udpout:a b:14550",
    "udpout:user@host:14550",
    "ws:localhost:1234",
    "wss://localhost:1234",
    "wsserver:0.0.0.0:1234",
    "serial:",
    "serial:/dev/ttyAMA0:fast",
    "/dev/ttyAMA0,12",
    "unix:",
    "file:",
    "nonsense",
    "gopher:host:70",
    "/etc/passwd",
    "udpin:0.0.0.0:145\x0050",
    "udpin:0.0.0.0:١٤٥٥٠",
    "x" * 2000,
]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_that_users_write_is_understood(text: str) -> None:
    assert parse_connection(text, baud=115200) == FORMS[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_connection_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_connection(text)
    assert len(str(refusal.value)) > 30
    assert len(str(refusal.value)) < 1_500


@pytest.mark.parametrize("text", FORMS)
def test_the_canonical_text_parses_to_the_same_connection(text: str) -> None:
    connection = parse_connection(text)
    assert parse_connection(connection.text) == connection


@given(st.text(max_size=80))
def test_any_text_gives_a_connection_or_a_config_error(text: str) -> None:
    try:
        connection = parse_connection(text)
    except ConfigError:
        return
    assert connection.path or connection.host
