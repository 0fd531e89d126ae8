"""The analysis of a stream's decoded frames: its container states it, or else the user does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.chain import PICTURES
from bench.errors import BenchError, StreamError
from bench.interfaces import Analyzer, Content, Extractor, StreamInfo, Task, weights_digest
from bench.interfaces.values import stated_weights
from bench.registry import create, part_for_stream
from bench.sampling import Sampling

# For streams that do not state their analysis: the options that it depends on, and those of them without a default.
_MATTER = {
    Content.SPIKES: ("extractor", "spike_rate", "analyzer", "stride", "margin"),
    Content.FEATURES: ("extractor", "analyzer"),
    Content.RESULT: (),
}
_NEEDED = ("extractor", "spike_rate")


@dataclass(frozen=True)
class StatedChain:
    """The parts of a stream's chain that the user states; those that are empty or None are taken from the stream.

    Attributes
    ----------
    extractor, analyzer
        Specs on this machine.
    spike_rate
        Spikes per frame that unit luminance fires.
    stride, margin
        See `bench.sampling.Sampling`.
    """

    extractor: str = ""
    analyzer: str = ""
    spike_rate: float | None = None
    stride: int | None = None
    margin: int | None = None


@dataclass(frozen=True)
class Analysis:
    """The analysis of decoded frames.

    Attributes
    ----------
    content
        What the frames are.
    extractor, analyzer
        The extractor runs only where the frames are spikes.
    spike_rate, sampling
        Spikes per frame that unit luminance fires, and the coding instants; only spikes need them.
    """

    content: Content
    extractor: Extractor
    analyzer: Analyzer
    spike_rate: float
    sampling: Sampling

    def __str__(self) -> str:
        analyzed = f"analyzed by {self.analyzer.spec}"
        if not self.content.is_spikes:
            return analyzed
        return (
            f"features by {self.extractor.spec} every {self.sampling.stride} from {self.sampling.margin} on, rate "
            f"{self.spike_rate:g}, {analyzed}"
        )


def analyzer_for_pictures(extractor: Extractor, spec: str = "") -> Analyzer:
    """Create the analyzer that a spec names, by default the extractor's own.

    Raises
    ------
    BenchError
        If the spec is wrong, or the analyzer's results are no pictures.
    """
    pictures = create(Task, PICTURES)
    analyzer = create(Analyzer, spec or pictures.analyzer_for(extractor))
    pictures.check_analyzer(analyzer)
    return analyzer


def analysis_of(path: Path, info: StreamInfo, stated: StatedChain) -> Analysis | None:
    """The analysis of a stream; None where its frames are results already.

    Parameters
    ----------
    path
        The stream's file, for messages.
    info
        The stream's header.
    stated
        What the user states.

    Raises
    ------
    BenchError
        If the user contradicts the stream, or must state what it does not.
    StreamError
        If the stream's extractor or analyzer is not installed, or has other weights here.
    """
    _check_stated(path, info, stated)
    chain, content = info.chain, info.content
    if content is Content.RESULT and not (stated.extractor or stated.analyzer):
        return None
    if chain is None:
        extractor = create(Extractor, stated.extractor)
        return Analysis(
            content,
            extractor,
            analyzer_for_pictures(extractor, stated.analyzer),
            1.0 if stated.spike_rate is None else stated.spike_rate,
            Sampling(**{key: value for key in ("stride", "margin") if (value := getattr(stated, key)) is not None}),
        )
    extractor = part_for_stream(Extractor, chain.extractor, stated.extractor)
    analyzer = analyzer_for_pictures(extractor)
    if chain.analyzer or stated.analyzer:
        analyzer = part_for_stream(Analyzer, chain.analyzer or analyzer.spec, stated.analyzer)
        create(Task, PICTURES).check_analyzer(analyzer)
    here = weights_digest(stated_weights(extractor), stated_weights(analyzer))
    if here != chain.weights:
        parts = f"extractor {extractor.spec} and analyzer {analyzer.spec}"
        raise StreamError(
            f"{path} states other weights of {parts} ({chain.weights.hex() or 'none'}, here {here.hex() or 'none'}): "
            "give those weights with --extractor or --analyzer, or use --raw"
        )
    if content is Content.RESULT:
        return None
    return Analysis(content, extractor, analyzer, chain.spike_rate or 1.0, Sampling(chain.stride, chain.margin))


def _check_stated(path: Path, info: StreamInfo, stated: StatedChain) -> None:
    """Refuse options that contradict the stream or do not matter for it, and the lack of those that it needs.

    Extractor and analyzer are compared when they are created.
    """
    chain, content = info.chain, info.content
    stated_options = {key: value for key, value in vars(stated).items() if value not in ("", None)}
    missing = [key for key in _NEEDED if key in _MATTER[content] and key not in stated_options]
    if chain is None and missing:
        options = " and ".join(map(_option, missing))
        raise BenchError(
            f"{path} holds {content.value} and does not say how they are analyzed: give {options}, or use --raw"
        )
    for key, value in stated_options.items():
        in_stream = None if chain is None else getattr(chain, key)
        if in_stream is None and key not in _MATTER[content]:
            raise BenchError(f"{path} holds {content.value}, to which {_option(key)} does not apply: omit it")
        if in_stream is not None and key not in ("extractor", "analyzer") and value != in_stream:
            raise BenchError(f"{path} states {key.replace('_', ' ')} {in_stream:g}, not {value:g}: omit {_option(key)}")


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"
