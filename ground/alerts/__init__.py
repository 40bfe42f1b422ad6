"""Alerts: areas, rules, and the durable log of what fired and who saw to it (docs/alerts.md)."""
