"""Flights and scenes with truth, made for the parts of the accuracy page."""
