"""MISB ST 0903 (VMTI): what was found in a frame, as KLV, with the full covariance of each position.

A target's location pack holds latitude, longitude, height, three sigmas and three correlations: nothing of
the covariance is left out, only rounded to the steps of 16-bit IMAPB. A set stands in tag 74 of an ST 0601
packet, or alone behind its own key and checksum. By hand: the Python libraries for KLV read ST 0601 only.

Sources: MISB ST 0903 (VMTI local set, VTarget pack, location pack), ST 1201 (IMAPB), ST 0107 (BER-OID).
"""

import math
from dataclasses import dataclass

from skywarden import klv
from skywarden.errors import InputError
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import BoxPx, Position

VERSION = 5
MAX_TARGETS = 1024
_SIGMA_LIMIT_M = 650.0
_HEIGHT = (-900.0, 19_000.0)
_LOCATION_BYTES = 22
_MAX_PIXEL = (1 << 24) - 1
_VOBJECT_TAG = 102
ONTOLOGY = "skywarden"
"""What VObject sets of ours name as the list that their classes are from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VmtiTarget:
    """One target: its number, centre and box in pixels (column, row from 0), percent, and where it is.

    `label` is what it is held for; it travels as the class of a VObject set.
    """

    number: int
    centre_px: tuple[int, int]
    box_px: tuple[int, int, int, int] | None = None
    confidence_percent: int | None = None
    position: Position | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VmtiSet:
    """All targets of one frame at `time_us` (UTC microseconds).

    Without the frame's size only the targets' centres travel (as row and column), no boxes.
    """

    time_us: int | None
    size_px: tuple[int, int] | None
    targets: tuple[VmtiTarget, ...]


def target_of_box(
    number: int, box_px: BoxPx, score: float, position: Position | None, label: str | None = None
) -> VmtiTarget:
    """A target whose box (x0, y0, x1, y1) is rounded to whole pixels; `score` 0..1 becomes percent."""
    x0, y0, x1, y1 = (min(max(round(each), 0), _MAX_PIXEL) for each in box_px)
    return VmtiTarget(
        number=number,
        centre_px=((x0 + x1) // 2, (y0 + y1) // 2),
        box_px=(x0, y0, x1, y1),
        confidence_percent=round(100 * score),
        position=position,
        label=label,
    )


def encode_vmti(found: VmtiSet) -> bytes:
    """The body of the local set, as tag 74 of ST 0601 wants it. Raises `InputError` if it cannot tell it."""
    if found.size_px is not None and not all(0 < each <= _MAX_PIXEL for each in found.size_px):
        raise InputError(f"a frame of {found.size_px} pixels; expected 1 to {_MAX_PIXEL} each way")
    if len(found.targets) > MAX_TARGETS:
        raise InputError(f"{len(found.targets)} targets in one frame; at most {MAX_TARGETS}")
    parts = [] if found.time_us is None else [_tlv(2, found.time_us.to_bytes(8, "big"))]
    parts += [
        _tlv(4, bytes([VERSION])),
        _tlv(5, _least_bytes(len(found.targets))),
        _tlv(6, _least_bytes(len(found.targets))),
    ]
    if found.size_px is not None:
        parts += [_tlv(8, _least_bytes(found.size_px[0])), _tlv(9, _least_bytes(found.size_px[1]))]
    if found.targets:
        width = found.size_px[0] if found.size_px else None
        packs = [_target_pack(target, width) for target in found.targets]
        parts.append(_tlv(101, b"".join(klv.ber_length_bytes(len(pack)) + pack for pack in packs)))
    return b"".join(parts)


def vmti_packet(found: VmtiSet) -> bytes:
    """The set on its own: key, length, body, checksum (tag 1) last."""
    return klv.with_checksum(klv.ST0903_KEY, encode_vmti(found))


def decode_vmti(body: bytes) -> VmtiSet:
    """What a local set says. Raises `InputError` on unreadable targets or more than 1024 of them."""
    fields = dict(klv.local_fields(body))
    width, height = (int.from_bytes(fields.get(tag, b"")[:3], "big") for tag in (8, 9))
    stamp = fields.get(2, b"")
    targets: list[VmtiTarget] = []
    series, at = fields.get(101, b""), 0
    while at < len(series):
        span = klv.ber_length_at(series, at)
        if span is None or span[0] <= 0 or span[1] + span[0] > len(series) or len(targets) >= MAX_TARGETS:
            raise InputError(f"target {len(targets) + 1} of a VMTI set cannot be read")
        targets.append(_read_target(series[span[1] : span[1] + span[0]], width or None))
        at = span[1] + span[0]
    return VmtiSet(
        time_us=int.from_bytes(stamp, "big") if len(stamp) == 8 else None,
        size_px=(width, height) if width and height else None,
        targets=tuple(targets),
    )


def decode_location(pack: bytes) -> Position | None:
    """A location pack of 22 bytes as a position; `None` for a shorter one, which says nothing of errors."""
    if len(pack) < _LOCATION_BYTES:
        return None
    latitude = klv.decode_imapb(pack[0:4], -90.0, 90.0)
    longitude = klv.decode_imapb(pack[4:8], -180.0, 180.0)
    height = klv.decode_imapb(pack[8:10], *_HEIGHT)
    sigma = [klv.decode_imapb(pack[at : at + 2], 0.0, _SIGMA_LIMIT_M) for at in (10, 12, 14)]
    rho = [klv.decode_imapb(pack[at : at + 2], -1.0, 1.0) for at in (16, 18, 20)]
    if latitude is None or longitude is None or height is None or None in sigma or None in rho:
        return None
    east, north, up = (float(each or 0.0) for each in sigma)
    en, eu, nu = (float(each or 0.0) for each in rho)
    full = (east**2, en * east * north, eu * east * up, north**2, nu * north * up, up**2)
    return Position(
        latitude_deg=latitude,
        longitude_deg=longitude,
        alt_hae_m=height,
        covariance_enu_m2=full,
        ce90_m=float(ce90_m([[full[0], full[1]], [full[1], full[3]]])),
        le90_m=float(le90_m(full[5])),
        surface="level",
    )


def encode_location(position: Position) -> bytes | None:
    """The location pack, 22 bytes; `None` where a sigma is beyond the 650 m that the pack can tell."""
    ee, en, eu, nn, nu, uu = position.covariance_enu_m2
    east, north, up = math.sqrt(ee), math.sqrt(nn), math.sqrt(uu)
    if max(east, north, up) > _SIGMA_LIMIT_M or not _HEIGHT[0] <= position.alt_hae_m <= _HEIGHT[1]:
        return None
    pack = klv.encode_imapb(position.latitude_deg, -90.0, 90.0, 4)
    pack += klv.encode_imapb(position.longitude_deg, -180.0, 180.0, 4)
    pack += klv.encode_imapb(position.alt_hae_m, *_HEIGHT, 2)
    pack += b"".join(klv.encode_imapb(each, 0.0, _SIGMA_LIMIT_M, 2) for each in (east, north, up))
    for product, one, other in ((en, east, north), (eu, east, up), (nu, north, up)):
        rho = product / (one * other) if one * other > 0.0 else 0.0
        pack += klv.encode_imapb(min(1.0, max(-1.0, rho)), -1.0, 1.0, 2)
    return pack


def _target_pack(target: VmtiTarget, width: int | None) -> bytes:
    pack = klv.ber_oid_bytes(target.number)
    if width is not None:
        pack += _tlv(1, _pixel(target.centre_px, width))
    if width is not None and target.box_px is not None:
        pack += _tlv(2, _pixel(target.box_px[:2], width)) + _tlv(3, _pixel(target.box_px[2:], width))
    if target.confidence_percent is not None:
        pack += _tlv(5, bytes([min(100, max(0, target.confidence_percent))]))
    location = None if target.position is None else encode_location(target.position)
    pack += b"" if location is None else _tlv(17, location)
    if width is None:
        pack += _tlv(19, _least_bytes(target.centre_px[1] + 1)) + _tlv(
            20, _least_bytes(target.centre_px[0] + 1)
        )
    if target.label is not None:
        vobject = _tlv(1, ONTOLOGY.encode()) + _tlv(2, target.label.encode("utf-8")[:127])
        pack += _tlv(_VOBJECT_TAG, vobject)
    return pack


def _read_target(pack: bytes, width: int | None) -> VmtiTarget:
    number, at = klv.ber_oid_at(pack, 0)
    fields = dict(klv.local_fields(pack[at:]))
    row, column = (max(1, int.from_bytes(fields.get(tag, b"\1")[:4], "big")) for tag in (19, 20))
    centre, box = (column - 1, row - 1), None
    if width is not None and 1 in fields:
        centre = _place(fields[1], width)
    if width is not None and 2 in fields and 3 in fields:
        box = (*_place(fields[2], width), *_place(fields[3], width))
    confidence = fields.get(5)
    return VmtiTarget(
        number=number,
        centre_px=centre,
        box_px=box,
        confidence_percent=confidence[0] if confidence else None,
        position=decode_location(fields[17]) if 17 in fields else None,
        label=_class_of(fields[_VOBJECT_TAG]) if _VOBJECT_TAG in fields else None,
    )


def _class_of(vobject: bytes) -> str | None:
    said = dict(klv.local_fields(vobject)).get(2, b"").decode("utf-8", "ignore")
    return "".join(one for one in said if one.isprintable())[:127] or None


def _pixel(place: tuple[int, int], width: int) -> bytes:
    """Pixels are counted from 1, row by row; one outside the frame is moved to its rim."""
    column, row = place
    return _least_bytes(min(column, width - 1) + 1 + row * width)


def _place(data: bytes, width: int) -> tuple[int, int]:
    number = max(0, int.from_bytes(data[:6], "big") - 1)
    return number % width, number // width


def _least_bytes(number: int) -> bytes:
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


def _tlv(tag: int, value: bytes) -> bytes:
    return klv.ber_oid_bytes(tag) + klv.ber_length_bytes(len(value)) + value
