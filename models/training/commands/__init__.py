"""What `python -m models.training` can be asked to do."""
