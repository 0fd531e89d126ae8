"""The gate: a run against a reference."""
