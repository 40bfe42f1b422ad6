"""Looks: what a camera sees now, small, when the link has nothing better to do; and live views."""
