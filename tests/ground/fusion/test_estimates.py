"""Estimates that are worked out together, and the parts that a look's error is made of."""

import random
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from ground.config import ContactsConfig
from ground.fusion.estimate import Estimate, Lot, estimates
from ground.fusion.looks import Look, columns_of, look_of, parts_of
from ground.fusion.plane import Plane
from skywarden.clock import NS_PER_S
from tests.ground.scenes import position, sighting

CONFIG = ContactsConfig()
START_NS = 1_790_000_000 * NS_PER_S


def _look(chance: random.Random, number: int, source: str, *, at_s: float | None = None) -> Look:
    ee, nn = chance.uniform(1.0, 900.0), chance.uniform(1.0, 900.0)
    from_above = (
        45.0 + chance.gauss(0.0, 4e-3),
        10.0 + chance.gauss(0.0, 4e-3),
        chance.uniform(-5.0, 900.0),
    )
    return Look(
        time_ns=START_NS + round((chance.uniform(0.0, 60.0) if at_s is None else at_s) * NS_PER_S),
        sighting_id=f"{source}.{number}",
        source=source,
        latitude_deg=45.0 + chance.gauss(0.0, 2e-4),
        longitude_deg=10.0 + chance.gauss(0.0, 2e-4),
        ee=ee,
        en=chance.uniform(-0.95, 0.95) * (ee * nn) ** 0.5,
        nn=nn,
        alt_hae_m=2.5,
        uu=chance.choice((0.0, 0.09, 25.0, 400.0)),
        surface="sea",
        seen_from=from_above if chance.random() < 0.9 else None,
        is_opaque=False,
    )


def _lots(seed: int, count: int) -> list[Lot]:
    chance = random.Random(seed)
    lots = []
    for _ in range(count):
        sources = chance.choice((["a"], ["a", "b"], ["a", "b", "c"]))
        looks = [
            _look(chance, number, chance.choice(sources))
            for number in range(chance.choice((1, 2, 3, 4, 7, 16, 16, 30, 48)))
        ]
        at_ns = START_NS + round(chance.uniform(-60.0, 120.0) * NS_PER_S)
        lots.append(Lot(looks, at_ns, chance.random() < 0.3))
    return lots


def _bytes_of(one: Estimate) -> bytes:
    numbers = [one.state, one.covariance, one.common, np.array([one.misfit, one.freedom])]
    for source in sorted(one.shared):
        numbers += [one.shared[source].seconds, one.shared[source].effect]
    return b"".join(part.tobytes() for part in numbers) + one.nearest_id.encode()


@pytest.mark.parametrize("seed", range(3))
def test_who_else_is_worked_out_changes_no_bit_of_an_estimate(seed: int) -> None:
    lots = _lots(seed, 60)
    together = [_bytes_of(one) for one in estimates(lots, CONFIG)]
    assert together == [_bytes_of(estimates([lot], CONFIG)[0]) for lot in lots]
    order = random.Random(seed).sample(range(60), 60)
    mixed = estimates([lots[row] for row in order], CONFIG)
    assert [_bytes_of(one) for one in mixed] == [together[row] for row in order]
    assert len(set(together)) == 60


def test_order_of_looks_changes_no_bit_of_an_estimate() -> None:
    for lot in _lots(7, 20):
        mixed = lot._replace(looks=random.Random(1).sample(list(lot.looks), len(lot.looks)))
        assert _bytes_of(estimates([lot], CONFIG)[0]) == _bytes_of(estimates([mixed], CONFIG)[0])


def test_nothing_asked_is_nothing_answered() -> None:
    assert estimates([], CONFIG) == []


def _parts_by_look(looks: Sequence[Look]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    parts = parts_of(columns_of([looks], [Plane(45.0, 10.0)], [START_NS]), CONFIG)
    return list(zip(parts.own[0], parts.shared[0], parts.common[0], strict=True))


def test_parts_add_up_to_the_covariance_that_was_stated() -> None:
    chance = random.Random(11)
    looks = sorted((_look(chance, number, "a") for number in range(200)), key=lambda one: one.time_ns)
    for look, (own, shared, common) in zip(looks, _parts_by_look(looks), strict=True):
        total = own + shared @ shared.T + np.outer(common, common)
        assert total == pytest.approx(np.array([[look.ee, look.en], [look.en, look.nn]]), rel=1e-6, abs=1e-6)


def _looks_in_turn() -> list[Look]:
    chance = random.Random(12)
    return [_look(chance, number, "ab"[number % 2], at_s=float(number)) for number in range(60)]


def test_what_looks_of_a_source_share_does_not_depend_on_who_looks_in_between() -> None:
    looks = _looks_in_turn()
    both = [shared for _, shared, _ in _parts_by_look(looks)]
    for first in (0, 1):
        alone = [shared for _, shared, _ in _parts_by_look(looks[first::2])]
        assert all(np.array_equal(one, two) for one, two in zip(both[first::2], alone, strict=True))


def test_the_axis_along_the_ray_goes_on_when_the_platform_has_flown_over() -> None:
    looks = _looks_in_turn()[::2]
    rays = [_ray(look) for look in looks]
    axes = [shared[:, 0] for _, shared, _ in _parts_by_look(looks)]  # of the ray's side, if not along it
    has_turned = [float(one @ two) < 0.0 for one, two in pairwise(rays)]
    is_against = [float(ray @ axis) < 0.0 for ray, axis in zip(rays, axes, strict=True)]
    assert any(has_turned)
    assert not is_against[0]
    assert [one != two for one, two in pairwise(is_against)] == has_turned


def _ray(look: Look) -> np.ndarray:
    """Direction from the platform, or east where it is not known."""
    if look.seen_from is None:
        return np.array([1.0, 0.0])
    plane = Plane(45.0, 10.0)
    place, platform = (look.latitude_deg, look.longitude_deg), look.seen_from[:2]
    return np.subtract(plane.east_north_m(*place), plane.east_north_m(*platform))


def _stated(chance: random.Random, number: int) -> Look:
    """A look as a platform may state it that lies, or is broken: within what a message may hold."""

    def variance() -> float:
        return chance.choice((0.0, 1e-9, 1.0, 1e12, 10.0 ** chance.uniform(-12.0, 12.0)))

    ee, nn = variance(), variance()
    en = (ee * nn) ** 0.5 * chance.choice((0.0, chance.uniform(-1.0, 1.0), 0.9999999999999, 1.0, 1e6))
    place = msgspec.structs.replace(
        position(),
        latitude_deg=chance.choice((-90.0, 90.0, chance.uniform(-90.0, 90.0))),
        longitude_deg=chance.choice((-180.0, 180.0, chance.uniform(-180.0, 180.0))),
        alt_hae_m=chance.choice((0.0, -1e12, 1e12)),
        covariance_enu_m2=(ee, en, 0.0, nn, 0.0, variance()),
    )
    above = (chance.uniform(-90.0, 90.0), chance.uniform(-180.0, 180.0), chance.choice((0.0, 1e12, -1e12)))
    beside = (place.latitude_deg, place.longitude_deg, chance.uniform(-100.0, 900.0))
    at_s = chance.choice((0.0, 300.0, chance.uniform(0.0, 300.0)))
    said = sighting("t", number, at_s=at_s, place=place, platform=chance.choice("ab"))
    said = msgspec.structs.replace(said, platform_position=chance.choice((None, above, beside)))
    return look_of(said, place)


def test_whatever_a_platform_states_an_estimate_is_finite() -> None:
    chance = random.Random(21)
    lots = []
    for _ in range(600):
        looks = [_stated(chance, number) for number in range(chance.randrange(1, 9))]
        at_ns = looks[0].time_ns + chance.choice((0, 300, -90)) * NS_PER_S
        lots.append(Lot(looks, at_ns, chance.random() < 0.4))
    for one in estimates(lots, CONFIG):
        assert np.isfinite(one.state).all()
        assert np.isfinite(one.covariance).all()
        assert one.sigma_m >= 0.0
