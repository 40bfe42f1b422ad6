"""MAVLink 1 and 2: framing, decoding, logs, connection strings and synthesis."""
