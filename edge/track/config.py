"""The tracker's settings, as they stand in the configuration file."""

from typing import Annotated

from msgspec import Meta

from skywarden.config import Config
from skywarden.errors import ConfigError

Seconds = Annotated[float, Meta(gt=0.0, le=86_400.0)]


class TrackerConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the tracker decides.

    Attributes:
        high_score: detections at or above may begin tracks.
        low_score: detections between this and `high_score` may only continue tracks; those below are not
            looked at.
        gate_probability: share of true matches that the gate lets pass.
        label_mismatch_cost: added to the squared Mahalanobis distance where the label is not the track's.
        confirm_hits: so many matches within `confirm_window` frames make a track confirmed.
        confirm_window: in frames.
        coast_s: how long a confirmed track that moves is kept without a match.
        coast_static_s: how long a confirmed track that stands is kept without a match.
        initial_speed_mps: one-sigma speed per axis of an object seen once.
        steady_m2ps3: spectral density of white acceleration of an object that keeps its course.
        manoeuvre_mps: one-sigma change of speed per axis when an object is found to have turned.
        fresh_share: the share of the shared errors' variance that every frame draws anew.
        attitude_time_s: correlation time of tilt and boresight together; heading takes twice as long.
        position_time_s: correlation time of GNSS and of the surface's height.
        moving_probability: how sure it must be before a track is called moving.
        min_speed_mps: the least speed before a track is called moving.
        max_sigma_m: a track less certain than this is dropped.
    """

    high_score: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    low_score: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    gate_probability: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.999
    label_mismatch_cost: Annotated[float, Meta(ge=0.0, le=100.0)] = 2.0
    confirm_hits: Annotated[int, Meta(ge=1, le=30)] = 3
    confirm_window: Annotated[int, Meta(ge=1, le=30)] = 5
    coast_s: Annotated[float, Meta(gt=0.0, le=3600.0)] = 10.0
    coast_static_s: Annotated[float, Meta(gt=0.0, le=3600.0)] = 60.0
    initial_speed_mps: Annotated[float, Meta(gt=0.0, le=100.0)] = 8.0
    steady_m2ps3: Annotated[float, Meta(gt=0.0, le=100.0)] = 0.002
    manoeuvre_mps: Annotated[float, Meta(gt=0.0, le=100.0)] = 2.0
    fresh_share: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    attitude_time_s: Seconds = 30.0
    position_time_s: Seconds = 100.0
    moving_probability: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95
    min_speed_mps: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.5
    max_sigma_m: Annotated[float, Meta(gt=0.0, le=100_000.0)] = 2_000.0

    def check(self) -> None:
        """Raise `ConfigError` when settings contradict each other."""
        if self.low_score > self.high_score:
            raise ConfigError(f"tracker: low_score {self.low_score} is above high_score {self.high_score}")
        if self.confirm_hits > self.confirm_window:
            raise ConfigError(
                f"tracker: confirm_hits {self.confirm_hits} do not fit into a confirm_window of "
                f"{self.confirm_window} frames"
            )
