"""The range: scenarios with truth flown through the whole chain, scored, compared, repeated."""
