"""A sighting in one MAVLink TUNNEL (at most 128 bytes), encrypted and authenticated, for links without IP.

Layout: version and kind (1 byte), key hint (3), random number of the sender's start (6), counter (3); then,
with AES-256-CCM under these 13 bytes as nonce and as associated data, at most 107 bytes of content and a tag
of 8 bytes. The key is HKDF-SHA256 of the X25519 agreement of the platform's and the station's link keys, so
nobody needs another key. It is a preview and no evidence: the record itself, chained and signed, comes when
there is IP again, and takes its place by the sighting's id. So a frame that is played again changes nothing.
"""

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import Any, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from skywarden.errors import LinkError, WireError
from skywarden.messages import Bearing, Motion, Position, Sighting, Surface
from skywarden.wire import decode, encode

PAYLOAD_TYPE = 0x8577
"""TUNNEL's payload type, among those for private use (32768 and above)."""
MAX_PAYLOAD_BYTES = 128
TAG_BYTES = 8
NONCE_BYTES = 13
SALT_BYTES = 6
HINT_BYTES = 3
MAX_CONTENT_BYTES = MAX_PAYLOAD_BYTES - NONCE_BYTES - TAG_BYTES
MAX_COUNTER = (1 << 24) - 1
THIN_BOOT = "thin"
"""The boot id under which a station stores what came this way."""

_SIGHTING = 0x11
_HEADER = struct.Struct(">B3s6s")
_FIXED = struct.Struct(">QIBB4H")
_PLACE = struct.Struct(">iiHHhHHHB")
_BEARING = struct.Struct(">HhH")
_PLATFORM_PLACE = struct.Struct(">iih")
_SURFACES: tuple[Surface, ...] = get_args(Surface)
_HAS_POSITION, _HAS_BEARING, _HAS_PLATFORM, _IS_EXERCISE, _SHORT_IDS = 1, 2, 4, 8, 16
_MOTION_BIT = 5
_MOTIONS: tuple[Motion | None, ...] = (None, "undecided", "standing", "moving")
_NAME_OF_MODEL = "thin"
_PLATFORM_SIGN = "~"


@dataclass(frozen=True, slots=True)
class ThinKey:
    """The key that one platform and its station share; `hint` tells a station which to try."""

    hint: bytes
    key: bytes

    @classmethod
    def agree(cls, own_secret: bytes, other_public: bytes) -> "ThinKey":
        """From the link keys of both, 32 bytes each; raises `LinkError` for a key that is none."""
        try:
            shared = X25519PrivateKey.from_private_bytes(own_secret).exchange(
                X25519PublicKey.from_public_bytes(other_public)
            )
        except ValueError as error:
            raise LinkError("these link keys agree on nothing") from error
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"skywarden thin link 1").derive(
            shared
        )
        return cls(hashlib.sha256(b"skywarden thin hint 1" + key).digest()[:HINT_BYTES], key)


class ThinSealer:
    """Seals the sightings of one start of a platform. `salt` are 6 fresh random bytes: with the counter they
    make each nonce, so a restored disk cannot repeat one."""

    def __init__(self, key: ThinKey, salt: bytes) -> None:
        if len(salt) != SALT_BYTES:
            raise LinkError(f"a salt has {SALT_BYTES} bytes, this one {len(salt)}")
        self._key, self._salt, self._counter = key, salt, 0
        self._cipher = AESCCM(key.key, tag_length=TAG_BYTES)

    def seal(self, sighting: Sighting) -> bytes:
        """The TUNNEL payload; raises `WireError` when the sighting's names are too long for it."""
        content = pack(sighting)
        self._counter += 1
        if self._counter > MAX_COUNTER:
            raise WireError("this start has sent all the thin sightings it may")
        nonce = _HEADER.pack(_SIGHTING, self._key.hint, self._salt) + self._counter.to_bytes(3, "big")
        return nonce + self._cipher.encrypt(nonce, content, nonce)


def hint_of(payload: bytes) -> bytes | None:
    """The key hint of a TUNNEL payload, `None` when it is not one of ours."""
    if not NONCE_BYTES + TAG_BYTES < len(payload) <= MAX_PAYLOAD_BYTES or payload[0] != _SIGHTING:
        return None
    return payload[1 : 1 + HINT_BYTES]


def open_sealed(key: ThinKey, platform_id: str, payload: bytes) -> Sighting:
    """The sighting in a payload; raises `WireError` when it was not sealed with this key or does not fit."""
    if hint_of(payload) != key.hint:
        raise WireError("a thin sighting for another key")
    nonce = payload[:NONCE_BYTES]
    try:
        content = AESCCM(key.key, tag_length=TAG_BYTES).decrypt(nonce, payload[NONCE_BYTES:], nonce)
    except InvalidTag:
        raise WireError("a thin sighting with a wrong tag") from None
    try:
        return unpack(platform_id, content)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise WireError(f"a thin sighting does not fit: {error}") from error


def pack(sighting: Sighting) -> bytes:
    """Fixed fields, then names, each with its length; raises `WireError` over 107 bytes.

    Exact: time, ids, frame number. Rounded: place to 1e-7 degrees and 0.2 m, sigmas upward by at most 0.1 %,
    correlation to 1e-4, bearing to 0.01 degrees, score to 1/255, box to a quarter of a pixel in the image.
    """
    place, bearing, platform = sighting.position, sighting.bearing, sighting.platform_position
    names, is_short = _names_of(sighting)
    flags = (
        _HAS_POSITION * (place is not None)
        | _HAS_BEARING * (bearing is not None)
        | _HAS_PLATFORM * (platform is not None)
        | _IS_EXERCISE * sighting.is_exercise
        | _SHORT_IDS * is_short
        | _MOTIONS.index(sighting.motion) << _MOTION_BIT
    )
    score = round(sighting.score * 255)
    box = [max(0, min(65_535, round(value * 4))) for value in sighting.box_px]
    parts = [_FIXED.pack(sighting.time_ns, sighting.frame_number, flags, score, *box)]
    if place is not None:
        parts.append(_packed_place(place))
    if bearing is not None:
        parts.append(_packed_bearing(bearing))
    if platform is not None:
        parts.append(
            _PLATFORM_PLACE.pack(round(platform[0] * 1e7), round(platform[1] * 1e7), _metres(platform[2]))
        )
    fixed = b"".join(parts)
    for count in (len(names), len(names) - 1):  # the model's name is left out first
        tail = b"".join(bytes([len(name)]) + name for name in names[:count])
        if len(fixed) + len(tail) <= MAX_CONTENT_BYTES:
            return fixed + tail
    raise WireError(f"the names of {sighting.sighting_id} are too long for one tunnelled message")


def unpack(platform_id: str, content: bytes) -> Sighting:
    """The sighting that `pack` packed; raises `ValueError`, `IndexError` or `struct.error`."""
    time_ns, frame_number, flags, score, *box = _FIXED.unpack_from(content)
    offset = _FIXED.size
    position = bearing = platform = None
    if flags & _HAS_POSITION:
        position, offset = _place_from(content, offset), offset + _PLACE.size
    if flags & _HAS_BEARING:
        azimuth, elevation, sigma = _BEARING.unpack_from(content, offset)
        bearing = Bearing(azimuth_deg=azimuth / 100, elevation_deg=elevation / 100, sigma_deg=sigma / 100)
        offset += _BEARING.size
    if flags & _HAS_PLATFORM:
        lat, lon, alt = _PLATFORM_PLACE.unpack_from(content, offset)
        platform, offset = (lat * 1e-7, lon * 1e-7, float(alt)), offset + _PLATFORM_PLACE.size
    names: list[str] = []
    while offset < len(content):
        length = content[offset]
        end = offset + 1 + length
        if end > len(content):
            raise ValueError("a name is cut short")
        names.append(content[offset + 1 : end].decode("ascii"))
        offset = end
    label, sortie_id, sensor_id, track, sighting_id, reason, *model = names
    sortie_id = sortie_id.replace(_PLATFORM_SIGN, platform_id)
    if flags & _SHORT_IDS:
        track = f"{sortie_id}.{sensor_id}{track}"
        sighting_id = f"{track}.f{frame_number}"
    values = {
        "sighting_id": sighting_id,
        "track_id": track,
        "platform_id": platform_id,
        "sortie_id": sortie_id,
        "sensor_id": sensor_id,
        "frame_number": frame_number,
        "time_ns": time_ns,
        "label": label,
        "score": score / 255,
        "model_id": model[0] if model else _NAME_OF_MODEL,
        "box_px": tuple(value / 4 for value in box),
        "position": position,
        "bearing": bearing,
        "no_position_reason": None if position is not None else reason or None,
        "position_doubt": (reason or None) if position is not None else None,
        "platform_position": platform,
        "is_exercise": bool(flags & _IS_EXERCISE),
        "motion": _MOTIONS[flags >> _MOTION_BIT & 3],
    }
    return _checked(values)


def _checked(values: dict[str, Any]) -> Sighting:
    """Built, and held against the limits of its type as everything from outside is."""
    made = decode("sighting", encode(Sighting(**values)))
    assert isinstance(made, Sighting)
    return made


def _names_of(sighting: Sighting) -> tuple[list[bytes], bool]:
    start = f"{sighting.sortie_id}.{sighting.sensor_id}"
    is_short = sighting.track_id.startswith(start) and (
        sighting.sighting_id == f"{sighting.track_id}.f{sighting.frame_number}"
    )
    track = sighting.track_id.removeprefix(start) if is_short else sighting.track_id
    names = [
        sighting.label,
        _sortie_name(sighting),
        sighting.sensor_id,
        track,
        "" if is_short else sighting.sighting_id,
        (sighting.position_doubt if sighting.position is not None else sighting.no_position_reason) or "",
        sighting.model_id,
    ]
    return [name.encode("ascii", "replace")[:255] for name in names], is_short


def _sortie_name(sighting: Sighting) -> str:
    """Sorties are called after their platform as a rule, and whose this is the key tells already."""
    start = sighting.sortie_id.removesuffix(sighting.platform_id)
    return start if start == sighting.sortie_id else start + _PLATFORM_SIGN


def _packed_place(place: Position) -> bytes:
    ee, en, _, nn, _, uu = place.covariance_enu_m2
    correlation = en / (math.sqrt(ee) * math.sqrt(nn)) if ee > 0 and nn > 0 else 0.0
    return _PLACE.pack(
        round(place.latitude_deg * 1e7),
        round(place.longitude_deg * 1e7),
        _log_code(math.sqrt(ee)),
        _log_code(math.sqrt(nn)),
        round(max(-1.0, min(1.0, correlation)) * 10_000),
        _log_code(math.sqrt(uu)),
        _log_code(place.ce90_m),
        max(0, min(65_535, round((place.alt_hae_m + 1_000.0) * 5))),
        _SURFACES.index(place.surface),
    )


def _place_from(content: bytes, offset: int) -> Position:
    lat, lon, east, north, correlation, up, ce90, alt, surface = _PLACE.unpack_from(content, offset)
    sigma_e, sigma_n, sigma_u = _log_value(east), _log_value(north), _log_value(up)
    return Position(
        latitude_deg=lat * 1e-7,
        longitude_deg=lon * 1e-7,
        alt_hae_m=alt / 5 - 1_000.0,
        covariance_enu_m2=(
            sigma_e**2,
            max(-1.0, min(1.0, correlation / 10_000)) * sigma_e * sigma_n,
            0.0,
            sigma_n**2,
            0.0,
            sigma_u**2,
        ),
        ce90_m=_log_value(ce90),
        le90_m=1.6449 * sigma_u,
        surface=_SURFACES[surface],
    )


def _packed_bearing(bearing: Bearing) -> bytes:
    return _BEARING.pack(
        round(bearing.azimuth_deg * 100),
        round(bearing.elevation_deg * 100),
        min(65_535, math.ceil(bearing.sigma_deg * 100)),
    )


def _log_code(metres: float) -> int:
    """Metres on a logarithmic scale, never smaller than they were: 1 mm to 10,000 km in steps of 0.1 %."""
    if metres <= 0.001:
        return 0
    return min(65_535, math.ceil(math.log(metres / 0.001) * 1_000))


def _log_value(code: int) -> float:
    return 0.001 * math.exp(min(code, 23_100) / 1_000)


def _metres(value: float) -> int:
    return max(-32_768, min(32_767, round(value)))
