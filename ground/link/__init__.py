"""The station's end of the radio link: who may talk, what is taken in, what is asked of platforms."""
