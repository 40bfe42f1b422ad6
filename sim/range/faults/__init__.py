"""Faults on order: what there is, how each acts on what flows, and what is expected of the chain."""
