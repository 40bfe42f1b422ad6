"""`make accuracy`: how right skywarden is, on real data and on scenario truth."""
