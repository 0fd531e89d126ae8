"""Expands a grid into jobs, runs the jobs, stores the intermediate results that they share, and writes their rows."""
