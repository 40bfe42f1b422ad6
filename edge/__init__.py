"""Aboard: MAVLink and camera inputs, pose, detection, tracking, location, outbox, downlink, recorder."""
