"""Where a sensor looks next: which part of a frame, at which scale, and what need not be looked at."""
