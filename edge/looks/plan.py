"""How large and how frequent looks may be at what the link carries, with and without a live view."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from edge.link.capacity import LOOK_LINK_S, TRIAL_EVERY_S, TRIAL_LINK_S
from edge.looks.config import LooksConfig
from skywarden.messages import MAX_LIVE_PER_S, Count, Message, Tasking

DEFAULT_LIVE_PER_S = 1.0
_ENVELOPE_BYTES = 400
"""What a look costs on the link beyond its message."""


class LookOrder(Message, frozen=True, kw_only=True, array_like=True):
    """What the core wants of one sensor: a look every `period_s`, at most so wide and of so many bytes."""

    period_s: Annotated[float, Meta(ge=0.0, le=1e6)]
    max_bytes: Count
    width_px: Count
    is_live: bool = False


def look_bytes(config: LooksConfig, rate: float) -> int:
    """How large a look may be where the link carries `rate` bytes a second; 0: too thin for any."""
    budget = min(config.max_bytes, int(rate * LOOK_LINK_S) - _ENVELOPE_BYTES)
    return budget if budget >= config.min_bytes else 0


def least_rate(config: LooksConfig) -> float:
    """Bytes a second below which there are no looks, not even on trial."""
    return (config.min_bytes + _ENVELOPE_BYTES) / TRIAL_LINK_S


def look_orders(
    config: LooksConfig, sensors: Sequence[str], rate: float, live: Mapping[str, Tasking]
) -> dict[str, LookOrder]:
    """What each sensor shall do; those without an order make no looks.

    `rate` is what the link carries at least, bytes a second; `live` the live views in force by sensor ("" for
    all that are not named). All sensors share one radio: each gets its part of the share.
    """
    budget = look_bytes(config, rate)
    if not sensors or rate < least_rate(config):
        return {}
    if not budget:
        return _trials(config, sensors, live)
    wishes = {name: wish for name in sensors if (wish := live.get(name, live.get(""))) is not None}
    cost = float(budget + _ENVELOPE_BYTES)
    orders: dict[str, LookOrder] = {}
    for name in sensors:
        wish = wishes.get(name)
        if wish is not None and config.live_share:
            per_s = DEFAULT_LIVE_PER_S if wish.frames_per_s is None else wish.frames_per_s
            per_s = min(per_s, MAX_LIVE_PER_S, config.live_share * rate / (cost * len(wishes)))
            width_px = config.width_px if wish.width_px is None else wish.width_px
            orders[name] = LookOrder(
                period_s=1.0 / max(per_s, 1e-3), max_bytes=budget, width_px=width_px, is_live=True
            )
        elif config.period_s and config.share:
            period_s = max(config.period_s, len(sensors) * cost / (config.share * rate))
            orders[name] = LookOrder(period_s=period_s, max_bytes=budget, width_px=config.width_px)
    return orders


def _trials(config: LooksConfig, sensors: Sequence[str], live: Mapping[str, Tasking]) -> dict[str, LookOrder]:
    """The link may be wider than was shown: the smallest look of each camera, seldom, tells."""
    if not live and not (config.period_s and config.share):
        return {}
    period_s = len(sensors) * TRIAL_EVERY_S
    order = LookOrder(period_s=period_s, max_bytes=config.min_bytes, width_px=config.width_px)
    return dict.fromkeys(sensors, order)
