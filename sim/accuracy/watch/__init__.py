"""A watch over vessels by several platforms: truth, and what each platform logs of it."""
