"""``bench profile``: the cost of every stage of a chain on its side of the link (like the paper's Tables IX and X).

One sequence is profiled at one rate point. Each stage runs alone, in a process of its own:

- Seconds are the median of several runs after one warm-up, with their median absolute deviation.
- Peak memory is that of the process, torch included, plus that of an external encoder that it runs.
- Multiply-accumulates are counted while the stage runs; those of an external program cannot be counted.
- The cost of a codec's intra frame is that of a stream of one frame, the start-up of an external program included; the
  cost of an inter frame is what each further frame adds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from bench.chain import Chain, to_spikes
from bench.errors import BenchError
from bench.interfaces import (
    Codec,
    CodingCondition,
    Component,
    Dataset,
    Kind,
    RatePoint,
    Stage,
    checked,
)
from bench.rates import own_point
from bench.registry import create
from bench.results.tables import TableRow
from bench.runner.plan import coded_content, default_analyzer
from bench.runner.spec import RunSpec
from bench.tools import claim_process, leave, run_tool

PROFILE_FILE = "profile.csv"
SCHEMA = 1
_INTER = 8  # number of inter frames over which the cost of one is averaged
CONDITION = RunSpec(frames=1 + _INTER)
Number = float | None


class ProfileRow(TableRow):
    """One row of profile.csv: one stage of one chain, for one type of frame."""

    dataset: str = Field(description="Dataset with its non-default options.")
    sequence: str = Field(description="Sequence whose first segment was taken.")
    height: int = Field(description="H, pixels.")
    width: int = Field(description="W, pixels.")
    paradigm: str = Field(description="cta, atc or caas.")
    extractor: str = Field(description="Extractor with its non-default options.")
    analyzer: str = Field(description="Analyzer with its non-default options.")
    codec: str = Field(description="Codec with its non-default options.")
    rate_point: str = Field(description="The codec's rate point.")
    stage: Literal["extract", "analyze", "encode", "decode"] = Field(description="extract, analyze, encode or decode.")
    side: Literal["camera", "cloud"] = Field(description="camera or cloud.")
    frame: Literal["", "I", "P"] = Field(description="Type of coded frame; empty for extract and analyze.")
    frames_per_result: float = Field(description="Frames of this kind for each result: CTA codes many spike frames.")
    parameters: int | None = Field(default=None, description="Parameters that the stage used; empty where unknown.")
    macs: Number = Field(default=None, description="Multiply-accumulates a frame; empty for external programs.")
    not_counted: str = Field(default="", description="Operations not among the macs, with how often each ran.")
    bits: Number = Field(default=None, description="Bits a frame, for encode.")
    seconds: Number = Field(default=None, description="Seconds a frame, median of several runs of the stage alone.")
    spread: Number = Field(default=None, description="Its median absolute deviation, seconds.")
    peak_memory: int | None = Field(
        default=None, description="Bytes at the peak of the stage's process, plus those of a program that it runs."
    )
    threads: int | None = Field(default=None, description="Threads that torch had.")
    device: str = Field(default="", description="Device of the stage's networks.")
    status: Literal["ok", "failed", "skipped"] = Field(description="ok, failed or skipped.")
    reason: str = Field(default="", description="Why there are no figures.")


@dataclass(frozen=True)
class Profiled:
    """What to profile: a chain, a rate point and a sequence.

    Attributes
    ----------
    rate_point, sequence, analyzer
        Empty values stand for the codec's middle rate point, the dataset's first sequence and the extractor's analyzer.
    repeats
        Number of timed runs of each stage.
    """

    paradigm: str
    codec: str
    rate_point: RatePoint = ""
    dataset: str = "s-motion"
    sequence: str = ""
    extractor: str = "sci"
    analyzer: str = ""
    repeats: int = 5

    def create(self) -> Chain:
        """Create the chain."""
        return Chain(self.paradigm, self.codec, self.extractor, self.analyzer)


def profile_chains(chains: Sequence[Profiled], progress: Callable[[int, int, str], None]) -> list[ProfileRow]:
    """Profile chains one after the other; the machine should be idle.

    Returns
    -------
    The rows of all stages of all chains.

    Raises
    ------
    BenchError
        If a name is unknown or a codec is not available; this is checked before anything is measured.
    """
    complete = [_completed(chain) for chain in chains]
    rows: list[ProfileRow] = []
    for done, chain in enumerate(complete):
        progress(done, len(complete), f"{chain.paradigm} {chain.codec}")
        rows += _profile(chain)
    return rows


def _completed(chain: Profiled) -> Profiled:
    """The same with its empty values replaced by the defaults, after a check of all names."""
    codec, dataset = create(Codec, chain.codec), create(Dataset, chain.dataset)
    checked.require(codec)
    names = [info.name for info in checked.sequences(dataset)]
    if chain.sequence and chain.sequence not in names:
        raise BenchError(f"{dataset.name} has no sequence {chain.sequence} (it has: {', '.join(names[:10])})")
    content = coded_content(chain.paradigm, "reconstruction")
    points = checked.rate_points(codec, content)
    point = points[len(points) // 2] if chain.rate_point == "" else own_point(codec, content, chain.rate_point)
    codec.check_rate_point(point)
    return replace(
        chain,
        sequence=chain.sequence or names[0],
        analyzer=chain.analyzer or default_analyzer(chain.extractor, "reconstruction"),
        rate_point=point,
    )


def _profile(chain: Profiled) -> list[ProfileRow]:
    """Rows of one chain. A stage that fails gets a row with the reason, and is the last one."""
    dataset, pipeline = create(Dataset, chain.dataset), chain.create()
    info = next(info for info in checked.sequences(dataset) if info.name == chain.sequence)
    base = {
        "schema_version": SCHEMA, "dataset": dataset.spec, "sequence": info.name, "height": info.height,
        "width": info.width, "paradigm": chain.paradigm, "extractor": pipeline.extractor.spec,
        "analyzer": pipeline.analyzer.spec, "codec": pipeline.codec.spec, "rate_point": str(chain.rate_point),
    }  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for index, stage in enumerate(pipeline.stages):
            request = {**asdict(chain), "stage": index, "folder": folder}
            for figures in _measured(request, stage):
                rows.append(ProfileRow.model_validate({**base, **figures}))
            if rows[-1].status != "ok":
                break
    return rows


def _measured(request: dict[str, Any], stage: Stage) -> list[dict[str, Any]]:
    """Run a stage in a process of its own (`serve_stage`) and return the columns of its rows."""
    place = {"stage": stage.kind.value, "side": stage.side.value, "frame": "", "frames_per_result": 1}
    # -P: the process must not import modules that happen to lie in the working folder.
    command = [sys.executable, "-P", "-m", "bench.measure.profile"]
    try:
        output, _ = run_tool(command, stdin=json.dumps(request).encode(), limit_seconds=4 * 3600)
    except BenchError as error:
        return [{**place, "status": "failed", "reason": str(error)}]
    rows: list[dict[str, Any]] = json.loads(output.splitlines()[-1])
    return [{**place, "status": "ok", **row} for row in rows]


def serve_stage(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Profile one stage in this process, and leave the stage's output in a folder for the next stage.

    Parameters
    ----------
    request
        The fields of `Profiled`, ``stage`` (its index in the chain) and ``folder``.

    Returns
    -------
    Columns of the stage's rows: one row, or for a codec one for intra and one for inter frames.
    """
    folder, index = Path(request.pop("folder")), request.pop("stage")
    profiled = Profiled(**request)
    chain, repeats = profiled.create(), profiled.repeats
    stage, codec = chain.stages[index], chain.codec
    dataset = create(Dataset, profiled.dataset)
    info = next(info for info in checked.sequences(dataset) if info.name == profiled.sequence)
    num_spikes = CONDITION.num_spikes
    instants = CONDITION.sampling.instants(num_spikes)
    # CTA codes all spike frames, which are many for each result.
    count = num_spikes if chain.content.is_spikes else len(instants)

    def value() -> np.ndarray:
        if stage.source == "spikes":
            return checked.spikes(dataset, info, 0, num_spikes)
        return np.load(folder / f"{stage.source}.npy", allow_pickle=False)

    if stage.kind is Kind.ENCODE:
        frames = value().astype(np.float32)

        def encode(number: int) -> bytes:
            condition = codec.default_condition()
            return codec.encode(frames[:number], profiled.rate_point, condition, chain.content).stream

        rows = _codec_rows(encode, repeats, count, len(instants), _device(codec))
        streams = {number: encode(number) for number in {1, 1 + _INTER, count}}
        for number, stream in streams.items():
            (folder / f"{stage.output}-{number}").write_bytes(stream)
        rows[0]["bits"] = 8 * len(streams[1])
        rows[1]["bits"] = 8 * (len(streams[1 + _INTER]) - len(streams[1])) / _INTER
        return rows
    if stage.kind is Kind.DECODE:
        streams = {number: (folder / f"{stage.source}-{number}").read_bytes() for number in {1, 1 + _INTER, count}}
        rows = _codec_rows(lambda number: codec.decode(streams[number]), repeats, count, len(instants), _device(codec))
        decoded = codec.decode(streams[count])
        spikes = chain.content.is_spikes
        np.save(folder / f"{stage.output}.npy", to_spikes(decoded.frames) if spikes else decoded.frames)
        if decoded.motion is not None and not spikes:
            np.save(folder / "motion.npy", decoded.motion)
        return rows
    source, motion = value(), folder / "motion.npy"
    decoded_motion = np.load(motion, allow_pickle=False) if motion.exists() else None
    device = _device(chain.extractor if stage.kind is Kind.EXTRACT else chain.analyzer)
    cost, result = _run(lambda: chain.run(stage, instants, info.rate, source, decoded_motion), repeats, device)
    np.save(folder / f"{stage.output}.npy", result)
    return [_row(cost, cost, len(instants), device)]


def _device(part: Component) -> str:
    """The device of a part's networks, which its option `device` names; cpu for parts without networks."""
    return str(getattr(part.options, "device", "cpu"))


def _codec_rows(
    stage: Callable[[int], Any], repeats: int, count: int, results: int, device: str
) -> list[dict[str, Any]]:
    """The rows of a codec's stage, one for intra and one for inter frames.

    Parameters
    ----------
    stage
        Function that encodes or decodes so many frames.
    count, results
        Number of frames that the codec codes in all, and of results that they are for.
    """
    first, more = (_run(partial(stage, number), repeats, device)[0] for number in (1, 1 + _INTER))
    inter = replace(
        more,
        seconds=max(more.seconds - first.seconds, 0.0),
        macs=None if more.macs is None or first.macs is None else more.macs - first.macs,
    )
    period = CodingCondition().intra_period
    intra = -(-count // period) / results
    return [
        {"frame": "I", "frames_per_result": round(intra, 4), **_row(first, first, 1, device)},
        {"frame": "P", "frames_per_result": round(count / results - intra, 4), **_row(inter, more, _INTER, device)},
    ]


@dataclass(frozen=True)
class _Cost:
    """The cost of one run of a stage, in seconds and operations; macs and parameters are None where no network ran."""

    seconds: float
    spread: float
    macs: int | None
    parameters: int | None
    others: str


def _row(cost: _Cost, counted: _Cost, frames: int, device: str) -> dict[str, Any]:
    """Columns of a row: the cost of one frame, where `cost` is that of `frames` frames; parameters are of `counted`."""
    import torch

    return {
        "parameters": counted.parameters, "macs": None if cost.macs is None else cost.macs / frames,
        "not_counted": counted.others, "seconds": cost.seconds / frames, "spread": cost.spread / frames,
        "peak_memory": _peak(), "threads": torch.get_num_threads(), "device": device,
    }  # fmt: skip


class _Children(threading.Thread):
    """Thread that watches the memory of the programs that this process runs; `peak` is the largest peak, in bytes.

    The kernel's own figure for ended children is of no use: it includes the memory that this process had when it
    started them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        own = Path("/proc/self/exe").resolve()
        while True:
            for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split():
                with contextlib.suppress(OSError, ValueError):
                    if Path(f"/proc/{number}/exe").resolve() != own:
                        self.peak = max(self.peak, _high_water(number))
            time.sleep(0.01)


def _high_water(process: str) -> int:
    """Peak memory of a process in bytes; 0 for one that has ended."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


_children = _Children()


def _peak() -> int | None:
    """Peak memory in bytes of this process plus that of a program that it ran; None on systems without /proc."""
    try:
        return _high_water("self") + _children.peak
    except OSError:
        return None


def _seconds(stage: Callable[[], Any], device: str) -> float:
    """Seconds of one run. On a GPU, the time between two events of its own, so that all work is included."""
    import torch

    if device == "cpu":
        began = time.perf_counter()
        stage()
        return time.perf_counter() - began
    events = [
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    ]
    events[0].record()
    stage()
    events[1].record()
    events[1].synchronize()
    return float(events[0].elapsed_time(events[1])) / 1000


def _run(stage: Callable[[], Any], repeats: int, device: str) -> tuple[_Cost, Any]:
    """Cost and output of a stage: a first run counts operations and warms up, further ones are timed."""
    import torch

    from bench.complexity import watch

    sizes: dict[int, int] = {}

    def note(module: torch.nn.Module, *_: Any) -> None:
        sizes.update({id(parameter): parameter.numel() for parameter in module.parameters(recurse=False)})

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    with watch() as counts:
        result = stage()
    hook.remove()
    seconds = [_seconds(stage, device) for _ in range(repeats)]
    middle = statistics.median(seconds)
    spread = statistics.median(abs(value - middle) for value in seconds)
    networks = bool(counts.macs)
    others = " ".join(f"{name}:{times}" for name, times in counts.others.most_common()) if networks else ""
    macs, parameters = (counts.macs, sum(sizes.values())) if networks else (None, None)
    return _Cost(middle, spread, macs, parameters, others), result


def main() -> None:
    """Main function of a stage's process: reads the request from standard input and prints the rows, both as JSON."""
    claim_process()
    signal.signal(signal.SIGTERM, leave)
    if Path("/proc/self/status").exists():
        _children.start()
    try:
        print(json.dumps(serve_stage(json.load(sys.stdin))))
    except (BenchError, ValidationError) as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
