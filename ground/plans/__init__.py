"""Plans for another look: proposals in QGroundControl's format, for a pilot to read, change, load or drop."""
