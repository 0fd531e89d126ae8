"""Turns a grid into jobs, runs them, keeps what they share, and writes rows."""
