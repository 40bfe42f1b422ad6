"""Sorties as the station has them in MCAP, for Foxglove and every other reader of recordings."""
