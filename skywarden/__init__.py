"""What all sides of skywarden agree on: messages, wire, flight folders, geometry, configuration, errors."""

__version__ = "0.1.0"
