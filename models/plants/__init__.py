"""Plants found one by one become stands: where they grow in rows, how many, how far apart."""
