"""The ground and the sea of a scenario, and how they are painted."""
