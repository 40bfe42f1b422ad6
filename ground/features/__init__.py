"""OGC API - Features: what may leave, as collections that a GIS reads straight from the station."""
