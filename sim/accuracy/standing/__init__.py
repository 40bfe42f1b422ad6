"""Accuracy of standing and moving with a detector's real boxes, on rendered hills and coasts."""

from sim.accuracy.standing.page import section

__all__ = ["section"]
