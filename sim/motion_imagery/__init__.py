"""Flights as motion imagery: H.264 with MISB metadata in MPEG-TS, for the players that analysts use."""
