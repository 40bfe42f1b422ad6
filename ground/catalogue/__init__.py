"""Sorties as a catalogue: a SpatioTemporal Asset Catalog (STAC 1.1) of what was flown and what there is."""
