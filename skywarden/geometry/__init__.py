"""Cameras, places, heights, terrain and rotations, and the covariance that goes with them."""
