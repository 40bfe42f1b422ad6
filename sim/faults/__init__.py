"""Faults put into recordings and links, by seed."""
