"""Golden replays: what every node says of each short recording, compared decoded, renewed with a reason."""
