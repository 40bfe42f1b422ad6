"""Objects as points on the ground, followed through time (docs/decisions/0016-tracker.md)."""

from edge.track.config import TrackerConfig
from edge.track.measurements import Measurements, from_covariances, no_measurements
from edge.track.shared_errors import measurements_of
from edge.track.states import Tracks, TrackState
from edge.track.tracker import Tracker

__all__ = [
    "Measurements",
    "TrackState",
    "Tracker",
    "TrackerConfig",
    "Tracks",
    "from_covariances",
    "measurements_of",
    "no_measurements",
]
