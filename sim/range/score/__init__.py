"""What a watch was worth, held against truth."""
