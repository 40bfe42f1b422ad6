"""Synthetic worlds with truth: a place, what moves in it, platforms that fly over it, and their pictures."""
