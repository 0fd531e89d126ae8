"""Measurements with tables of their own: costs of stages and networks, no-reference scores, uncompressed accuracy."""
