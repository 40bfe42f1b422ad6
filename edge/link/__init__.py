"""From the durable outbox to the ground, over whatever link there is."""
