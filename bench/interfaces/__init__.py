"""The interfaces of the suite's components: one abstract base class for each kind."""

from bench.interfaces.analyzer import Analyzer
from bench.interfaces.codec import Codec, Compressed, Decoded, Encoded, from_uint8, to_uint8
from bench.interfaces.component import Availability, Component, ComponentOptions, join_names, parse_spec, split_names
from bench.interfaces.condition import CodingCondition, ConditionCard, Structure
from bench.interfaces.container import (
    AnalysisChain,
    Content,
    RatePoint,
    StreamInfo,
    pack_stream,
    unpack_stream,
    weights_digest,
)
from bench.interfaces.dataset import Dataset, Recording, SequenceInfo
from bench.interfaces.extractor import Extractor
from bench.interfaces.measure import Measure
from bench.interfaces.paradigm import Kind, Paradigm, Side, Stage, check_wiring
from bench.interfaces.task import Task

__all__ = [
    "AnalysisChain",
    "Analyzer",
    "Availability",
    "Codec",
    "CodingCondition",
    "Component",
    "ComponentOptions",
    "Compressed",
    "ConditionCard",
    "Content",
    "Dataset",
    "Decoded",
    "Encoded",
    "Extractor",
    "Kind",
    "Measure",
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
    "weights_digest",
]
