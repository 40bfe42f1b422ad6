"""Poses of cameras and platform at any instant, from the telemetry heard around it."""

from edge.pose.buffer import PoseBuffer, platform_pose_at
from edge.pose.history import (
    AttitudeSample,
    GimbalSample,
    PoseHistory,
    PoseLimits,
    PositionSample,
    Samples,
)
from edge.pose.turn import Mount

__all__ = [
    "AttitudeSample",
    "GimbalSample",
    "Mount",
    "PoseBuffer",
    "PoseHistory",
    "PoseLimits",
    "PositionSample",
    "Samples",
    "platform_pose_at",
]
