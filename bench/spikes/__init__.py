"""Spike streams: .dat files, simulation, surveys of recordings, and the classical reconstructions TFP and TFI."""

from bench.spikes.dat import PackedSpikes, read_dat, write_dat
from bench.spikes.exposure import Survey, likeness_of_rows, survey
from bench.spikes.reconstruct import firing_rate, interval_rate
from bench.spikes.simulate import SpikeCamera, simulate

__all__ = [
    "PackedSpikes",
    "SpikeCamera",
    "Survey",
    "firing_rate",
    "interval_rate",
    "likeness_of_rows",
    "read_dat",
    "simulate",
    "survey",
    "write_dat",
]
