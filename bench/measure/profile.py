"""``bench profile``: what every stage of a chain costs on its side of the link (the paper's Tables IX and X in kind).

One sequence at one rate point. Each stage runs in a process of its own that has imported what it needs, torch included:
peak memory is that process's and, where it runs an external encoder, that one's too. Seconds are the exclusive lane's:
one warm-up, repeats, median and median absolute deviation. Of a codec, an intra frame is a recording of one frame, an
inter frame what each further one adds; start-up of an external program is the intra frame's. Multiply-accumulates are
counted while the stage really runs; an external program's cannot be.
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
_INTER = 8  # inter frames after an intra frame that a codec's figures are averaged over
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
    frame: Literal["", "I", "P"] = Field(description="Type of coded frame; empty for stages that know none.")
    frames_per_result: float = Field(description="Frames of this kind for each result: CTA codes many spike frames.")
    parameters: int | None = Field(default=None, description="Parameters that the stage used; empty where unknown.")
    macs: Number = Field(default=None, description="Multiply-accumulates a frame; empty for external programs.")
    not_counted: str = Field(default="", description="Operations not among the macs, with how often each ran.")
    bits: Number = Field(default=None, description="Bits a frame, for encode.")
    seconds: Number = Field(default=None, description="Seconds a frame, median of the exclusive lane.")
    spread: Number = Field(default=None, description="Its median absolute deviation, seconds.")
    peak_memory: int | None = Field(
        default=None, description="Bytes at the peak of a process that did this alone, and of a program that it ran."
    )
    threads: int | None = Field(default=None, description="Threads that torch had.")
    device: str = Field(default="", description="Device of the stage's networks.")
    status: Literal["ok", "failed", "skipped"] = Field(description="ok, failed or skipped.")
    reason: str = Field(default="", description="Why there are no figures.")


@dataclass(frozen=True)
class Profiled:
    """What is profiled; by default the codec's middle rate point, the first sequence, the extractor's analyzer."""

    paradigm: str
    codec: str
    rate_point: RatePoint = ""
    dataset: str = "s-motion"
    sequence: str = ""
    extractor: str = "sci"
    analyzer: str = ""
    repeats: int = 5

    def made(self) -> Chain:
        """The chain itself."""
        return Chain(self.paradigm, self.codec, self.extractor, self.analyzer)


def profile_chains(chains: Sequence[Profiled], progress: Callable[[int, int, str], None]) -> list[ProfileRow]:
    """Rows of chains, one after the other; run it on an idle machine.

    Raises
    ------
    BenchError
        If a name is unknown or a codec is not available; nothing has been measured then.
    """
    ready = [_ready(chain) for chain in chains]
    rows: list[ProfileRow] = []
    for done, chain in enumerate(ready):
        progress(done, len(ready), f"{chain.paradigm} {chain.codec}")
        rows += _profile(chain)
    return rows


def _ready(chain: Profiled) -> Profiled:
    """A chain with everything named."""
    codec, dataset = create(Codec, chain.codec), create(Dataset, chain.dataset)
    state = checked.availability(codec)
    if not state.ok:
        raise BenchError(f"{codec.name}: {state.reason}")
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
    """Rows of one chain; a stage that fails has a row with the reason."""
    dataset, ready = create(Dataset, chain.dataset), chain.made()
    info = next(info for info in checked.sequences(dataset) if info.name == chain.sequence)
    base = {
        "schema_version": SCHEMA, "dataset": dataset.spec, "sequence": info.name, "height": info.height,
        "width": info.width, "paradigm": chain.paradigm, "extractor": ready.extractor.spec,
        "analyzer": ready.analyzer.spec, "codec": ready.codec.spec, "rate_point": str(chain.rate_point),
    }  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for index, stage in enumerate(ready.stages):
            request = {**asdict(chain), "stage": index, "folder": folder}
            for found in _measured(request, stage):
                rows.append(ProfileRow.model_validate({**base, **found}))
            if rows[-1].status != "ok":
                break
    return rows


def _measured(request: dict[str, Any], stage: Stage) -> list[dict[str, Any]]:
    """A stage in a process of its own, which leaves its output for the next stage in the folder."""
    place = {"stage": stage.kind.value, "side": stage.side.value, "frame": "", "frames_per_result": 1}
    # -P: the working folder is no place to import from.
    command = [sys.executable, "-P", "-m", "bench.measure.profile"]
    try:
        output, _ = run_tool(command, stdin=json.dumps(request).encode(), limit_seconds=4 * 3600)
    except BenchError as error:
        return [{**place, "status": "failed", "reason": str(error)}]
    found: list[dict[str, Any]] = json.loads(output.splitlines()[-1])
    return [{**place, "status": "ok", **row} for row in found]


def serve_stage(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What the process of one stage does: rows of it, and its output in the folder for the next stage."""
    folder, index = Path(request.pop("folder")), request.pop("stage")
    profiled = Profiled(**request)
    chain, repeats = profiled.made(), profiled.repeats
    stage, codec = chain.stages[index], chain.codec
    dataset = create(Dataset, profiled.dataset)
    info = next(info for info in checked.sequences(dataset) if info.name == profiled.sequence)
    num_spikes = CONDITION.num_spikes
    instants = CONDITION.sampling.instants(num_spikes)
    # Under CTA many frames are coded for each result.
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

        rows = _coded(encode, repeats, count, len(instants), _device(codec))
        streams = {number: encode(number) for number in {1, 1 + _INTER, count}}
        for number, stream in streams.items():
            (folder / f"{stage.output}-{number}").write_bytes(stream)
        rows[0]["bits"] = 8 * len(streams[1])
        rows[1]["bits"] = 8 * (len(streams[1 + _INTER]) - len(streams[1])) / _INTER
        return rows
    if stage.kind is Kind.DECODE:
        streams = {number: (folder / f"{stage.source}-{number}").read_bytes() for number in {1, 1 + _INTER, count}}
        rows = _coded(lambda number: codec.decode(streams[number]), repeats, count, len(instants), _device(codec))
        decoded = codec.decode(streams[count])
        spikes = chain.content.is_spikes
        np.save(folder / f"{stage.output}.npy", to_spikes(decoded.frames) if spikes else decoded.frames)
        if decoded.motion is not None and not spikes:
            np.save(folder / "motion.npy", decoded.motion)
        return rows
    source, motion = value(), folder / "motion.npy"
    known = np.load(motion, allow_pickle=False) if motion.exists() else None
    device = _device(chain.extractor if stage.kind is Kind.EXTRACT else chain.analyzer)
    found, result = _run(lambda: chain.run(stage, instants, info.rate, source, known), repeats, device)
    np.save(folder / f"{stage.output}.npy", result)
    return [_row(found, found, len(instants), device)]


def _device(part: Component) -> str:
    """Where a part's networks run: what its option says."""
    return str(getattr(part.options, "device", "cpu"))


def _coded(stage: Callable[[int], Any], repeats: int, count: int, results: int, device: str) -> list[dict[str, Any]]:
    """An intra frame and an inter frame of a codec's stage, from one frame and from several."""
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
class _Found:
    """What running a stage came to; macs and parameters are None where no network ran."""

    seconds: float
    spread: float
    macs: int | None
    parameters: int | None
    others: str


def _row(found: _Found, counted: _Found, frames: int, device: str) -> dict[str, Any]:
    """Figures of one frame of several."""
    import torch

    return {
        "parameters": counted.parameters, "macs": None if found.macs is None else found.macs / frames,
        "not_counted": counted.others, "seconds": found.seconds / frames, "spread": found.spread / frames,
        "peak_memory": _peak(), "threads": torch.get_num_threads(), "device": device,
    }  # fmt: skip


class _Children(threading.Thread):
    """Watches how much memory the programs that this process runs take: the largest peak of any of them.

    The kernel's own figure for ended children counts what this process had when it started them.
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
    """Bytes at a process's peak, 0 for one that has ended."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


_children = _Children()


def _peak() -> int | None:
    """Bytes at this process's peak and at that of a program that it ran; none where there is no /proc."""
    try:
        return _high_water("self") + _children.peak
    except OSError:
        return None


def _seconds(stage: Callable[[], Any], device: str) -> float:
    """Of one run; on a GPU between two of its own events, which wait for all that was started there."""
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


def _run(stage: Callable[[], Any], repeats: int, device: str) -> tuple[_Found, Any]:
    """Once counted, which warms up, then timed."""
    import torch

    from bench.complexity import watch

    used: dict[int, int] = {}

    def note(module: torch.nn.Module, *_: Any) -> None:
        used.update({id(parameter): parameter.numel() for parameter in module.parameters(recurse=False)})

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    with watch() as found:
        result = stage()
    hook.remove()
    seconds = [_seconds(stage, device) for _ in range(repeats)]
    middle = statistics.median(seconds)
    spread = statistics.median(abs(value - middle) for value in seconds)
    networks = bool(found.macs)
    others = " ".join(f"{name}:{times}" for name, times in found.others.most_common()) if networks else ""
    macs, parameters = (found.macs, sum(used.values())) if networks else (None, None)
    return _Found(middle, spread, macs, parameters, others), result


def main() -> None:
    """Be the process of the stage that standard input names."""
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
