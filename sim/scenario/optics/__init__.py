"""What a camera makes of a scene: light, shutter, noise, and thermal counts."""
