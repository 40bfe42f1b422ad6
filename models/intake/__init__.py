"""How model files of others come in: described by their metadata, signed, and checked."""
