"""The paradigm interface: a wiring of typed stages, each on the camera or in the cloud.

A paradigm is data, not a script: `wire` lists the stages between the spikes and the tasks' results, and the
runner runs them, keeps what they share and books what they cost to their side. CAAS, for one::

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
    """One step: its output's name, what it does, where, and the name of the value it reads.

    Attributes
    ----------
    output
        Name of the value it makes; results are named ``result.<task>``.
    content
        For encode and decode: what the frames are.
    task
        For analyze: whose result it is.
    """

    output: str
    kind: Kind
    side: Side
    source: str
    content: Content | None = None
    task: str = ""


class Paradigm(Component):
    """An order of the three stages (paper Fig. 2); entry points, group ``bench.paradigms``."""

    @abstractmethod
    def wire(self, tasks: Sequence[str]) -> tuple[Stage, ...]:
        """The stages from ``spikes`` to one ``result.<task>`` for each task, in an order that can run."""


# What each kind of stage reads and makes, by value type.
_TYPES = {
    Kind.EXTRACT: ({"spikes"}, "features"),
    Kind.ANALYZE: ({"features"}, "result"),
    Kind.ENCODE: ({"spikes", "features", "result"}, "bits"),
    Kind.DECODE: ({"bits"}, None),
}


def check_wiring(stages: Sequence[Stage], tasks: Sequence[str]) -> None:
    """Refuse a graph whose types or sides do not fit.

    Raises
    ------
    ValueError
        If a stage reads a value that is not there or of another type, a value returns from the cloud to the
        camera, only something other than bits crosses the link, or a task has no result in the cloud.
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
