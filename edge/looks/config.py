"""How often the ground gets a small picture of what a camera sees: the `looks` section of the edge's file."""

from typing import Annotated

from msgspec import Meta

from skywarden.config import Config
from skywarden.messages import MAX_LOOK_PX, MIN_LOOK_PX

Share = Annotated[float, Meta(ge=0.0, le=0.9)]


class LooksConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest picture of each camera, and what a live view may cost. Looks never make anything else wait.

    Attributes:
        period_s: a look of each camera at most so often; 0 for none unless a live view is asked for.
        share: looks that nobody asked for take at most this share of what the link was seen to carry.
        live_share: and a live view this one; 0 refuses live views.
        live_longest_s: a live view is asked for anew after so long.
        width_px: how wide a look is at most; a live view may ask for up to 640.
        min_bytes: a link that cannot carry this in 0.15 s gets none, but for a trial every half minute where
            0.3 s are enough.
        max_bytes: a look is never larger.
    """

    period_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 5.0
    share: Share = 0.1
    live_share: Share = 0.5
    live_longest_s: Annotated[float, Meta(ge=10.0, le=3600.0)] = 1800.0
    width_px: Annotated[int, Meta(ge=MIN_LOOK_PX, le=MAX_LOOK_PX)] = 480
    min_bytes: Annotated[int, Meta(ge=1_000, le=48_000)] = 1_500
    max_bytes: Annotated[int, Meta(ge=1_000, le=48_000)] = 24_000

    def __post_init__(self) -> None:
        """Refuse bounds that are upside down."""
        if self.min_bytes > self.max_bytes:
            raise ValueError(f"min_bytes {self.min_bytes} is over max_bytes {self.max_bytes}")
