"""AIS as both sides read it: sentences, payloads, fields, reports."""
