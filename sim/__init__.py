"""Replay of recorded flights, importers of foreign logs, scenarios with truth, benchmarks."""
