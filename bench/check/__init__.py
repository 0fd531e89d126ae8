"""Compares a run with a reference run, as a gate for changes."""
