"""What may leave, told to ground stations that speak MAVLink, such as QGroundControl."""
