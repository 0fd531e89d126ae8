"""Distortion measures and Bjontegaard figures."""
