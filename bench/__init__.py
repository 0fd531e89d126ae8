"""Spike-camera compression benchmark: CLI, spikes, datasets, tasks, metrics, runner and reports."""

from bench.version import __version__

__all__ = ["__version__"]
