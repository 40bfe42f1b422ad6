"""From frames to messages: one process for each camera."""
