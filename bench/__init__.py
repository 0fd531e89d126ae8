"""Benchmark suite for spike-camera compression: the command ``bench`` and the same in Python (`bench.api`)."""

from typing import TYPE_CHECKING, Any

from bench.version import __version__

if TYPE_CHECKING:
    from bench.api import (
        Analyzer,
        BenchError,
        Chain,
        Codec,
        Dataset,
        Extractor,
        Paradigm,
        Run,
        Sampling,
        Task,
        create,
        list_components,
        load_runs,
        make_report,
        read_dat,
        register,
        run,
        simulate,
        train_weights,
    )

__all__ = [
    "Analyzer", "BenchError", "Chain", "Codec", "Dataset", "Extractor", "Paradigm", "Run", "Sampling", "Task",
    "__version__", "create", "list_components", "load_runs", "make_report", "read_dat", "register", "run", "simulate",
    "train_weights",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a name from `bench.api` at its first use, so that the command line starts without numpy and pandas."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from bench import api

    value = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
