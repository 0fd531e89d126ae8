"""The conformance kit: checks of the rules that every codec must follow, for ``bench conform``."""

from __future__ import annotations

import inspect
import itertools
import math
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np

from bench.errors import BenchError, one_line
from bench.interfaces import Codec, CodingCondition, Content, Encoded, RatePoint, pack_stream, unpack_stream
from bench.interfaces.checked import availability, rate_points, together
from bench.runner.decode import close_server, decode_fresh

# (K, H, W): one pixel, one frame, odd sides, and sides that are no multiples of a codec's blocks.
SHAPES = ((1, 1, 1), (1, 7, 13), (2, 33, 65), (2, 130, 200), (17, 16, 16))
_CONDITIONS = (CodingCondition(), CodingCondition(structure="random_access"))
# The causality check changes all frames from these on: right after the first intra frame, within the second group of
# eight, and right after the second intra frame.
_CUTS = (1, 10, 17)
# (K, H, W) of frames that are decoded once for every damage, and of those that are coded at every rate point, in which
# headers must not outweigh the rest. Networks of the paper's size take seconds for each frame.
_SMALL, _LARGE = (3, 32, 40), (3, 128, 128)
# Variables from which numeric libraries read their number of threads, when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Result:
    """Name of a check, and what went wrong; empty if nothing did."""

    check: str
    problem: str = ""


def conform(codec: Codec) -> Iterator[Result]:
    """Run all checks on a codec and yield a result for each; if the codec is unavailable, only for the first one."""
    checks: list[tuple[str, Callable[[Codec], str]]] = [
        ("available", _available),
        ("odd sizes, one frame, all zero, all one", _sizes),
        ("encoding twice gives the same bytes", _encodes_again),
        ("decoding twice gives the same frames", _decodes_again),
        ("a fresh process decodes the same frames", _fresh_process),
        ("truncated streams are errors", _truncated),
        ("flipped bytes are errors", _flipped),
        ("a damaged payload with a right checksum never gives frames of another shape", _payload),
        ("rate is monotone in the rate point", _monotone),
        ("the stream alone is enough, and nothing is left beside it", _alone),
        ("other numbers of threads decode the same frames", _threads),
        ("later frames change nothing before them", _causal),
        ("segments of a batch are coded as each alone", _batched),
        ("wrong rate points and frames are refused", _refuses),
    ]
    told: list[str] = []
    for name, check in checks:
        try:
            problem = check(codec)
        except (Exception, SystemExit) as error:  # a codec that is being written may raise anything
            problem = _told(error, codec, told)
        yield Result(name, problem)
        if name == "available" and problem:
            return


def _told(error: BaseException, codec: Codec, before: list[str]) -> str:
    """Text for an error, with file and line if it is unexpected; shortened if it was already reported (`before`)."""
    text = str(error) if isinstance(error, BenchError) else one_line(f"{type(error).__name__}: {error}")
    unexpected: BaseException | None = error
    while isinstance(unexpected, BenchError):
        unexpected = unexpected.__cause__
    place = f" ({_place(unexpected, codec)})" if unexpected else ""
    if any(text in earlier for earlier in before):
        return f"{type(unexpected).__name__} as above{place}" if unexpected else "as above"
    before.append(text)
    return text + place


def _place(error: BaseException, codec: Codec) -> str:
    """File and line of an error: the innermost call in the codec's own files, or else the innermost of all."""
    files, calls = _sources(codec), traceback.extract_tb(error.__traceback__)
    last = ([call for call in calls if call.filename in files] or calls)[-1]
    return f"{last.filename}:{last.lineno}"


def _sources(codec: Codec) -> set[str]:
    """Source files of a codec's class and its base classes, without those of `bench`."""
    kinds = [kind for kind in type(codec).__mro__ if kind.__module__ not in ("builtins", "abc")]
    files = {inspect.getsourcefile(kind) for kind in kinds if not kind.__module__.startswith("bench.")}
    return {file for file in files if file}


def sample(codec: Codec, shape: tuple[int, int, int] = (9, 64, 72), seed: int = 0) -> np.ndarray:
    """Draw frames that the codec takes: a smooth texture in motion, or spikes of it if the codec takes only spikes.

    Parameters
    ----------
    shape
        (K, H, W).
    seed
        Seeds the noise, and the spikes.

    Returns
    -------
    numpy.ndarray
        K x H x W float32 in [0, 1], or in {0, 1} for spikes.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : shape[1], 0 : shape[2]]
    frames = np.empty(shape, np.float32)
    for k, frame in enumerate(frames):
        wave = np.sin((rows + 2 * k) / 7) + np.cos((columns - k) / 5) + np.sin((rows + columns) / 11)
        frame[:] = np.clip(0.5 + wave / 6 + 0.02 * random.standard_normal(frame.shape), 0, 1)
    if _content(codec).is_spikes:
        return (frames > random.random(shape)).astype(np.float32)
    return frames


def _content(codec: Codec) -> Content:
    return Content.FEATURES if "frames" in codec.accepts else Content.SPIKES


def _points(codec: Codec) -> tuple[RatePoint, ...]:
    return rate_points(codec, _content(codec))


def _encode(
    codec: Codec, frames: np.ndarray, point: RatePoint | None = None, condition: CodingCondition | None = None
) -> Encoded:
    rate_point = _points(codec)[-1] if point is None else point
    return codec.encode(frames, rate_point, condition or codec.default_condition(), _content(codec))


def _refused(codec: Codec, condition: CodingCondition) -> bool:
    try:
        codec.check_condition(condition)
    except BenchError:
        return True
    return False


def _available(codec: Codec) -> str:
    return availability(codec).reason


def _sizes(codec: Codec) -> str:
    for shape in SHAPES:
        for kind, frames in (
            ("textured", sample(codec, shape)),
            ("all-zero", np.zeros(shape, np.float32)),
            ("all-one", np.ones(shape, np.float32)),
        ):
            try:
                decoded = codec.decode(_encode(codec, frames).stream).frames
            except BenchError as error:
                raise BenchError(f"{kind} frames of {shape}: {error}") from error
            if decoded.shape != shape or decoded.dtype != np.float32:
                return f"{kind} frames of {shape} decode to {decoded.dtype} {decoded.shape}"
            if not (decoded.min() >= 0 and decoded.max() <= 1):
                return f"{kind} frames of {shape} decode to values outside [0, 1]"
            if kind != "textured" and np.abs(decoded - frames).mean() > 0.1:
                return f"{kind} frames of {shape} come back as something else"
    return ""


def _encodes_again(codec: Codec) -> str:
    frames = sample(codec)
    streams = {_encode(codec, frames).stream for _ in range(2)}
    return "" if len(streams) == 1 else "two encodings of the same frames differ"


def _decodes_again(codec: Codec) -> str:
    stream = _encode(codec, sample(codec)).stream
    hashes = {codec.decode(stream).sha256 for _ in range(2)}
    return "" if len(hashes) == 1 else "two decodings of the same stream differ"


def _fresh_process(codec: Codec) -> str:
    stream = _encode(codec, sample(codec)).stream
    return "" if _fresh(codec, stream) == codec.decode(stream).sha256 else "a fresh process decodes other frames"


def _fresh(codec: Codec, stream: bytes) -> str:
    """Decode a stream in a new process, and return the SHA-256 of the frames."""
    with tempfile.TemporaryDirectory() as folder:
        return decode_fresh(stream, Path(folder), codec.origin)[1]


def _threads(codec: Codec) -> str:
    """With other numbers of threads, numeric libraries sum in another order; the decoded frames must not change."""
    stream = _encode(codec, sample(codec)).stream
    usual = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count())
    other = "3" if usual == "1" else "1"

    def decode() -> str:
        try:
            return _fresh(codec, stream)
        finally:
            close_server()

    # Each thread has a decoding server of its own. A new one reads the number of threads when it starts.
    # Threads that wait do not spin, which takes most of the time where there are fewer cores than threads.
    settings = {**dict.fromkeys(_THREADS, other), "OMP_WAIT_POLICY": "PASSIVE"}
    with mock.patch.dict(os.environ, settings), ThreadPoolExecutor(1) as pool:
        sha256 = pool.submit(decode).result()
    return "" if sha256 == _fresh(codec, stream) else f"{other} threads decode other frames than {usual}"


def _truncated(codec: Codec) -> str:
    stream = _encode(codec, sample(codec)).stream
    cuts = {0, 1, 4, 8, len(stream) // 2, len(stream) - 1}
    return _none_decode(codec, [stream[:cut] for cut in sorted(cuts)])


def _flipped(codec: Codec, count: int = 64) -> str:
    stream = _encode(codec, sample(codec)).stream
    random = np.random.default_rng(0)
    damaged = []
    for position in random.integers(0, len(stream), count):
        copy = bytearray(stream)
        copy[position] ^= int(random.integers(1, 256))
        damaged.append(bytes(copy))
    return _none_decode(codec, damaged)


def _none_decode(codec: Codec, streams: list[bytes]) -> str:
    for stream in streams:
        try:
            codec.decode(stream)
        except BenchError:
            continue
        return f"a damaged stream of {len(stream)} bytes decodes without an error"
    return ""


def _payload(codec: Codec, count: int = 16) -> str:
    """A damaged payload with a valid checksum may decode to wrong frames, but not crash or change the shape."""
    frames = sample(codec, _SMALL)
    info, payload = unpack_stream(_encode(codec, frames).stream)
    random = np.random.default_rng(1)
    for position in random.integers(0, len(payload), count) if payload else ():
        copy = bytearray(payload)
        copy[position] ^= int(random.integers(1, 256))
        try:
            decoded = codec.decode(pack_stream(info, bytes(copy))).frames
        except BenchError:
            continue
        if decoded.shape != frames.shape:
            return f"damage at byte {position} changes the shape to {decoded.shape}"
    return _other_shape(codec)


def _other_shape(codec: Codec) -> str:
    """A payload must not decode to one frame more than it has; in very few frames a lossless codec cannot know."""
    info, payload = unpack_stream(_encode(codec, sample(codec)).stream)
    count, height, width = info.shape
    return _none_decode(codec, [pack_stream(replace(info, shape=(count + 1, height, width)), payload)])


def _monotone(codec: Codec) -> str:
    frames = sample(codec, _LARGE)
    sizes = [len(_encode(codec, frames, point).stream) for point in _points(codec)]
    if any(later <= earlier for earlier, later in pairwise(sizes)):
        pairs = ", ".join(f"{point}: {size}" for point, size in zip(_points(codec), sizes, strict=True))
        return f"bytes do not rise from one rate point to the next ({pairs})"
    return ""


def _alone(codec: Codec) -> str:
    """All information is in the stream: decoding needs neither files of the encoder nor its state."""
    places = {Path.cwd(), *(Path(file).parent for file in _sources(codec))}
    places.discard(Path(tempfile.gettempdir()).resolve())  # other programs write there too
    before = set().union(*map(_names, places))
    with _temporary_folder() as folder:
        stream = _encode(codec, sample(codec)).stream
        usual = _fresh(codec, stream)
        _encode(codec, sample(codec)[::-1].copy())
        left = set().union(*map(_names, places | {folder})) - before
    if left:
        return f"encoding leaves {min(left)}, which is not counted"
    with _temporary_folder():
        return "" if _fresh(codec, stream) == usual else "a stream decodes to other frames after another was coded"


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Redirect temporary files of this process and its children to a new folder, which is removed at the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"TMPDIR": folder}),
        mock.patch.object(tempfile, "tempdir", folder),
    ):
        yield Path(folder)


def _names(folder: Path) -> set[str]:
    """Paths in a folder, except hidden files and Python's caches."""
    return {str(path) for path in folder.iterdir() if not path.name.startswith((".", "__pycache__"))}


def _causal(codec: Codec) -> str:
    """Under each condition, a change of later frames does not change earlier ones, except within the stated look-ahead.

    The later frames change twice: to another scene, and to the same scene with other noise. A temporal filter ignores
    frames that differ too much, so the first change alone would not reveal it.
    """
    for condition in _CONDITIONS:
        ahead = codec.lookahead(condition)
        if _refused(codec, condition) or math.isinf(ahead):
            continue
        cuts = [int(ahead) + cut for cut in (_CUTS if not ahead else _CUTS[-1:])]
        shape = (cuts[-1] + 2, 32, 40)
        first, again = sample(codec, shape), sample(codec, shape, seed=1)
        before = codec.decode(_encode(codec, first, condition=condition).stream).frames
        for cut, later in itertools.product(cuts, (again, 1 - again)):
            changed = np.concatenate([first[:cut], later[cut:]])
            after = codec.decode(_encode(codec, changed, condition=condition).stream).frames
            if differing := [k for k in range(cut - int(ahead)) if not np.array_equal(before[k], after[k])]:
                return (
                    f"{condition.structure}: frame {differing[0]} decodes differently when frames from {cut} on change "
                    f"(the codec states a look-ahead of {ahead:g} frames)"
                )
    return ""


def _batched(codec: Codec) -> str:
    """Of a codec that takes several segments at once (`Codec.together`), also with different rate points."""
    most = together(codec)
    if most < 2:
        return ""
    first, other = sample(codec, (5, 32, 40)), sample(codec, (5, 32, 40), seed=1)
    segments = [first, np.repeat(other[:1], 5, 0), other[::-1].copy()][:most]
    points = [_points(codec)[place] for place in (-1, 0, -1)][:most]
    alone = [_encode(codec, frames, point) for frames, point in zip(segments, points, strict=True)]
    batch = codec.encode_all(segments, points, codec.default_condition(), _content(codec))
    if [encoded.stream for encoded in batch] != [encoded.stream for encoded in alone]:
        return "segments that are encoded in a batch give other streams than each alone"
    decoded = codec.decode_all([encoded.stream for encoded in batch])
    if [one.sha256 for one in decoded] != [codec.decode(encoded.stream).sha256 for encoded in alone]:
        return "streams that are decoded in a batch give other frames than each alone"
    return ""


def _refuses(codec: Codec) -> str:
    good = sample(codec)
    bad: list[tuple[str, np.ndarray, RatePoint]] = [
        ("an unknown rate point", good, "no-such-point"),
        ("float64 frames", good.astype(np.float64), _points(codec)[-1]),
        ("frames above 1", good + np.float32(1.5), _points(codec)[-1]),
        ("NaN frames", np.full_like(good, np.nan), _points(codec)[-1]),
        ("no frames", good[:0], _points(codec)[-1]),
    ]
    for what, frames, point in bad:
        try:
            codec.encode(frames, point, codec.default_condition(), _content(codec))
        except BenchError:
            continue
        return f"{what}: accepted"
    return ""
