"""The ground's memory: what came in is kept, proved, searched, backed up and let go."""
