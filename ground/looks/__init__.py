"""What each camera last showed, and live views that somebody asked for."""
