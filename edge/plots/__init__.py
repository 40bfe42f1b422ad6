"""Plots: from a mask or outline in the image to a polygon on the ground with an area that can be trusted."""
