"""From pixels to places on the ground, with honest uncertainty."""
