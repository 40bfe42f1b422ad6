"""The sighting step over the telemetry radio, for flights without an IP link: what to say, and when.

A plain object handed sightings, times and whether the ground answers; `edge/mavlink_port.py` sends. Off
unless configured, and never on a receive-only link.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from skywarden.config import Config
from skywarden.errors import WireError
from skywarden.geometry import geoid
from skywarden.link.thin import MAX_PAYLOAD_BYTES, PAYLOAD_TYPE, ThinSealer
from skywarden.messages import Sighting

NOTICE = 5
"""STATUSTEXT severity: worth knowing, nothing is wrong."""
_TRACKING_ACTIVE = 1
_MAX_WAITING = 64
_REPEATS = 2
_REPEAT_S = 4.0
_TEXT_S = 5.0
_CE90_PER_SIGMA = 2.1460

Mode = Literal["off", "when_silent", "always"]
Frame = tuple[str, dict[str, Any]]
"""A MAVLink message by name with its raw fields."""


class ThinLinkConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sightings over the MAVLink connection, so that they arrive where there is no IP link.

    Attributes:
        mode: "off"; "when_silent" while the ground station does not answer over IP; "always".
        per_s: at most so many sightings a second; each is about 145 bytes on the radio, and with `shown` up
            to 110 more.
        shown: also as standard messages that any ground control station shows: CAMERA_TRACKING_GEO_STATUS,
            and a STATUSTEXT for each new track. Everybody who hears the radio can read those.
    """

    mode: Mode = "off"
    per_s: Annotated[float, Meta(ge=0.01, le=20.0)] = 0.5
    shown: bool = True


@dataclass(slots=True)
class _Waiting:
    sighting: Sighting
    is_new: bool
    left: int
    due_s: float


@dataclass(slots=True)
class ThinCounts:
    """What became of sightings on this way."""

    sent: int = 0
    replaced: int = 0
    dropped: int = 0
    too_long: int = 0


class ThinLink:
    """Chooses what of the sightings goes by radio: new tracks first, then the newest of each.

    A track's first sighting goes three times, 4 s apart (nobody acknowledges), later ones once. `sealer` is
    None where no station's key is configured: then only the standard messages go.
    """

    def __init__(self, config: ThinLinkConfig, sealer: ThinSealer | None) -> None:
        self._config = config
        self._sealer = sealer
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._next_s = -math.inf
        self._text_s = -math.inf
        self.counts = ThinCounts()

    def see(self, sighting: Sighting, now_s: float) -> None:
        """A sighting was recorded."""
        if self._config.mode == "off":
            return
        track_id = sighting.track_id
        before = self._waiting.get(track_id)
        if before is not None:
            self.counts.replaced += 1
            self._waiting[track_id] = _Waiting(sighting, before.is_new, before.left, min(before.due_s, now_s))
            return
        is_new = track_id not in self._known
        self._known[track_id] = None
        if len(self._known) > 10_000:
            self._known.popitem(last=False)
        self._waiting[track_id] = _Waiting(sighting, is_new, 1 + _REPEATS if is_new else 1, now_s)
        if len(self._waiting) > _MAX_WAITING:
            self._waiting.pop(self._least())
            self.counts.dropped += 1

    def due(self, now_s: float, *, is_ground_up: bool) -> list[Frame]:
        """The messages to send now; nothing while the ground answers by IP, unless mode is "always"."""
        if self._config.mode == "off" or (self._config.mode == "when_silent" and is_ground_up):
            self._waiting.clear()
            return []
        ready = [one for one in self._waiting.values() if one.due_s <= now_s]
        if now_s < self._next_s or not ready:
            return []
        chosen = max(ready, key=lambda one: (one.is_new, one.left, one.sighting.time_ns))
        self._next_s = now_s + 1.0 / self._config.per_s
        chosen.left -= 1
        chosen.due_s = now_s + _REPEAT_S
        if chosen.left <= 0:
            del self._waiting[chosen.sighting.track_id]
        self.counts.sent += 1
        return self._frames(chosen, now_s)

    def _least(self) -> str:
        return min(
            self._waiting.values(), key=lambda one: (one.is_new, one.sighting.time_ns)
        ).sighting.track_id

    def _frames(self, chosen: _Waiting, now_s: float) -> list[Frame]:
        frames: list[Frame] = []
        if self._sealer is not None:
            try:
                frames.append(tunnel(self._sealer.seal(chosen.sighting)))
            except WireError:
                self.counts.too_long += 1
        if self._config.shown:
            if chosen.sighting.position is not None:
                frames.append(geo_status(chosen.sighting))
            if chosen.is_new and now_s - self._text_s >= _TEXT_S:
                self._text_s = now_s
                chosen.is_new = False
                frames.append(("STATUSTEXT", _statustext(in_words(chosen.sighting))))
        return frames


def tunnel(payload: bytes) -> Frame:
    """TUNNEL(385) to everybody, with our payload type."""
    return "TUNNEL", {
        "target_system": 0,
        "target_component": 0,
        "payload_type": PAYLOAD_TYPE,
        "payload_length": len(payload),
        "payload": list(payload.ljust(MAX_PAYLOAD_BYTES, b"\0")),
    }


def geo_status(sighting: Sighting) -> Frame:
    """CAMERA_TRACKING_GEO_STATUS(276): where the tracked thing is; what is not known is NaN."""
    place = sighting.position
    assert place is not None
    undulation_m = float(geoid.undulation_m(place.latitude_deg, place.longitude_deg))
    heading_deg = sighting.bearing.azimuth_deg if sighting.bearing is not None else math.nan
    return "CAMERA_TRACKING_GEO_STATUS", {
        "tracking_status": _TRACKING_ACTIVE,
        "lat": round(place.latitude_deg * 1e7),
        "lon": round(place.longitude_deg * 1e7),
        "alt": place.alt_hae_m - undulation_m,
        "h_acc": place.ce90_m / _CE90_PER_SIGMA,
        "v_acc": math.sqrt(place.covariance_enu_m2[5]),
        "vel_n": math.nan,
        "vel_e": math.nan,
        "vel_d": math.nan,
        "vel_acc": math.nan,
        "dist": sighting.slant_range_m if sighting.slant_range_m is not None else math.nan,
        "hdg": math.radians(heading_deg),
        "hdg_acc": math.nan,
        "camera_device_id": 0,
    }


def in_words(sighting: Sighting) -> str:
    """At most 50 characters for people: what, where, how sure."""
    what = ("EXERCISE " if sighting.is_exercise else "") + sighting.label
    place = sighting.position
    if place is not None:
        return f"{what[:20]} {place.latitude_deg:.5f} {place.longitude_deg:.5f} +-{place.ce90_m:.0f} m"[:50]
    if sighting.bearing is not None:
        return f"{what[:20]} bearing {sighting.bearing.azimuth_deg:.0f} deg, no place"[:50]
    return f"{what[:20]}, no place"[:50]


def _statustext(text: str) -> dict[str, Any]:
    """Printable ASCII: a label may hold anything, and ground control stations print what they get."""
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return {"severity": NOTICE, "text": printable.encode("ascii"), "id": 0, "chunk_seq": 0}
