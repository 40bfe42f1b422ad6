"""What is worth its bytes: the ladder from sighting to full resolution, requests, kept source frames."""
