"""Basemaps for machines without internet: files that agencies have, made into PMTiles for the console."""
