"""What leaves the ground station for other programs, one module a format; each says who has reviewed it."""
