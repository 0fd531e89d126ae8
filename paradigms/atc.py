"""ATC, analyze-then-compress (paper Fig. 2b): each task's result is coded."""

from __future__ import annotations

from collections.abc import Sequence

from bench.interfaces import Content, Kind, Paradigm, Side, Stage


class AnalyzeThenCompress(Paradigm):
    """spikes -> extract -> analyze -> encode | link | decode."""

    name = "atc"

    def wire(self, tasks: Sequence[str]) -> tuple[Stage, ...]:
        """The stages: for each task one stream of K result frames."""
        stages = [Stage("features", Kind.EXTRACT, Side.CAMERA, "spikes")]
        for task in tasks:
            stages += [
                Stage(f"analyzed.{task}", Kind.ANALYZE, Side.CAMERA, "features", task=task),
                Stage(f"stream.{task}", Kind.ENCODE, Side.CAMERA, f"analyzed.{task}", Content.RESULT),
                Stage(f"result.{task}", Kind.DECODE, Side.CLOUD, f"stream.{task}", Content.RESULT),
            ]
        return tuple(stages)
