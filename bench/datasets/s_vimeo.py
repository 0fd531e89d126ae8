"""s-vimeo: the paper's S-VIMEO (section V-A), simulated from the septuplets of Vimeo-90K.

``root`` is the unpacked ``vimeo_septuplet`` folder: ``sequences/00001/0001/im1.png`` to ``im7.png`` and so on, with
``sep_trainlist.txt`` and ``sep_testlist.txt``. The seven frames of a septuplet lie ``factor`` spike frames apart, with
linear interpolation between them. A factor of 48 gives 289 spike frames, the length of a segment by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from bench.datasets._simulated import InterpolatedRecording
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.interfaces import Availability, ComponentOptions, Dataset, SequenceInfo
from bench.paths import read_user_text, user_path
from bench.pictures import read_grey, read_same

_FRAMES = 7

Split = Literal["test", "train"]


def septuplet_list(root: Path, split: Split) -> Path:
    """File of a vimeo_septuplet folder that names the septuplets of a part of the set."""
    return root / f"sep_{split}list.txt"


def septuplet_names(path: Path) -> list[str]:
    """Names of the septuplets of a list, such as ``00001/0001``, in its order.

    Raises
    ------
    BenchError
        If it cannot be read, or a line is no such name.
    """
    names = read_user_text(path).split()
    for name in names:
        folder, _, clip = name.partition("/")
        if not (folder.isdigit() and clip.isdigit()):
            raise BenchError(f"{path}: '{name}' is not of the form 00001/0001")
    return names


def septuplet_pictures(folder: Path) -> list[Path]:
    """The seven pictures of a septuplet's folder, in their order."""
    return [folder / f"im{index}.png" for index in range(1, _FRAMES + 1)]


class SVimeo(Dataset):
    """The septuplets of a list, training or test, as spike sequences; their names are like ``00001-0001``."""

    name = "s-vimeo"
    keep = True

    class Options(ComponentOptions):
        """Options: folder; list; spike frames per frame; spikes per frame of unit luminance and noise of the camera."""

        root: str = Field(exclude=True)
        """A vimeo_septuplet folder."""
        split: Split = "test"
        """Part of the set."""
        factor: int = Field(default=48, ge=1)
        """Spike frames from one picture to the next."""
        rate: float = Field(default=0.6, gt=0, le=1)
        """Spikes per frame at unit luminance."""
        noise: float = Field(default=0.0, ge=0)
        """Noise of the simulated camera."""

    def available(self) -> Availability:
        """Whether the file of the split's list exists."""
        if self._list().is_file():
            return Availability(True)
        return Availability(False, reason=f"{self._list()} does not exist; root must be a vimeo_septuplet folder")

    def sequences(self) -> list[SequenceInfo]:
        """The septuplets of the list, in its order."""
        return [self._info(name) for name in self._names()]

    def fingerprint(self, name: str) -> str:
        """Hash of the seven frames, the options, and the code that reads them."""
        options = self.options.model_dump(exclude={"root", "split"})
        frames = [file_sha256(path) for path in self._files(name)]
        return digest([frames, name, options, code_fingerprint(__name__)])

    def open(self, name: str) -> InterpolatedRecording:
        """Read the seven frames; the digits of the name are the seed of the camera."""
        if name not in self._names():
            raise BenchError(f"s-vimeo: '{name}' is not in {self._list()}")
        seed = int(name.replace("-", ""))
        options = self.options
        return InterpolatedRecording(self._frames(name), options.factor, options.rate, options.noise, seed)

    def _list(self) -> Path:
        return septuplet_list(user_path(self.options.root), self.options.split)

    def _names(self) -> list[str]:
        return [name.replace("/", "-") for name in septuplet_names(self._list())]

    def _files(self, name: str) -> list[Path]:
        return septuplet_pictures(user_path(self.options.root).joinpath("sequences", *name.split("-")))

    def _frames(self, name: str) -> np.ndarray:
        files = self._files(name)
        frames = read_same(files, files[0].parent)
        return frames[:, :, : frames.shape[2] // 8 * 8]

    def _info(self, name: str) -> SequenceInfo:
        files = self._files(name)
        missing = [path for path in files if not path.is_file()]
        if missing:
            raise BenchError(f"{missing[0]} does not exist, though {self._list().name} names it")
        height, width = read_grey(files[0]).shape
        num_spikes = (_FRAMES - 1) * self.options.factor + 1
        return SequenceInfo(name, height, width // 8 * 8, num_spikes, self.options.rate, truth_at=None)
