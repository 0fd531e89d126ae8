"""The options of a training, the same for the command line and Python."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from typer import Option

from bench.errors import BenchError

PRECISIONS = ("32", "bf16")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What `bench train` takes beside the component's name; each annotation has the option's help.

    Raises
    ------
    BenchError
        If two options contradict each other, or a value has no meaning.
    """

    preset: Annotated[str, Option(help="Preset to train: small or paper; the same as CODEC:preset=... .")] = ""
    data: Annotated[
        Path | None,
        Option(help="Folder of training photographs or videos, or vimeo_septuplet; without it, synthetic dead leaves."),
    ] = None
    validation: Annotated[
        Path | None,
        Option(help="The same for validation, of held-out ones; of vimeo_septuplet, the test list."),
    ] = None
    minutes: Annotated[
        float | None,
        Option(
            min=0.1,
            help="Time limit of each stage, without data and validation. Without --steps, also sets the number of "
            "steps, from the recipe's steps per minute on one core (60 minutes by default).",
        ),
    ] = None
    hours: Annotated[float | None, Option(min=0.01, help="The same in hours.")] = None
    steps: Annotated[
        int, Option(min=0, help="Number of steps of each stage; without --minutes, there is no time limit.")
    ] = 0
    samples: Annotated[int | None, Option(min=8, help="Number of simulated recordings for training (1600).")] = None
    seed: Annotated[int, Option(min=0, help="Seed for data, initial weights and noise.")] = 0
    out: Annotated[
        Path | None, Option(help="Folder of the training; by default train/CODEC or train/CODEC-VARIANT.")
    ] = None
    extractor: Annotated[
        str, Option(help="Extractor whose features dcvc or dcvc-dc is trained on; TFP by default.")
    ] = ""
    stage: Annotated[str, Option(help="Name of one training stage (docs/sci.md), or all in order.")] = "all"
    variant: Annotated[str, Option(help="Changes for an ablation, as key=value,key=value (docs/sci.md).")] = ""
    begin: Annotated[
        Path | None,
        Option(help="File of weights to start from; a smaller network grows, tensors of other names are left out."),
    ] = None
    resume: Annotated[bool, Option("--resume", help="Continue the training in the folder.")] = False
    batch: Annotated[
        int | None, Option(min=1, help="Items of a batch, over all devices together; by default the recipe's.")
    ] = None
    crop: Annotated[
        int | None, Option(min=16, max=128, help="Side of all frames in pixels, also in validation; a multiple of 16.")
    ] = None
    precision: Annotated[
        str, Option(help="32, or bf16: convolutions in bfloat16, faster where the processor has it (docs/training.md).")
    ] = "32"
    device: Annotated[str, Option(help="cpu or cuda.")] = "cpu"
    devices: Annotated[int, Option(min=1, help="Processes on this machine, each with a device of its own.")] = 1
    nodes: Annotated[int, Option(min=1, help="Machines, on each of which this command runs (docs/training.md).")] = 1
    accumulate: Annotated[
        int, Option(min=1, help="Turns in which a device computes its share of a batch, to save memory.")
    ] = 1
    checkpointing: Annotated[
        bool, Option("--checkpointing", help="Compute values inside frames twice instead of keeping them: less memory.")
    ] = False
    workers: Annotated[
        int | None,
        Option(min=0, help="Processes that make batches ahead of their step; by default 2 for a GPU, none for a CPU."),
    ] = None
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Also write the log for TensorBoard, into the folder's tensorboard/.")
    ] = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BenchError(f"--precision is {' or '.join(PRECISIONS)}, not {self.precision}")
        if self.crop and self.crop % 16:
            raise BenchError(f"--crop is a multiple of 16, not {self.crop}")
        if self.minutes and self.hours:
            raise BenchError("--minutes and --hours say the same: leave out one")

    @property
    def limit_minutes(self) -> float | None:
        """Time limit of a stage in minutes; None where none is stated."""
        return 60 * self.hours if self.hours else self.minutes

    def arguments(self) -> list[str]:
        """The command line that says the same."""
        said: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is True:
                said.append(f"--{field.name}")
            elif value != field.default:
                said.append(f"--{field.name}={value}")
        return said
