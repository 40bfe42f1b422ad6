"""Sections of the worker's file: whose turn it is among several detectors, and when another model may fly."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from skywarden.config import Config

if TYPE_CHECKING:
    from models.swap import SwapRules


class TurnsConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How several detectors share a sensor's frames; shares are in `detector`.

    Attributes:
        looks: at most so many detectors look at one frame, those that have waited longest for their share; 0
            for all that are due. With it a recording gives the same answers every time.
        budget_s: at most so many seconds of looking per frame, by what each detector has taken on this
            machine; 0 for no limit. One always looks. Not together with `looks`.
    """

    looks: Annotated[int, Meta(ge=0, le=16)] = 0
    budget_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0

    def __post_init__(self) -> None:
        """Refuse two budgets at once."""
        if self.looks and self.budget_s:
            raise ValueError("turns.looks and turns.budget_s are both set; give one of them")


class SwapConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a model that was staged in flight may take over (`skywarden edge model`; docs/models-aboard.md).

    Attributes:
        shadow_frames: frames that both must have seen.
        every: the staged model sees one frame in so many.
        least_kept: share of the boxes of the model in charge that the staged one finds too.
        most_added_per_frame: boxes per frame that only the staged one has.
        most_time_ratio: its time for a frame beside that of the model in charge, median.
        least_boxes: with fewer boxes to compare nothing is proved, and it stays in the shadow.
        probation_frames: frames after which the model of before is let go.
    """

    shadow_frames: Annotated[int, Meta(ge=1, le=100_000)] = 60
    every: Annotated[int, Meta(ge=1, le=1000)] = 3
    least_kept: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.7
    most_added_per_frame: Annotated[float, Meta(ge=0.0, le=1000.0)] = 5.0
    most_time_ratio: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.5
    least_boxes: Annotated[int, Meta(ge=0, le=100_000)] = 5
    probation_frames: Annotated[int, Meta(ge=1, le=1_000_000)] = 300

    def rules(self, *, takes_over_alone: bool = False) -> "SwapRules":
        """As `models.swap` has them. A model that takes over alone is not kept when it is refused."""
        from models.swap import SwapRules  # not for the core and commands, which have no use for OpenCV

        return SwapRules(
            shadow_frames=self.shadow_frames,
            every=self.every,
            least_kept=self.least_kept,
            most_added_per_frame=self.most_added_per_frame,
            most_time_ratio=self.most_time_ratio,
            probation_frames=self.probation_frames,
            takes_over_alone=takes_over_alone,
            least_boxes=0 if takes_over_alone else self.least_boxes,
            keeps_refused=not takes_over_alone,
        )
