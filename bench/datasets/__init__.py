"""The datasets that the suite ships; see `bench.interfaces.dataset` for the contract."""
