"""Fusion: what several platforms saw becomes contacts, one for each real thing (docs/fusion.md)."""
