"""CTA, compress-then-analyze (paper Fig. 2a): the spikes themselves are coded."""

from __future__ import annotations

from collections.abc import Sequence

from bench.interfaces import Content, Kind, Paradigm, Side, Stage


class CompressThenAnalyze(Paradigm):
    """spikes -> encode | link | decode -> extract -> analyze."""

    name = "cta"

    def wire(self, tasks: Sequence[str]) -> tuple[Stage, ...]:
        """The stages: one stream of T spike frames for all tasks."""
        return (
            Stage("stream", Kind.ENCODE, Side.CAMERA, "spikes", Content.SPIKES),
            Stage("decoded", Kind.DECODE, Side.CLOUD, "stream", Content.SPIKES),
            Stage("features", Kind.EXTRACT, Side.CLOUD, "decoded"),
            *(Stage(f"result.{task}", Kind.ANALYZE, Side.CLOUD, "features", task=task) for task in tasks),
        )
