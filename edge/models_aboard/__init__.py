"""The detectors of one aircraft: several on a sensor, each changed by command, each choice kept."""
