"""Networks that answer with maps: looked at in tiles whose maps flow into one another, and mirrored."""
