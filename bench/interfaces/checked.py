"""Calls of components whose return values are checked and converted to the suite's own types.

Components of other authors may return NumPy scalars, lists, or arrays of another precision. A value that means the same
is converted; any other is a `BenchError` that names the component and its method. `Codec.encode` and `Codec.decode` do
the same for codecs.

An unexpected exception that a component raises before any job starts (availability, rate points, wiring, sequences,
fingerprint) becomes a `BenchError` with file and line. Within a job it is passed on.
"""

from __future__ import annotations

import math
import operator
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from bench.errors import BenchError
from bench.interfaces.analyzer import Analyzer
from bench.interfaces.codec import Codec
from bench.interfaces.component import Availability, Component
from bench.interfaces.container import Content, RatePoint
from bench.interfaces.dataset import Dataset, SequenceInfo
from bench.interfaces.extractor import Extractor
from bench.interfaces.paradigm import Paradigm, Stage, check_wiring
from bench.interfaces.task import Task
from bench.interfaces.values import as_array, plain, shape_text, wrong

T = TypeVar("T")


def availability(component: Component) -> Availability:
    """Ask a component whether it can run on this machine."""
    state = _asked(component, "available")
    if not isinstance(state, Availability):
        raise wrong(component, "available", "an Availability", state)
    texts = {key: str(value or "") for key, value in vars(state).items() if key != "ok"}
    return Availability(bool(state.ok), **texts)


def require(component: Component, kind: str = "") -> Availability:
    """Ask a component whether it can run on this machine, and refuse one that cannot.

    Parameters
    ----------
    kind
        Word before its name in the message, such as ``dataset``.

    Raises
    ------
    BenchError
        If it cannot; the message says why.
    """
    state = availability(component)
    if not state.ok:
        raise BenchError(f"{kind} {component.name}: {state.reason}".lstrip())
    return state


def rate_points(codec: Codec, content: Content) -> tuple[RatePoint, ...]:
    """A codec's default rate points for spikes, features or results, lowest rate first; at least one."""
    points = tuple(map(plain, _items(codec, "rate_points_for", content)))
    for point in points:
        if not isinstance(point, int | float | str):
            raise wrong(codec, "rate_points_for", "numbers or texts", point)
    if not points:
        raise BenchError(f"{codec.name}: rate_points_for gives no rate point for {content.value}")
    return points


def together(codec: Codec) -> int:
    """Most short segments that a codec takes at once; 1 where it takes one after another."""
    try:
        most = operator.index(codec.together)
    except TypeError:
        most = 0
    if most < 1:
        raise wrong(codec, "together", "a whole number from 1 on", codec.together)
    return most


def stages(paradigm: Paradigm, tasks: Sequence[str]) -> tuple[Stage, ...]:
    """A paradigm's stages for some tasks, checked by `check_wiring`."""
    wiring = _items(paradigm, "wire", tasks)
    for stage in wiring:
        if not isinstance(stage, Stage):
            raise wrong(paradigm, "wire", "Stages", stage)
    try:
        check_wiring(wiring, tasks)
    except ValueError as error:
        raise BenchError(f"{paradigm.name}: {error}") from None
    return wiring


def sequences(dataset: Dataset) -> list[SequenceInfo]:
    """A dataset's sequences; numbers are of Python's own types, and labels are indices into its classes."""
    infos = [_plain_info(dataset, info) for info in _items(dataset, "sequences")]
    labelled = [info for info in infos if info.label is not None]
    known = range(len(dataset.classes) if labelled else 0)
    for info in labelled:
        if info.label not in known:
            raise wrong(
                dataset, f"sequences: '{info.name}': label", f"an index of its {len(known)} classes", info.label
            )
    return infos


def _plain_info(dataset: Dataset, info: object) -> SequenceInfo:
    if not isinstance(info, SequenceInfo):
        raise wrong(dataset, "sequences", "SequenceInfos", info)

    def field(name: str, read: Callable[[Any], T], what: str) -> T:
        try:
            return read(getattr(info, name))
        except (TypeError, ValueError):
            raise wrong(dataset, f"sequences: '{info.name}': {name}", what, getattr(info, name)) from None

    if not isinstance(info.name, str) or not info.name:
        raise wrong(dataset, "sequences: name", "text", info.name)
    truth_at = None if info.truth_at is None else field("truth_at", _indices, "spike indices")
    label = None if info.label is None else field("label", operator.index, "a whole number")
    sizes = {name: field(name, operator.index, "a whole number") for name in ("height", "width", "num_spikes")}
    if min(sizes.values()) < 1:
        raise BenchError(f"{dataset.name}: sequences: '{info.name}' has no pixel or no spike frame: {sizes}")
    rate, speeds = field("rate", float, "a number"), field("speeds", _speeds, "pairs of a name and a number")
    velocity = None if info.velocity is None else field("velocity", _velocity, "two numbers, x and y")
    speed_class = field("speed_class", _speed_class, "low, high or empty")
    return replace(
        info, name=str(info.name), rate=rate, speeds=speeds, truth_at=truth_at, label=label, speed_class=speed_class,
        velocity=velocity,
        height=sizes["height"], width=sizes["width"], num_spikes=sizes["num_spikes"],
    )  # fmt: skip


def _indices(values: Iterable[Any]) -> tuple[int, ...]:
    return tuple(map(operator.index, values))


def _speeds(values: Iterable[Any]) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), float(speed)) for name, speed in values)


def _velocity(value: Iterable[Any]) -> tuple[float, float]:
    x, y = map(float, value)
    return x, y


def _speed_class(value: Any) -> Any:
    if value not in ("", "low", "high"):
        raise ValueError
    return str(value)


def fingerprint(dataset: Dataset, sequence: str) -> str:
    """A hash or name of a sequence's content. It must not be empty, or sequences would share results in the store."""
    name = _asked(dataset, "fingerprint", sequence)
    if not isinstance(name, str) or not name:
        raise wrong(dataset, "fingerprint", "text that names the content", name)
    return name


def spikes(dataset: Dataset, info: SequenceInfo, start: int, stop: int) -> np.ndarray:
    """Read spike frames start..stop-1 of a sequence, (stop - start) x H x W uint8 in {0, 1}."""
    frames = as_array(dataset, "spikes", dataset.open(info.name).spikes(start, stop))
    shape = (stop - start, info.height, info.width)
    if frames.shape != shape:
        raise wrong(dataset, "spikes", f"{shape_text(shape)} spikes", frames)
    if frames.min() < 0 or frames.max() > 1 or (frames.dtype.kind == "f" and not np.isin(frames, (0, 1)).all()):
        raise BenchError(
            f"{dataset.name}: spikes of '{info.name}' must be 0 or 1, not {frames.min():g} to {frames.max():g}"
        )
    return np.ascontiguousarray(frames, np.uint8)


def truth(dataset: Dataset, info: SequenceInfo, instants: Sequence[int]) -> np.ndarray:
    """Read a sequence's true luminance at K spike indices, K x H x W float32 in [0, 1]."""
    try:
        luminance = dataset.open(info.name).truth(instants)
    except LookupError as error:
        raise BenchError(f"{dataset.name}: '{info.name}' has no truth at {list(instants)}: {error}") from None
    return _frames(dataset, "truth", luminance, (len(instants), info.height, info.width))


def features(extractor: Extractor, spikes: np.ndarray, instants: Sequence[int] | np.ndarray, rate: float) -> np.ndarray:
    """Extract K x H x W float32 features in [0, 1]. The extractor gets copies, so it may change its input."""
    frames = extractor.extract(spikes.copy(), np.array(instants), rate)
    return _frames(extractor, "extract", frames, (len(instants), *spikes.shape[1:]))


def result(analyzer: Analyzer, features: np.ndarray, motion: np.ndarray | None = None) -> np.ndarray:
    """Analyze features: float32, for the task ``reconstruction`` K x H x W in [0, 1], else of any shape and finite.

    The analyzer gets copies, so it may change its input.
    """
    output = analyzer.analyze(features.copy(), None if motion is None else motion.copy())
    if analyzer.task == "reconstruction":
        return _frames(analyzer, "analyze", output, features.shape)
    array = np.ascontiguousarray(as_array(analyzer, "analyze", output), np.float32)
    if not np.isfinite(array).all():
        raise BenchError(f"{analyzer.name}: analyze must give finite numbers")
    return array


def measures(task: Task, result: np.ndarray, truth: np.ndarray, known: Iterable[str]) -> dict[str, Any]:
    """Judge a result: a task's measures by name, as Python numbers, texts or None.

    Parameters
    ----------
    result, truth
        As `Task.evaluate` takes them.
    known
        Columns of rd.csv that hold measures. The task may also fill its own `measures`.
    """
    own = {measure.name for measure in task.measures}
    values = task.evaluate(result, truth)
    if not isinstance(values, Mapping):
        raise wrong(task, "evaluate", "measures by name", values)
    known, told = sorted(own.union(known)), {str(name): plain(value) for name, value in values.items()}
    for name, value in told.items():
        if name not in known:
            raise BenchError(
                f"{task.name}: evaluate gives '{name}', which is neither a column for measures nor among the task's "
                f"`measures`: {', '.join(known)}"
            )
        if value is not None and not isinstance(value, int | float | str):
            raise wrong(task, f"evaluate: {name}", "a number", value)
        if name in own and value is not None and (isinstance(value, str) or not math.isfinite(value)):
            raise wrong(task, f"evaluate: {name}", "a finite number", value)
    return told


def _asked(component: Component, method: str, *arguments: object) -> Any:
    """Call a method before any job; an unexpected exception becomes one line with file and line number."""
    try:
        return getattr(component, method)(*arguments)
    except (BenchError, OSError, MemoryError):  # the command line prints these in one line
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename}, line {place.lineno}"
        raise BenchError(f"{component.name}: {method} raised {type(error).__name__}: {error} ({where})") from error


def _items(component: Component, method: str, *arguments: object) -> tuple[Any, ...]:
    values = _asked(component, method, *arguments)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise wrong(component, method, "several values", values)
    return tuple(values)


def _frames(component: Component, method: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    array = as_array(component, method, value)
    if array.shape != shape:
        raise wrong(component, method, f"{shape_text(shape)} frames", value)
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise BenchError(f"{component.name}: {method} must give values in [0, 1], not [{low:g}, {high:g}]")
    return np.ascontiguousarray(array, np.float32)
