"""The web side's doors: who may ask for what, sessions of browsers, headers that keep browsers honest."""
