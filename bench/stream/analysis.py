"""What is made of a stream's decoded frames: as its container says, or where it does not, as its user does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.chain import PICTURES
from bench.errors import BenchError, StreamError
from bench.interfaces import Analyzer, Content, Extractor, StreamInfo, Task, weights_digest
from bench.registry import create, part_for_stream
from bench.sampling import Sampling

# Which options have a part in the analysis of a stream that does not say how it is analyzed; results need none.
_MATTER = {
    Content.SPIKES: ("extractor", "spike_rate", "analyzer", "stride", "margin"),
    Content.FEATURES: ("extractor", "analyzer"),
    Content.RESULT: (),
}
_NEEDED = ("extractor", "spike_rate")


@dataclass(frozen=True)
class StatedChain:
    """What a user says of a stream's chain; empty or None for what the stream is to say itself."""

    extractor: str = ""
    analyzer: str = ""
    spike_rate: float | None = None
    stride: int | None = None
    margin: int | None = None


@dataclass(frozen=True)
class Analysis:
    """What follows decoding; rate and instants matter for spikes alone."""

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
    """The analyzer that a spec names, by default the extractor's own.

    Raises
    ------
    BenchError
        If its results are no pictures.
    """
    pictures = create(Task, PICTURES)
    analyzer = create(Analyzer, spec or pictures.analyzer_for(extractor))
    pictures.check_analyzer(analyzer)
    return analyzer


def analysis_of(path: Path, info: StreamInfo, stated: StatedChain) -> Analysis | None:
    """The analysis that a stream asks for; None where nothing is left to do, since its frames are results.

    Raises
    ------
    BenchError
        If the user contradicts the stream, or has to say what it does not.
    StreamError
        If what the stream asks for is not here, or has other weights.
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
    here = weights_digest(extractor.weights_sha256, analyzer.weights_sha256)
    if here != chain.weights:
        parts = f"extractor {extractor.spec} and analyzer {analyzer.spec}"
        raise StreamError(
            f"{path} states other weights of {parts} ({chain.weights.hex() or 'none'}, here {here.hex() or 'none'}): "
            "name theirs in --extractor or --analyzer, or take --raw"
        )
    if content is Content.RESULT:
        return None
    return Analysis(content, extractor, analyzer, chain.spike_rate or 1.0, Sampling(chain.stride, chain.margin))


def _check_stated(path: Path, info: StreamInfo, stated: StatedChain) -> None:
    """Refuse what contradicts the stream or has no part in its analysis, and ask for what it does not say.

    Extractor and analyzer are compared when they are made.
    """
    chain, content = info.chain, info.content
    given = {key: value for key, value in vars(stated).items() if value not in ("", None)}
    missing = [key for key in _NEEDED if key in _MATTER[content] and key not in given]
    if chain is None and missing:
        options = " and ".join(map(_option, missing))
        raise BenchError(
            f"{path} holds {content.value} and does not say how they are analyzed: state {options}, or take --raw"
        )
    for key, value in given.items():
        in_stream = None if chain is None else getattr(chain, key)
        if in_stream is None and key not in _MATTER[content]:
            raise BenchError(f"{path} holds {content.value}: {_option(key)} has no part in decoding it, leave it away")
        if in_stream is not None and key not in ("extractor", "analyzer") and value != in_stream:
            raise BenchError(
                f"{path} states {key.replace('_', ' ')} {in_stream:g}, not {value:g}: leave {_option(key)} away"
            )


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"
