"""Extractors without weights."""
