"""Measures of rate, distortion and image quality, and Bjontegaard figures."""
