"""The paradigm interface: a graph of typed stages, each on the camera or in the cloud.

A paradigm's `wire` lists the stages from the spikes to the tasks' results; it runs nothing. `bench.chain.Chain` runs
the stages. For example, CAAS::

    def wire(self, tasks):
        return (
            Stage("features", Kind.EXTRACT, Side.CAMERA, "spikes"),
            Stage("stream", Kind.ENCODE, Side.CAMERA, "features", Content.FEATURES),
            Stage("decoded", Kind.DECODE, Side.CLOUD, "stream", Content.FEATURES),
            *(Stage(f"result.{task}", Kind.ANALYZE, Side.CLOUD, "decoded", task=task) for task in tasks),
        )
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bench.interfaces.component import Component
from bench.interfaces.container import Content


class Side(Enum):
    """Where a stage runs."""

    CAMERA = "camera"
    CLOUD = "cloud"


class Kind(Enum):
    """What a stage does."""

    EXTRACT = "extract"
    ANALYZE = "analyze"
    ENCODE = "encode"
    DECODE = "decode"


@dataclass(frozen=True)
class Stage:
    """One step of a paradigm.

    Attributes
    ----------
    output
        Name of the value that it computes; the result of a task is named ``result.<task>``.
    kind, side
        What it does, and where.
    source
        Name of the value that it reads: ``spikes``, or the output of an earlier stage.
    content
        For encode and decode: what the frames are.
    task
        For analyze: name of the task whose result it computes.
    """

    output: str
    kind: Kind
    side: Side
    source: str
    content: Content | None = None
    task: str = ""


class Paradigm(Component):
    """An order of extraction, analysis and coding (paper Fig. 2).

    To write one, subclass it, set `name`, and write `wire`. To publish it, register the class in the entry-point group
    ``bench.paradigms``.
    """

    @abstractmethod
    def wire(self, tasks: Sequence[str]) -> tuple[Stage, ...]:
        """List the stages from ``spikes`` to a ``result.<task>`` for each task, each after the one that it reads."""


# For each kind of stage, the types of value that it can read, and the type that it computes.
_TYPES = {
    Kind.EXTRACT: ({"spikes"}, "features"),
    Kind.ANALYZE: ({"features"}, "result"),
    Kind.ENCODE: ({"spikes", "features", "result"}, "bits"),
    Kind.DECODE: ({"bits"}, None),
}


def check_wiring(stages: Sequence[Stage], tasks: Sequence[str]) -> None:
    """Check that the types and sides of a paradigm's stages fit together.

    Raises
    ------
    ValueError
        If a stage reads a value that does not exist or has another type, if anything but bits crosses the link from
        camera to cloud, if anything goes back, or if a task has no result in the cloud.
    """
    types: dict[str, tuple[str, Side]] = {"spikes": ("spikes", Side.CAMERA)}
    for stage in stages:
        if stage.source not in types:
            raise ValueError(f"stage '{stage.output}' reads '{stage.source}' before it exists")
        source_type, source_side = types[stage.source]
        reads, makes = _TYPES[stage.kind]
        if source_type not in reads:
            raise ValueError(f"stage '{stage.output}' ({stage.kind.value}) cannot read {source_type}")
        crosses = source_side is not stage.side
        if crosses and (source_type != "bits" or stage.side is not Side.CLOUD):
            raise ValueError(f"stage '{stage.output}': only bits cross the link, from camera to cloud")
        if stage.kind in (Kind.ENCODE, Kind.DECODE) and stage.content is None:
            raise ValueError(f"stage '{stage.output}' does not say what it codes")
        if makes is None and stage.content is not None:
            makes = stage.content.value
        types[stage.output] = (str(makes), stage.side)
    for task in tasks:
        if types.get(f"result.{task}") != ("result", Side.CLOUD):
            raise ValueError(f"no result of task '{task}' reaches the cloud")
