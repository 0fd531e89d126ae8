"""dat: a user's own recordings.

``root`` is one .dat file or a folder of them. The size comes from the option ``size`` (WIDTHxHEIGHT) or from a
sidecar beside the recording, ``<name>.json``::

    {"width": 400, "height": 250, "rate": 0.6, "speed_class": "high", "truth": {"150": "truth/150.png"}}

Only width and height are required. ``truth`` maps spike indices to pictures of the luminance, relative to the
sidecar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.datasets._files import read_grey
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.interfaces import Availability, ComponentOptions, Dataset, Recording, SequenceInfo
from bench.spikes import read_dat


class Sidecar(BaseModel):
    """What a sidecar may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    rate: float = Field(default=1.0, gt=0)
    speed_class: Literal["", "low", "high"] = ""
    truth: dict[int, str] = Field(default_factory=dict)


class Dat(Dataset):
    """Recordings in .dat files, memory-mapped: a file may be larger than memory."""

    name = "dat"

    class Options(ComponentOptions):
        """Options: where the recordings are; size and rate where there is no sidecar."""

        root: str = Field(exclude=True)
        size: str = Field(default="", pattern=r"^(\d+x\d+)?$")
        rate: float = Field(default=1.0, gt=0)

    def available(self) -> Availability:
        """Whether the root exists."""
        if Path(self.options.root).exists():
            return Availability(True)
        return Availability(False, reason=f"{self.options.root} does not exist")

    def sequences(self) -> list[SequenceInfo]:
        """All recordings, by name."""
        return [self._info(path) for path in self._files()]

    def fingerprint(self, name: str) -> str:
        """Hashes of the recording and its truth pictures, the sidecar, and the code that reads them."""
        path = self._file(name)
        sidecar = self._sidecar(path)
        truths = [file_sha256(picture) for picture in _truth_files(path, sidecar).values()]
        return digest([file_sha256(path), truths, sidecar.model_dump(), code_fingerprint(__name__)])

    def open(self, name: str) -> Recording:
        """Map one recording."""
        path = self._file(name)
        return _DatRecording(path, self._sidecar(path))

    def _file(self, name: str) -> Path:
        for path in self._files():
            if path.stem == name:
                return path
        raise BenchError(f"{self.options.root} has no recording '{name}.dat'")

    def _files(self) -> list[Path]:
        root = Path(self.options.root)
        files = [root] if root.is_file() else sorted(path for path in root.glob("*.dat") if path.is_file())
        if not files:
            raise BenchError(f"{root}: no .dat file" if root.exists() else f"{root} does not exist")
        return files

    def _sidecar(self, path: Path) -> Sidecar:
        sidecar = path.with_suffix(".json")
        if sidecar.is_file():
            try:
                return Sidecar.model_validate_json(sidecar.read_bytes())
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"])) or "file"
                raise BenchError(f"{sidecar}: {where}: {first['msg']}") from None
        size = re.fullmatch(r"(\d+)x(\d+)", self.options.size)
        if size is None:
            raise BenchError(f"{path}: its size is unknown; give size=WIDTHxHEIGHT or write {sidecar.name} beside it")
        return Sidecar(width=int(size[1]), height=int(size[2]), rate=self.options.rate)

    def _info(self, path: Path) -> SequenceInfo:
        sidecar = self._sidecar(path)
        packed = read_dat(path, sidecar.height, sidecar.width)
        outside = [instant for instant in sidecar.truth if not 0 <= instant < len(packed)]
        if outside:
            raise BenchError(f"{path.with_suffix('.json')}: truth at {outside[0]}, but T = {len(packed)}")
        return SequenceInfo(
            path.stem,
            sidecar.height,
            sidecar.width,
            len(packed),
            sidecar.rate,
            sidecar.speed_class,
            truth_at=tuple(_truth_files(path, sidecar)),
        )


def _truth_files(recording: Path, sidecar: Sidecar) -> dict[int, Path]:
    """Truth pictures by spike index; they lie in the sidecar's folder or below."""
    folder = recording.parent.resolve()
    files = {instant: (folder / file).resolve() for instant, file in sorted(sidecar.truth.items())}
    for path in files.values():
        if not path.is_relative_to(folder):
            raise BenchError(f"{recording.with_suffix('.json')}: truth {path} lies outside {folder}")
        if not path.is_file():
            raise BenchError(f"{recording.with_suffix('.json')}: truth {path} does not exist")
    return files


class _DatRecording(Recording):
    def __init__(self, path: Path, sidecar: Sidecar) -> None:
        self._packed = read_dat(path, sidecar.height, sidecar.width)
        self._truth = _truth_files(path, sidecar)

    def spikes(self, start: int, stop: int) -> np.ndarray:
        return self._packed[start:stop]

    def truth(self, instants: Sequence[int]) -> np.ndarray:
        shape = self._packed.shape[1:]
        pictures = []
        for instant in instants:
            path = self._truth[instant]
            picture = read_grey(path)
            if picture.shape != shape:
                raise BenchError(f"{path}: {picture.shape[::-1]} pixels where the recording has {shape[::-1]}")
            pictures.append(picture.astype(np.float32) / 255)
        return np.stack(pictures)
