"""What a crew made of a drill: who noticed what, when, and whether they were right."""
