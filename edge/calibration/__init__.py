"""What a flight tells about its own instruments: time offset, field of view, boresight."""
