"""Benchmarks against what others use: each module has `run() -> dict` of plain numbers and ratios."""
