"""Datasets, one file each; see `bench.interfaces.dataset` for the contract."""
