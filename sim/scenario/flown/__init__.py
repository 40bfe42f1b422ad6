"""A scenario as it is flown: timed streams, flight folders, sockets."""
