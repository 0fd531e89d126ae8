"""``bench complexity``: parameters and multiply-accumulates of a codec's networks, for networks.csv."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench.complexity import PUBLISHED_SIZE, Counted, count
from bench.errors import BenchError
from bench.interfaces.workload import HasWorkload
from bench.registry import create_trained
from bench.results.tables import TableRow

NETWORKS_FILE = "networks.csv"


class NetworkRow(TableRow):
    """One row of networks.csv: one part of a codec, or of the extractor or analyzer that belongs to it."""

    codec: str = Field(pattern=r"^\w", description="Codec with its non-default options.")
    width: int = Field(description="W, pixels.")
    height: int = Field(description="H, pixels.")
    part: str = Field(description="The part of the codec that the line counts.")
    side: str = Field(description="camera, cloud or both.")
    frame: Literal["", "I", "P"] = Field(description="Type of coded frame; empty for parts that do not depend on it.")
    parameters: int = Field(description="Parameters of the part's modules that it uses.")
    macs: int = Field(description="Multiply-accumulates a frame.")
    table: str = Field(default="", description="The paper's table that has figures for this part.")
    published_parameters: int | None = Field(default=None, description="The paper's parameters.")
    published_macs: int | None = Field(default=None, description="The paper's figure, which is for 256x256 alone.")
    not_counted: str = Field(default="", description="Operations not among the macs, with how often each ran.")


def count_networks(codec: str, preset: str, width: int, height: int) -> list[NetworkRow]:
    """Count parameters and multiply-accumulates of a codec's parts; no weights are needed.

    Parameters
    ----------
    codec
        Spec of the codec.
    preset
        Preset to count instead of the spec's; empty for none.
    width, height
        Size of a frame in pixels.

    Raises
    ------
    BenchError
        If the codec is unknown, is not one of the suite's networks, or has no such preset.
    """
    model = create_trained(codec)
    if not isinstance(model, HasWorkload):
        raise BenchError(
            f"{model.name} is not one of the suite's networks, only those are counted; its time is in rd.csv"
        )
    if preset:
        model = type(model)(**{**model.options.model_dump(), "preset": preset})
    return [_row(model.spec, width, height, part) for part in count(model.workload((height, width)))]


def _row(spec: str, width: int, height: int, part: Counted) -> NetworkRow:
    """The row of a part. The published multiply-accumulates are stated only at the size that they hold for."""
    parameters, macs = part.published
    if (width, height) != PUBLISHED_SIZE:
        macs = None
    return NetworkRow(
        schema_version=1,
        codec=spec,
        width=width,
        height=height,
        part=part.part,
        side=part.side,
        frame=part.frame,  # type: ignore[arg-type]
        parameters=part.parameters,
        macs=part.macs,
        table=part.table,
        published_parameters=None if parameters is None else round(parameters * 1e6),
        published_macs=None if macs is None else round(macs * 1e9),
        not_counted=" ".join(f"{name}:{times}" for name, times in part.uncounted.items()),
    )
