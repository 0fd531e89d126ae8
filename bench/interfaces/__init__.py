"""The contracts between the suite and its pluggable parts: one small abstract base per kind."""

from bench.interfaces.analyzer import Analyzer
from bench.interfaces.codec import (
    Codec,
    Compressed,
    Content,
    Decoded,
    Encoded,
    RatePoint,
    StreamInfo,
    from_uint8,
    pack_stream,
    to_uint8,
    unpack_stream,
)
from bench.interfaces.component import Availability, Component, Options, join_names, parse_spec, split_names
from bench.interfaces.condition import CodingCondition, ConditionCard, Structure
from bench.interfaces.dataset import Dataset, Recording, SequenceInfo
from bench.interfaces.extractor import Extractor
from bench.interfaces.paradigm import Kind, Paradigm, Side, Stage, check_wiring
from bench.interfaces.task import Task

__all__ = [
    "Analyzer",
    "Availability",
    "Codec",
    "CodingCondition",
    "Component",
    "Compressed",
    "ConditionCard",
    "Content",
    "Dataset",
    "Decoded",
    "Encoded",
    "Extractor",
    "Kind",
    "Options",
    "Paradigm",
    "RatePoint",
    "Recording",
    "SequenceInfo",
    "Side",
    "Stage",
    "StreamInfo",
    "Structure",
    "Task",
    "check_wiring",
    "from_uint8",
    "join_names",
    "pack_stream",
    "parse_spec",
    "split_names",
    "to_uint8",
    "unpack_stream",
]
