"""Eight bits: a detector made for them, taught by the one that flies with rounding in the loop."""
