"""How often and how large looks may be: none on thin links, a share of wide ones, more for a live view."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.link.capacity import LOOK_LINK_S, TRIAL_LINK_S
from edge.looks.config import LooksConfig
from edge.looks.plan import least_rate, look_orders
from skywarden.messages import Tasking

CONFIG = LooksConfig()


def _live(per_s: float | None = None, width_px: int | None = None, sensor_id: str | None = None) -> Tasking:
    return Tasking(
        tasking_id="live-1",
        platform_id="uav07",
        time_ns=1,
        expires_ns=2,
        kind="live_view",
        frames_per_s=per_s,
        width_px=width_px,
        sensor_id=sensor_id,
    )


def test_a_thin_link_gets_no_looks_not_even_live() -> None:
    assert look_orders(CONFIG, ["eo"], 0.0, {"": _live()}) == {}
    assert look_orders(CONFIG, ["eo"], least_rate(CONFIG) - 8.0, {"": _live()}) == {}
    assert look_orders(CONFIG, ["eo"], 2.0 * least_rate(CONFIG) + 8.0, {})["eo"].max_bytes >= CONFIG.min_bytes


def test_a_link_that_may_be_wider_than_it_showed_is_tried_seldom_with_the_smallest() -> None:
    trial = look_orders(CONFIG, ["eo", "ir"], 1.2 * least_rate(CONFIG), {"": _live(4.0)})["eo"]
    assert (trial.period_s, trial.max_bytes, trial.is_live) == (60.0, CONFIG.min_bytes, False)
    assert look_orders(LooksConfig(period_s=0.0), ["eo"], 1.2 * least_rate(CONFIG), {}) == {}


def test_a_wide_link_gets_one_every_five_seconds_and_a_live_view_what_was_wished() -> None:
    calm = look_orders(CONFIG, ["eo"], 5e6, {})["eo"]
    assert (calm.period_s, calm.max_bytes, calm.width_px, calm.is_live) == (5.0, 24_000, 480, False)
    live = look_orders(CONFIG, ["eo"], 5e6, {"": _live(2.0, 640)})["eo"]
    assert (live.period_s, live.width_px, live.is_live) == (0.5, 640, True)


def test_a_live_view_of_one_camera_leaves_the_other_as_it_was() -> None:
    orders = look_orders(CONFIG, ["eo", "ir"], 5e6, {"ir": _live(sensor_id="ir")})
    assert [orders[name].is_live for name in ("eo", "ir")] == [False, True]
    assert orders["ir"].period_s == 1.0


def test_who_wants_none_makes_none_unless_somebody_asks() -> None:
    config = LooksConfig(period_s=0.0)
    assert look_orders(config, ["eo"], 5e6, {}) == {}
    assert look_orders(config, ["eo"], 5e6, {"": _live()})["eo"].is_live
    assert look_orders(LooksConfig(live_share=0.0), ["eo"], 5e6, {"": _live()})["eo"].is_live is False


def test_bounds_upside_down_are_refused() -> None:
    with pytest.raises(ValueError, match="is over max_bytes"):
        LooksConfig(min_bytes=9_000, max_bytes=5_000)


@given(st.floats(0.0, 1e9), st.integers(1, 6), st.floats(0.1, 4.0), st.booleans())
def test_no_look_takes_longer_and_all_together_no_more_than_their_share(
    rate: float, sensors: int, per_s: float, is_live: bool
) -> None:
    names = [f"s{number}" for number in range(sensors)]
    orders = look_orders(CONFIG, names, rate, {"": _live(per_s)} if is_live else {})
    for order in orders.values():
        is_trial = order.period_s >= 30.0 and order.max_bytes == CONFIG.min_bytes
        assert order.max_bytes <= rate * (TRIAL_LINK_S if is_trial else LOOK_LINK_S)
    sent = sum(order.max_bytes / order.period_s for order in orders.values())
    assert sent <= rate * (CONFIG.live_share if is_live else CONFIG.share) * 1.001
