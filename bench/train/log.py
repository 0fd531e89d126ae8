"""The log of a training: rows of a CSV file, TensorBoard's events, and a plot."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from bench.errors import BenchError

LOG, CURVE, EVENTS = "log.csv", "curve.png", "tensorboard"
_STEPS = "steps"  # key of the number of steps among the sums


class Log:
    """The log of a training: a CSV row with the means of every `every` steps.

    Parameters
    ----------
    file
        The CSV file; None for a process that writes nothing.
    logged
        Names of the values in a row, beside the loss.
    sums
        Sums of the figures since the last row, and the number of steps: those of a checkpoint.
    fresh
        Whether the file gets a header.
    events
        TensorBoard's writer (`event_writer`); None without.
    """

    every = 20

    def __init__(
        self, file: IO[str] | None, logged: Sequence[str], sums: dict[str, float], fresh: bool, events: Any = None
    ) -> None:
        self._logged, self._file, self._events = ("loss", *logged), file, events
        if file is not None:
            self._writer = csv.DictWriter(file, ("step", *self._logged), extrasaction="ignore")
            if fresh:
                self._writer.writeheader()
        self.sums = sums
        self.label = ""

    def add(self, step: int, facts: Mapping[str, float]) -> None:
        """Add the figures of a step, and write a row after every `every` steps."""
        for name, value in {**facts, _STEPS: 1.0}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if (step + 1) % self.every == 0:
            means = {name: value / self.sums[_STEPS] for name, value in self.sums.items()}
            if self._file is not None:
                self._writer.writerow({"step": step + 1, **{name: f"{means[name]:.5g}" for name in self._logged}})
                self._file.flush()
            if self._events is not None:
                for name in self._logged:
                    self._events.add_scalar(name, means[name], step + 1)
            self.label = ", ".join(f"{name} {means[name]:.4g}" for name in self._logged)
            self.sums = {}


def event_writer(folder: Path, step: int) -> Any:
    """A writer of TensorBoard's events, which hides those after a step that a resumed training makes again.

    Raises
    ------
    BenchError
        If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise BenchError("--tensorboard needs the package tensorboard: pip install -e '.[tensorboard]'") from None
    return SummaryWriter(str(folder / EVENTS), purge_step=step + 1)


def cut_log(path: Path, step: int) -> None:
    """Remove the rows that were logged after this step."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if int(row["step"]) <= step]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(rows)


def draw_curve(folder: Path, title: str) -> None:
    """Plot loss, rate and quality from the log over the steps."""
    from matplotlib.figure import Figure

    with (folder / LOG).open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    labels = {"bpp": "bits per coded pixel", "psnr": "PSNR, dB", "warp": "PSNR of warped features, dB"}
    names = [name for name in rows[0] if name != "step"] if rows else []
    for axis, name in zip(figure.subplots(1, 3), names, strict=False):
        axis.plot([row["step"] for row in rows], [row[name] for row in rows], linewidth=0.8)
        axis.set_xlabel("step")
        axis.set_ylabel(labels.get(name, name))
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(folder / CURVE, dpi=100)
