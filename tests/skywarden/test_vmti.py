"""VMTI: another implementation's bytes are read, ours come back whole, hostile ones are refused."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skywarden import klv
from skywarden.errors import InputError
from skywarden.geometry.uncertainty import ce90_m, le90_m
from skywarden.messages import Position
from skywarden.vmti import VmtiSet, VmtiTarget, decode_vmti, encode_vmti, target_of_box, vmti_packet


def _position(covariance: np.ndarray) -> Position:
    (ee, en, eu), (_, nn, nu), (_, _, uu) = covariance.tolist()
    return Position(
        latitude_deg=-35.363026,
        longitude_deg=149.164328,
        alt_hae_m=603.25,
        covariance_enu_m2=(ee, en, eu, nn, nu, uu),
        ce90_m=float(ce90_m(covariance)),
        le90_m=float(le90_m(covariance[2, 2])),
        surface="level",
    )


@pytest.mark.real_data
def test_a_set_of_another_implementation_is_read(real_data: Path) -> None:
    data = (real_data / "klv" / "jmisb_st0903_vmti.bin").read_bytes()
    data = data[: 17 + data[16]]
    found = decode_vmti(data[17:])
    assert found.size_px == (1000, 600)
    assert [target.number for target in found.targets] == [0, 1]
    first, second = found.targets
    assert first.centre_px == ((0x05EA12 - 1) % 1000, (0x05EA12 - 1) // 1000)
    corners = [divmod(number - 1, 1000)[::-1] for number in (0x08127A, 0x063FD6)]
    assert first.box_px == (*corners[0], *corners[1])
    assert (first.confidence_percent, second.confidence_percent) == (15, 84)
    assert klv.checksum(data[:-2]) == int.from_bytes(data[-2:], "big")


@given(st.integers(0, 2**32 - 1))
def test_a_covariance_survives_to_the_steps_of_the_standard(seed: int) -> None:
    draws = np.random.default_rng(seed)
    root = draws.normal(size=(3, 3)) * draws.uniform(0.1, 60.0)
    position = _position(root @ root.T)
    sent = VmtiSet(
        time_us=1,
        size_px=(1920, 1080),
        targets=(target_of_box(7, (10.2, 20.0, 30.0, 40.4), 0.5, position),),
    )
    target = decode_vmti(encode_vmti(sent)).targets[0]
    assert (target.number, target.box_px, target.confidence_percent) == (7, (10, 20, 30, 40), 50)
    back = target.position
    assert back is not None
    sigma_step, rho_step = 650 / 2**15, 2 / 2**15
    for index, (one, other) in {0: (0, 0), 1: (0, 1), 2: (0, 2), 3: (1, 1), 4: (1, 2), 5: (2, 2)}.items():
        sigmas = [math.sqrt(position.covariance_enu_m2[(0, 3, 5)[axis]]) for axis in (one, other)]
        tolerance = sigma_step * (sum(sigmas) + sigma_step) + rho_step * sigmas[0] * sigmas[1]
        assert back.covariance_enu_m2[index] == pytest.approx(
            position.covariance_enu_m2[index], abs=tolerance
        )
    assert back.latitude_deg == pytest.approx(position.latitude_deg, abs=1e-7)
    assert back.longitude_deg == pytest.approx(position.longitude_deg, abs=2e-7)
    assert back.alt_hae_m == pytest.approx(position.alt_hae_m, abs=0.6)


def test_without_a_frame_size_the_centre_still_travels() -> None:
    sent = VmtiSet(time_us=None, size_px=None, targets=(target_of_box(1, (10, 20, 31, 41), 1.0, None),))
    target = decode_vmti(encode_vmti(sent)).targets[0]
    assert (target.centre_px, target.box_px, target.position) == ((20, 30), None, None)


def test_an_error_beyond_the_pack_is_left_out_and_not_clipped() -> None:
    far = _position(np.diag([700.0**2, 1.0, 1.0]))
    sent = VmtiSet(time_us=1, size_px=(10, 10), targets=(target_of_box(1, (1, 1, 2, 2), 1.0, far),))
    assert decode_vmti(encode_vmti(sent)).targets[0].position is None


def test_a_set_alone_has_a_key_and_a_good_checksum() -> None:
    packet = vmti_packet(
        VmtiSet(time_us=5, size_px=(10, 10), targets=(VmtiTarget(number=1, centre_px=(1, 1)),))
    )
    packets, counts = klv.read_packets(packet)
    assert [each.standard for each in packets] == ["ST 0903"]
    assert counts.skipped_bytes == 0
    assert klv.checksum(packet[:-2]) == int.from_bytes(packet[-2:], "big")


@given(st.binary(max_size=300))
def test_hostile_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = decode_vmti(data)
    except InputError:
        return
    assert len(found.targets) <= 1024


def test_a_series_that_lies_about_its_lengths_is_refused() -> None:
    good = encode_vmti(VmtiSet(time_us=1, size_px=(9, 9), targets=(VmtiTarget(number=1, centre_px=(1, 1)),)))
    with pytest.raises(InputError, match="target 1"):
        decode_vmti(good.replace(b"\x65\x05\x04", b"\x65\x05\x7f"))
