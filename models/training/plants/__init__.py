"""Training of the plantation model: plants boxed one by one, so that they can be counted."""
