"""A sighting in one TUNNEL: it fits, it comes back, nobody without the key makes or reads one."""

import contextlib
import math
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

from skywarden.errors import WireError
from skywarden.link import keys
from skywarden.link.thin import (
    MAX_CONTENT_BYTES,
    MAX_PAYLOAD_BYTES,
    ThinKey,
    ThinSealer,
    hint_of,
    open_sealed,
    pack,
    unpack,
)
from skywarden.messages import Bearing, Motion, Position, Sighting
from skywarden.wire import encode

_STATION, _PLATFORM = keys.new_key_pair(), keys.new_key_pair()
_KEY = ThinKey.agree(_PLATFORM.secret, _STATION.public)


def _place(lat: float = 36.123456789, lon: float = -5.43211234, ee: float = 40.0) -> Position:
    return Position(
        latitude_deg=lat,
        longitude_deg=lon,
        alt_hae_m=47.13,
        covariance_enu_m2=(ee, 0.3 * ee, 0.1, ee * 1.3, 0.0, 9.0),
        ce90_m=15.2,
        le90_m=4.9,
        surface="sea",
    )


def _sighting(place: Position | None, **other: Any) -> Sighting:
    values: dict[str, Any] = {
        "sighting_id": "20261122T023000Z_uav07.eo.t12.f4711",
        "track_id": "20261122T023000Z_uav07.eo.t12",
        "platform_id": "uav07",
        "sortie_id": "20261122T023000Z_uav07",
        "sensor_id": "eo",
        "frame_number": 4711,
        "time_ns": 1_795_000_000_123_456_789,
        "label": "vessel",
        "score": 0.87,
        "model_id": "yolox-vessels-3",
        "box_px": (101.25, 20.5, 140.0, 61.75),
        "position": place,
        "bearing": None if place else Bearing(azimuth_deg=271.25, elevation_deg=-3.2, sigma_deg=2.2),
        "no_position_reason": None if place else "telemetry_stale",
        "platform_position": (36.1, -5.4, 412.0),
    }
    return Sighting(**{**values, **other})


def test_a_sighting_with_all_it_has_fits_and_comes_back() -> None:
    sealed = ThinSealer(_KEY, os.urandom(6)).seal(_sighting(_place()))
    assert len(sealed) <= MAX_PAYLOAD_BYTES
    back = open_sealed(ThinKey.agree(_STATION.secret, _PLATFORM.public), "uav07", sealed)
    sent = _sighting(_place())
    assert (back.sighting_id, back.track_id, back.sortie_id, back.sensor_id, back.time_ns) == (
        sent.sighting_id,
        sent.track_id,
        sent.sortie_id,
        sent.sensor_id,
        sent.time_ns,
    )
    assert (back.platform_id, back.label, back.frame_number) == ("uav07", "vessel", 4711)
    assert back.position is not None
    assert sent.position is not None
    assert abs(back.position.latitude_deg - sent.position.latitude_deg) < 6e-8
    assert abs(back.position.longitude_deg - sent.position.longitude_deg) < 6e-8
    assert abs(back.position.alt_hae_m - sent.position.alt_hae_m) <= 0.1 + 1e-9
    assert 1.0 <= back.position.ce90_m / sent.position.ce90_m < 1.0011
    for new, old in zip(back.position.covariance_enu_m2, sent.position.covariance_enu_m2, strict=True):
        assert new == pytest.approx(old, rel=0.01, abs=0.11)
    assert back.box_px == sent.box_px


def test_without_a_place_the_bearing_and_the_reason_come_back() -> None:
    back = unpack("uav07", pack(_sighting(None)))
    assert back.position is None
    assert back.bearing is not None
    assert back.bearing.azimuth_deg == pytest.approx(271.25)
    assert back.no_position_reason == "telemetry_stale"


def test_doubt_of_the_place_is_kept() -> None:
    assert unpack("uav07", pack(_sighting(_place(), position_doubt="gnss_disagree"))).position_doubt == (
        "gnss_disagree"
    )


@pytest.mark.parametrize("motion", [None, "undecided", "standing", "moving"])
def test_what_the_track_is_known_to_do_is_kept(motion: Motion | None) -> None:
    assert unpack("uav07", pack(_sighting(_place(), motion=motion))).motion == motion


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e10), st.floats(-0.999, 0.999), st.booleans())
def test_any_place_survives_with_a_covariance_no_smaller(
    lat: float, lon: float, ee: float, correlation: float, is_exercise: bool
) -> None:
    nn = ee * 0.5 + 1e-6
    place = Position(
        latitude_deg=lat,
        longitude_deg=lon,
        alt_hae_m=-100.0,
        covariance_enu_m2=(ee, correlation * math.sqrt(ee * nn), 0.0, nn, 0.0, 1.0),
        ce90_m=math.sqrt(ee),
        le90_m=1.0,
        surface="terrain",
    )
    back = unpack("uav07", pack(_sighting(place, is_exercise=is_exercise)))
    assert back.position is not None
    east, _, _, north, _, _ = back.position.covariance_enu_m2
    assert east >= ee * (1 - 1e-9)
    assert north >= nn * (1 - 1e-9)
    assert back.is_exercise == is_exercise


def test_the_models_name_goes_first_and_names_too_long_are_refused() -> None:
    assert unpack("uav07", pack(_sighting(_place(), model_id="m" * 100))).model_id == "thin"
    with pytest.raises(WireError):
        pack(_sighting(_place(), label="l" * 64))


def test_an_own_id_that_follows_no_pattern_is_carried_as_it_is() -> None:
    odd = _sighting(None, sighting_id="abc.7", track_id="abc", platform_position=None, sortie_id="s1")
    assert unpack("uav07", pack(odd)).sighting_id == "abc.7"


def test_what_was_changed_anywhere_is_refused() -> None:
    sealed = ThinSealer(_KEY, bytes(6)).seal(_sighting(_place()))
    for place in range(len(sealed)):
        with pytest.raises(WireError):
            open_sealed(_KEY, "uav07", sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])
        with pytest.raises(WireError):
            open_sealed(_KEY, "uav07", sealed[:place])
    other = ThinKey.agree(keys.new_key_pair().secret, _STATION.public)
    with pytest.raises(WireError):
        open_sealed(other, "uav07", sealed)


def test_no_two_frames_are_sealed_under_one_nonce() -> None:
    sealer, other = ThinSealer(_KEY, b"start1"), ThinSealer(_KEY, b"start2")
    frames = [one.seal(_sighting(None)) for one in (sealer, other) for _ in range(50)]
    assert len({frame[:13] for frame in frames}) == 100
    assert all(hint_of(frame) == _KEY.hint for frame in frames)


@given(st.binary(max_size=MAX_CONTENT_BYTES))
def test_content_that_is_nonsense_is_refused_in_our_words(content: bytes) -> None:
    nonce = b"\x11" + _KEY.hint + bytes(9)
    sealed = nonce + AESCCM(_KEY.key, tag_length=8).encrypt(nonce, content, nonce)
    with contextlib.suppress(WireError):
        encode(open_sealed(_KEY, "uav07", sealed))
