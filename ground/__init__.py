"""On the ground: receiver, store, contacts, HTTP API and console."""
