"""What a score looks like: a table for the terminal and a page that stands by itself."""
