"""Whether the platform's position can be believed: lost, frozen, jumping, drifting or contradicted GNSS."""

from edge.integrity.monitor import FIRST, SECOND, Fix, IntegrityLimits, IntegrityMonitor
from edge.integrity.motion import MotionCheck, MotionLimits, Point
from edge.integrity.verdict import GOOD, REASONS, Timeline, Verdict

__all__ = [
    "FIRST",
    "GOOD",
    "REASONS",
    "SECOND",
    "Fix",
    "IntegrityLimits",
    "IntegrityMonitor",
    "MotionCheck",
    "MotionLimits",
    "Point",
    "Timeline",
    "Verdict",
]
