"""Reads and writes MISB metadata: ST 0601 (UAS Datalink Local Set); reads the older ST 0104 (Predator).

A stream of KLV is cut into packets by their 16-byte keys and BER lengths; rubbish between packets is stepped
over and counted. The checksum of ST 0601 (tag 1, a 16-bit sum from the key up to and with the checksum's own
tag and length) is verified, a packet that fails it is marked and must not be used; ST 0104 has none. Values
that mean "not available" (the most negative number of a signed field) and fields whose length is not the
standard's are `None`: with another length the scale is not known.

Sources: MISB ST 0601 (field table, linear mappings 6.3, checksum 6.5), ST 1201 (IMAPB, extended fields),
EG 0104.5 (universal keys), SMPTE 336M (BER).
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from skywarden.errors import InputError

ST0601_KEY = bytes.fromhex("060E2B34020B01010E01030101000000")
ST0104_KEY = bytes.fromhex("060E2B34020101010E01010201010000")
ST0903_KEY = bytes.fromhex("060E2B34020B01010E01030306000000")
MAX_PACKET_BYTES = 65_536
_UNIVERSAL = bytes.fromhex("060E2B34")
_STANDARDS = {ST0601_KEY: "ST 0601", ST0104_KEY: "ST 0104", ST0903_KEY: "ST 0903"}
_MAX_FIELDS = 512
_VMTI_TAG = 74
_IMAPB_BYTES = 4
ST0601_VERSION = 19
"""The revision of ST 0601 that packets of ours name in tag 65."""

Value = float | int | str | bytes | None


@dataclass(frozen=True, slots=True)
class _Field:
    """How one ST 0601 tag is coded: "u", "s" map linearly to [low, high], "i" is IMAPB, "n" plain."""

    name: str
    kind: str
    length: int = 0
    low: float = 0.0
    high: float = 0.0


def _u(name: str, length: int, low: float, high: float) -> _Field:
    return _Field(name, "u", length, low, high)


def _s(name: str, length: int, limit: float) -> _Field:
    return _Field(name, "s", length, -limit, limit)


def _i(name: str, low: float, high: float) -> _Field:
    return _Field(name, "i", 0, low, high)


def _text(name: str) -> _Field:
    return _Field(name, "t")


def _n(name: str, length: int = 0) -> _Field:
    return _Field(name, "n", length)


_HEIGHT = (-900.0, 19_000.0)
_CORNER = 0.075

ST0601_FIELDS: dict[int, _Field] = {
    2: _n("precision_time_stamp_us", 8),
    3: _text("mission_id"),
    4: _text("platform_tail_number"),
    5: _u("platform_heading_deg", 2, 0.0, 360.0),
    6: _s("platform_pitch_deg", 2, 20.0),
    7: _s("platform_roll_deg", 2, 50.0),
    8: _n("platform_true_airspeed_mps", 1),
    9: _n("platform_indicated_airspeed_mps", 1),
    10: _text("platform_designation"),
    11: _text("image_source_sensor"),
    12: _text("image_coordinate_system"),
    13: _s("sensor_latitude_deg", 4, 90.0),
    14: _s("sensor_longitude_deg", 4, 180.0),
    15: _u("sensor_alt_msl_m", 2, *_HEIGHT),
    16: _u("sensor_hfov_deg", 2, 0.0, 180.0),
    17: _u("sensor_vfov_deg", 2, 0.0, 180.0),
    18: _u("sensor_relative_azimuth_deg", 4, 0.0, 360.0),
    19: _s("sensor_relative_elevation_deg", 4, 180.0),
    20: _u("sensor_relative_roll_deg", 4, 0.0, 360.0),
    21: _u("slant_range_m", 4, 0.0, 5_000_000.0),
    22: _u("target_width_m", 2, 0.0, 10_000.0),
    23: _s("frame_centre_latitude_deg", 4, 90.0),
    24: _s("frame_centre_longitude_deg", 4, 180.0),
    25: _u("frame_centre_alt_msl_m", 2, *_HEIGHT),
    26: _s("offset_corner_1_latitude_deg", 2, _CORNER),
    27: _s("offset_corner_1_longitude_deg", 2, _CORNER),
    28: _s("offset_corner_2_latitude_deg", 2, _CORNER),
    29: _s("offset_corner_2_longitude_deg", 2, _CORNER),
    30: _s("offset_corner_3_latitude_deg", 2, _CORNER),
    31: _s("offset_corner_3_longitude_deg", 2, _CORNER),
    32: _s("offset_corner_4_latitude_deg", 2, _CORNER),
    33: _s("offset_corner_4_longitude_deg", 2, _CORNER),
    35: _u("wind_direction_deg", 2, 0.0, 360.0),
    36: _u("wind_speed_mps", 1, 0.0, 100.0),
    37: _u("static_pressure_mbar", 2, 0.0, 5_000.0),
    38: _u("density_altitude_m", 2, *_HEIGHT),
    40: _s("target_location_latitude_deg", 4, 90.0),
    41: _s("target_location_longitude_deg", 4, 180.0),
    42: _u("target_location_alt_msl_m", 2, *_HEIGHT),
    43: _n("target_track_gate_width", 1),
    44: _n("target_track_gate_height", 1),
    45: _u("target_error_estimate_ce90_m", 2, 0.0, 4_095.0),
    46: _u("target_error_estimate_le90_m", 2, 0.0, 4_095.0),
    47: _n("generic_flags", 1),
    49: _u("differential_pressure_mbar", 2, 0.0, 5_000.0),
    50: _s("platform_angle_of_attack_deg", 2, 20.0),
    51: _s("platform_vertical_speed_mps", 2, 180.0),
    52: _s("platform_sideslip_deg", 2, 20.0),
    53: _u("airfield_pressure_mbar", 2, 0.0, 5_000.0),
    54: _u("airfield_alt_msl_m", 2, *_HEIGHT),
    55: _u("relative_humidity_percent", 1, 0.0, 100.0),
    56: _n("platform_ground_speed_mps", 1),
    57: _u("ground_range_m", 4, 0.0, 5_000_000.0),
    58: _u("fuel_remaining_kg", 2, 0.0, 10_000.0),
    59: _text("platform_call_sign"),
    63: _n("sensor_fov_name", 1),
    64: _u("platform_magnetic_heading_deg", 2, 0.0, 360.0),
    65: _n("local_set_version", 1),
    67: _s("alternate_platform_latitude_deg", 4, 90.0),
    68: _s("alternate_platform_longitude_deg", 4, 180.0),
    69: _u("alternate_platform_alt_msl_m", 2, *_HEIGHT),
    70: _text("alternate_platform_name"),
    71: _u("alternate_platform_heading_deg", 2, 0.0, 360.0),
    72: _n("event_start_time_us", 8),
    75: _u("sensor_alt_hae_m", 2, *_HEIGHT),
    76: _u("alternate_platform_alt_hae_m", 2, *_HEIGHT),
    77: _n("operational_mode", 1),
    78: _u("frame_centre_alt_hae_m", 2, *_HEIGHT),
    79: _s("sensor_north_velocity_mps", 2, 327.0),
    80: _s("sensor_east_velocity_mps", 2, 327.0),
    82: _s("corner_1_latitude_deg", 4, 90.0),
    83: _s("corner_1_longitude_deg", 4, 180.0),
    84: _s("corner_2_latitude_deg", 4, 90.0),
    85: _s("corner_2_longitude_deg", 4, 180.0),
    86: _s("corner_3_latitude_deg", 4, 90.0),
    87: _s("corner_3_longitude_deg", 4, 180.0),
    88: _s("corner_4_latitude_deg", 4, 90.0),
    89: _s("corner_4_longitude_deg", 4, 180.0),
    90: _s("platform_pitch_full_deg", 4, 90.0),
    91: _s("platform_roll_full_deg", 4, 90.0),
    92: _s("platform_angle_of_attack_full_deg", 4, 90.0),
    93: _s("platform_sideslip_full_deg", 4, 180.0),
    96: _i("target_width_extended_m", 0.0, 1_500_000.0),
    103: _i("density_altitude_extended_m", -900.0, 40_000.0),
    104: _i("sensor_alt_hae_extended_m", -900.0, 40_000.0),
    105: _i("alternate_platform_alt_hae_extended_m", -900.0, 40_000.0),
    106: _text("stream_designator"),
    107: _text("operational_base"),
    108: _text("broadcast_source"),
    112: _i("platform_course_deg", 0.0, 360.0),
    113: _i("alt_agl_m", -900.0, 40_000.0),
    114: _i("radar_altimeter_m", -900.0, 40_000.0),
}
"""Every tag that skywarden understands; the others stay as bytes in `KlvPacket.raw`."""

_ST0104_FIELDS: dict[bytes, tuple[str, str]] = {
    bytes.fromhex("060e2b34" + key): (name, kind)
    for key, name, kind in (
        ("010101030702010101050000", "precision_time_stamp_us", "u"),
        ("010101030701020102040200", "sensor_latitude_deg", "f"),
        ("010101030701020102060200", "sensor_longitude_deg", "f"),
        ("010101010701020102020000", "sensor_alt_msl_m", "f"),
        ("010101070701100104000000", "platform_roll_deg", "f"),
        ("010101070701100105000000", "platform_pitch_deg", "f"),
        ("010101070701100106000000", "platform_heading_deg", "f"),
        ("010101020420020101080000", "sensor_hfov_deg", "f"),
        ("0101010704200201010a0100", "sensor_vfov_deg", "f"),
        ("010101010701080101000000", "slant_range_m", "f"),
        ("010101010701100102000000", "angle_to_north_deg", "f"),
        ("010101010701100103000000", "obliquity_angle_deg", "f"),
        ("010101010701100101000000", "sensor_relative_roll_deg", "f"),
        ("010101010701020103020000", "frame_centre_latitude_deg", "f"),
        ("010101010701020103040000", "frame_centre_longitude_deg", "f"),
        ("010101030701020103070100", "corner_1_latitude_deg", "f"),
        ("0101010307010201030b0100", "corner_1_longitude_deg", "f"),
        ("010101030701020103080100", "corner_2_latitude_deg", "f"),
        ("0101010307010201030c0100", "corner_2_longitude_deg", "f"),
        ("010101030701020103090100", "corner_3_latitude_deg", "f"),
        ("0101010307010201030d0100", "corner_3_longitude_deg", "f"),
        ("0101010307010201030a0100", "corner_4_latitude_deg", "f"),
        ("0101010307010201030e0100", "corner_4_longitude_deg", "f"),
        ("010101010101200100000000", "device_designation", "t"),
        ("010101010101210100000000", "platform_designation", "t"),
    )
}


@dataclass(frozen=True, slots=True)
class KlvPacket:
    """One metadata packet.

    Attributes:
        standard: "ST 0601", "ST 0104", "ST 0903" or "" (a key that skywarden does not know).
        key: the 16-byte universal key.
        values: fields by name, with the unit at the end of the name; `None` where the packet says that it
            does not know, or where the field's length is not the standard's.
        raw: fields by tag (ST 0601) as bytes, the unknown ones too.
        is_checksum_good: `None` where the standard has no checksum.
        offset: where the packet begins in the stream.
    """

    standard: str
    key: bytes
    values: dict[str, Value]
    raw: dict[int, bytes]
    is_checksum_good: bool | None
    offset: int

    @property
    def is_usable(self) -> bool:
        """The standard is known and no checksum failed."""
        return self.standard != "" and self.is_checksum_good is not False

    @property
    def time_ns(self) -> int | None:
        """The precision time stamp in UTC nanoseconds (the standard counts TAI-free POSIX microseconds)."""
        stamp = self.values.get("precision_time_stamp_us")
        return stamp * 1000 if isinstance(stamp, int) and 0 < stamp < 4_102_444_800_000_000 else None

    def number(self, name: str) -> float | None:
        """The field `name` as a number, or `None`."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) else None


@dataclass(slots=True)
class KlvCounts:
    """What a reader met: whole packets, those with a bad checksum, bytes that belong to none."""

    packets: int = 0
    bad_checksums: int = 0
    skipped_bytes: int = 0
    by_standard: dict[str, int] = field(default_factory=dict)


class KlvReader:
    """Cuts a stream of bytes into packets, over chunk borders, in bounded memory."""

    def __init__(self) -> None:
        self.counts = KlvCounts()
        self._buffer = bytearray()
        self._offset = 0

    def feed(self, data: bytes | memoryview) -> list[KlvPacket]:
        """The packets that are whole after `data` came."""
        self._buffer += data
        return list(self._take(is_end=False))

    def finish(self) -> list[KlvPacket]:
        """What can still be read at the end of the stream; an unfinished packet is counted as skipped."""
        packets = list(self._take(is_end=True))
        self._skip(len(self._buffer))
        return packets

    def _take(self, *, is_end: bool) -> Iterator[KlvPacket]:
        while True:
            start = self._buffer.find(_UNIVERSAL)
            if start < 0:
                self._skip(max(0, len(self._buffer) - (0 if is_end else len(_UNIVERSAL) - 1)))
                return
            self._skip(start)
            span = _span(self._buffer)
            if span is None:
                if not is_end:
                    return
                self._skip(1)
                continue
            body, end = span
            if end - body > MAX_PACKET_BYTES or body == 0:
                self._skip(1)
                continue
            if end > len(self._buffer):
                if not is_end:
                    return
                self._skip(1)
                continue
            packet = parse_packet(bytes(self._buffer[:end]), self._offset)
            if packet.is_checksum_good is False and self._hides_a_packet(end):
                self._count(packet)
                yield packet
                self._skip_silently(len(_UNIVERSAL))
                continue
            self._count(packet)
            yield packet
            self._skip_silently(end)

    def _hides_a_packet(self, end: int) -> bool:
        """A damaged length swallowed the next packet: its key stands inside."""
        return self._buffer.find(ST0601_KEY, 16, end) >= 0

    def _count(self, packet: KlvPacket) -> None:
        self.counts.packets += 1
        self.counts.bad_checksums += packet.is_checksum_good is False
        name = packet.standard or "other"
        self.counts.by_standard[name] = self.counts.by_standard.get(name, 0) + 1

    def _skip(self, count: int) -> None:
        self.counts.skipped_bytes += count
        self._skip_silently(count)

    def _skip_silently(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count


def read_packets(data: bytes) -> tuple[list[KlvPacket], KlvCounts]:
    """All packets of a whole stream, with the counts."""
    reader = KlvReader()
    return [*reader.feed(data), *reader.finish()], reader.counts


def parse_packet(packet: bytes, offset: int = 0) -> KlvPacket:
    """One whole packet, key first. Never raises: what cannot be read is left out."""
    key = packet[:16]
    standard = _STANDARDS.get(key, "")
    span = _span(packet)
    body = packet[span[0] : span[1]] if span else b""
    if standard == "ST 0104":
        return KlvPacket(standard, key, _universal_values(body), {}, None, offset)
    if standard != "ST 0601":
        return KlvPacket(standard, key, {}, {}, None, offset)
    raw = dict(local_fields(body))
    values = {field.name: _value(field, raw[tag]) for tag, field in ST0601_FIELDS.items() if tag in raw}
    return KlvPacket(standard, key, values, raw, _is_checksum_good(packet), offset)


def checksum(data: bytes | memoryview) -> int:
    """The 16-bit sum of ST 0601 6.5 over `data`: bytes at even places count 256-fold, modulo 65,536."""
    view = memoryview(data)
    return (sum(view[0::2]) * 256 + sum(view[1::2])) & 0xFFFF


def decode_imapb(data: bytes, low: float, high: float) -> float | None:
    """A number of ST 1201 IMAPB(low, high, len(data)); `None` for its special values (NaN, infinity, ...)."""
    length = len(data)
    if not 1 <= length <= 8:
        return None
    raw = int.from_bytes(data, "big")
    if raw > 1 << (8 * length - 1):
        return None
    power_of_span = _ceil_log2(high - low)
    scale = 2.0 ** (power_of_span - (8 * length - 1))
    shift = 0.0
    if low < 0.0 < high:
        forward = 1.0 / scale
        shift = forward * low - float(int(forward * low // 1))
    value = scale * (raw - shift) + low
    return value if low - scale <= value <= high + scale else None


def encode_imapb(value: float, low: float, high: float, length: int) -> bytes:
    """The nearest number of ST 1201 IMAPB(low, high, length). Raises `InputError` outside low..high."""
    if not low <= value <= high:
        raise InputError(f"{value} cannot be told between {low} and {high}")
    forward = 2.0 ** ((8 * length - 1) - _ceil_log2(high - low))
    shift = forward * low - float(int(forward * low // 1)) if low < 0.0 < high else 0.0
    return int(forward * (value - low) + shift + 0.5).to_bytes(length, "big")


def encode_st0601(
    values: Mapping[str, float | int | str],
    *,
    vmti: bytes | None = None,
    sets: Mapping[int, bytes] | None = None,
) -> bytes:
    """A packet of ST 0601 with the named fields (`ST0601_FIELDS`), time stamp first and checksum last.

    Numbers outside a field's range are written as the standard's "not available" where the field has one and
    are left out otherwise. `vmti` is the body of an ST 0903 set; `sets` are bodies of other nested sets by
    their tag (48: security, 94: core identifier). Raises `InputError` on an unknown name.
    """
    tags = {field.name: tag for tag, field in ST0601_FIELDS.items()}
    unknown = sorted(set(values) - set(tags))
    if unknown:
        raise InputError(f"ST 0601 has no field {', '.join(unknown)}")
    coded = {tags[name]: _coded(ST0601_FIELDS[tags[name]], value) for name, value in values.items()}
    coded[65] = bytes([ST0601_VERSION])
    coded |= sets or {}
    if vmti is not None:
        coded[_VMTI_TAG] = vmti
    body = b"".join(
        ber_oid_bytes(tag) + ber_length_bytes(len(coded[tag])) + coded[tag]
        for tag in sorted(coded, key=lambda tag: (tag != 2, tag))
        if coded[tag]
    )
    return with_checksum(ST0601_KEY, body)


def with_checksum(key: bytes, body: bytes) -> bytes:
    """Key, length, body, and the checksum (tag 1) as the last four bytes."""
    packet = key + ber_length_bytes(len(body) + 4) + body + b"\x01\x02"
    return packet + checksum(packet).to_bytes(2, "big")


def ber_length_bytes(length: int) -> bytes:
    """A length in BER, short form where it fits."""
    if length < 0x80:
        return bytes([length])
    size = (length.bit_length() + 7) // 8
    return bytes([0x80 | size]) + length.to_bytes(size, "big")


def ber_oid_bytes(number: int) -> bytes:
    """A number in BER-OID: seven bits a byte, the last without the top bit."""
    out = bytes([number & 0x7F])
    while number := number >> 7:
        out = bytes([0x80 | number & 0x7F]) + out
    return out


def ber_oid_at(data: bytes, at: int) -> tuple[int, int]:
    """A BER-OID number and the place behind it; at the end of the data what there was."""
    number = 0
    while at < len(data):
        number = number << 7 | data[at] & 0x7F
        at += 1
        if data[at - 1] < 0x80:
            break
    return number, at


def _coded(field: _Field, value: float | int | str) -> bytes:
    if isinstance(value, str) or field.kind == "t":
        return str(value).encode("utf-8")[:127].decode("utf-8", "ignore").encode("utf-8")
    if field.kind == "n":
        size = field.length or max(1, (int(value).bit_length() + 7) // 8)
        return int(value).to_bytes(size, "big")
    is_told = field.low <= value <= field.high
    if field.kind == "s":
        top = (1 << (8 * field.length - 1)) - 1
        number = round(value / field.high * top) if is_told else -top - 1
        return number.to_bytes(field.length, "big", signed=True)
    if not is_told:
        return b""
    if field.kind == "i":
        return encode_imapb(value, field.low, field.high, _IMAPB_BYTES)
    top = (1 << (8 * field.length)) - 1
    return round((value - field.low) / (field.high - field.low) * top).to_bytes(field.length, "big")


def _ceil_log2(span: float) -> int:
    power = 0
    while 2.0**power < span:
        power += 1
    return power


def _span(packet: bytes | bytearray) -> tuple[int, int] | None:
    """Where the value begins and ends; `None` while the length has not arrived. (0, 0): no such length."""
    decoded = ber_length_at(packet, 16)
    if decoded is None:
        return None
    length, body = decoded
    return (0, 0) if length < 0 else (body, body + length)


def ber_length_at(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A BER length: (length, next place); (-1, at) if indefinite or absurd, `None` when the data ends."""
    if at >= len(data):
        return None
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if not 1 <= count <= 8:
        return -1, at
    if at + 1 + count > len(data):
        return None
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


def local_fields(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and values of a local set, up to the first that cannot be read."""
    at = 0
    for _ in range(_MAX_FIELDS):
        tag, at = ber_oid_at(body, at)
        decoded = ber_length_at(body, at)
        if decoded is None or decoded[0] < 0 or decoded[1] + decoded[0] > len(body):
            return
        length, start = decoded
        yield tag, body[start : start + length]
        at = start + length


def _universal_values(body: bytes) -> dict[str, Value]:
    values: dict[str, Value] = {}
    at = 0
    for _ in range(_MAX_FIELDS):
        decoded = ber_length_at(body, at + 16)
        if decoded is None or decoded[0] < 0 or decoded[1] + decoded[0] > len(body):
            return values
        length, start = decoded
        known = _ST0104_FIELDS.get(body[at : at + 16])
        if known is not None:
            values[known[0]] = _universal_value(known[1], body[start : start + length])
        at = start + length
    return values


def _universal_value(kind: str, data: bytes) -> Value:
    if kind == "t":
        return _string(data)
    if kind == "u":
        return int.from_bytes(data, "big") if 1 <= len(data) <= 8 else None
    if len(data) not in (4, 8):
        return None
    number: float = struct.unpack(">f" if len(data) == 4 else ">d", data)[0]
    return number if abs(number) < 1e9 else None


def _value(field: _Field, data: bytes) -> Value:
    if field.kind == "t":
        return _string(data)
    if field.kind == "i":
        return decode_imapb(data, field.low, field.high)
    if field.kind == "n":
        is_right = 1 <= len(data) <= 8 and (field.length == 0 or len(data) == field.length)
        return int.from_bytes(data, "big") if is_right else None
    if len(data) != field.length:
        return None
    if field.kind == "u":
        top = (1 << (8 * field.length)) - 1
        return field.low + int.from_bytes(data, "big") * (field.high - field.low) / top
    number = int.from_bytes(data, "big", signed=True)
    top = (1 << (8 * field.length - 1)) - 1
    return None if number < -top else number * field.high / top


def _string(data: bytes) -> str | None:
    text = data.decode("utf-8", "replace").strip("\x00 ")
    return text[:127] or None


def _is_checksum_good(packet: bytes) -> bool:
    """Tag 1 stands last with two bytes; everything before them is summed (ST 0601 6.5)."""
    if len(packet) < 20 or packet[-4:-2] != b"\x01\x02":
        return False
    return checksum(memoryview(packet)[:-2]) == int.from_bytes(packet[-2:], "big")
