"""Tasks: what results are for, and the measures that judge them."""
