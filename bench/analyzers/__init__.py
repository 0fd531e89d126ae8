"""Analyzers without weights."""
