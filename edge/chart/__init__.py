"""Land and water from a chart: what is seen where it cannot be is counted and not told."""
