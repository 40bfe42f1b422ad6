"""Training of the parcel model: fields drawn by hand in, maps of interior, boundary and distance out."""
