"""Tasks: each compares results with the truth, by its own measures."""
