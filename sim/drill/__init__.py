"""Drills for crews: a scenario flown live against a real station that is an exercise, and what came of it."""
