"""The report of a mission: one page that holds everything it shows, for people and for the file."""
