"""The tables of a scenario file, as frozen structs: place and light, land, fleet, platforms, faults."""
