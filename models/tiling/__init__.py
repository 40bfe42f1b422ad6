"""Where to look: at which scale, which tiles first, what to leave out, and how parts become one answer."""
