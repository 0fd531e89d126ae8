"""The rows and files of a run: their columns and fields, and how they are written, read and explained."""
