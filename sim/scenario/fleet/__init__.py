"""What vessels do, and what they say of themselves on AIS."""
