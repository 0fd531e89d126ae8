"""CAAS, compress-and-analyze-simultaneously (paper Fig. 2c): the features are coded."""

from __future__ import annotations

from collections.abc import Sequence

from bench.interfaces import Content, Kind, Paradigm, Side, Stage


class CompressAndAnalyzeSimultaneously(Paradigm):
    """spikes -> extract -> encode | link | decode -> analyze."""

    name = "caas"

    def wire(self, tasks: Sequence[str]) -> tuple[Stage, ...]:
        """The stages: one stream of K feature frames for all tasks."""
        return (
            Stage("features", Kind.EXTRACT, Side.CAMERA, "spikes"),
            Stage("stream", Kind.ENCODE, Side.CAMERA, "features", Content.FEATURES),
            Stage("decoded", Kind.DECODE, Side.CLOUD, "stream", Content.FEATURES),
            *(Stage(f"result.{task}", Kind.ANALYZE, Side.CLOUD, "decoded", task=task) for task in tasks),
        )
