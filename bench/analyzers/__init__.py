"""Analyzers without learned weights."""
