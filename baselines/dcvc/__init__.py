"""DCVC (Li, Li and Lu, NeurIPS 2021): deep contextual video compression."""
