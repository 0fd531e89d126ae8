"""The suite under its package's own name: ``import spikebench`` gives what ``import bench`` gives, as lazily."""

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from bench import *  # noqa: F403

__all__ = bench.__all__


def __getattr__(name: str) -> Any:
    """Import a name from `bench` at its first use."""
    if name not in bench.__all__:
        raise AttributeError(f"module 'spikebench' has no attribute '{name}'")
    return getattr(bench, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *bench.__all__})
