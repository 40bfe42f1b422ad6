"""Exercises: one mark that every screen, message and file of an exercise carries, and what it is fixed to."""
