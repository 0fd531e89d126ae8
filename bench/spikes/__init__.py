"""Spike streams: files, simulation, and the classical reconstructions."""

from bench.spikes.dat import PackedSpikes, read_dat, write_dat
from bench.spikes.reconstruct import firing_rate, interval_rate
from bench.spikes.simulate import SpikeCamera, simulate

__all__ = [
    "PackedSpikes",
    "SpikeCamera",
    "firing_rate",
    "interval_rate",
    "read_dat",
    "simulate",
    "write_dat",
]
