"""s-reds: REDS-based spikes with the truth of one instant, published in the spikezoo wheel on PyPI.

``bench data get s-reds`` downloads the wheel without installing it (16 MB, MIT licence), checks its SHA-256 and unpacks
the recordings into the user's cache. They have 250 x 400 pixels (H x W) and 301 spike frames. The picture named
``key_id151`` is the luminance at spike frame 150, as its name counts from 1.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from bench.datasets._pypi import checked, download
from bench.errors import BenchError
from bench.files import cache_root
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.interfaces import Availability, ComponentOptions, Dataset, Recording, SequenceInfo
from bench.paths import listed
from bench.pictures import luminance, read_grey
from bench.spikes import read_dat

WHEEL = "spikezoo-0.2.3.7-py3-none-any.whl"
SHA256 = "4dc7cb47e09f061e8023a3092de3b1bf937a72be32700547d9ed27089551e855"
_INSIDE = "spikezoo/data/base/"
_MEMBER = re.compile(_INSIDE + r"(test|train)/(gt/\w+\.png|spike/\w+\.dat)")
_HEIGHT, _WIDTH, _TRUTH_AT = 250, 400, 150


class SReds(Dataset):
    """REDS-based recordings; by default those of the test split."""

    name = "s-reds"

    class Options(ComponentOptions):
        """Options: split, and the camera's spikes per frame of unit luminance."""

        split: Literal["test", "train"] = "test"
        """Part of the set."""
        rate: float = Field(default=0.6, gt=0, le=1)
        """Spikes per frame at unit luminance."""

    def available(self) -> Availability:
        """Whether the recordings are in the cache."""
        if self._names():
            return Availability(True, "spikezoo 0.2.3.7", SHA256)
        return Availability(False, reason="not in the cache; run `bench data get s-reds`")

    def prepare(self, source: Path | None = None) -> str:
        """Download the wheel, or take the file `source`; check its SHA-256 and unpack the recordings into the cache."""
        folder = _folder()
        if self._names():
            return f"s-reds: already in {folder}"
        with tempfile.TemporaryDirectory() as scratch:
            requirement = "==".join(WHEEL.split("-")[:2])
            wheel = checked(source or download(requirement, WHEEL, SHA256, Path(scratch)), SHA256)
            count = _unpack(wheel, folder)
        return f"s-reds: unpacked {count} files of {WHEEL} (SHA-256 checked) into {folder}"

    def sequences(self) -> list[SequenceInfo]:
        """Recordings that have both spikes and a truth."""
        names = self._names()
        if not names:
            raise BenchError("s-reds is not in the cache; run `bench data get s-reds`")
        return [self._info(name) for name in names]

    def fingerprint(self, name: str) -> str:
        """Hash of the spikes, the truth, and the code that reads them."""
        spikes, truth = self._paths(name)
        return digest([file_sha256(spikes), file_sha256(truth), code_fingerprint(__name__)])

    def open(self, name: str) -> Recording:
        """Memory-map one recording."""
        if name not in self._names():
            raise BenchError(f"s-reds has no sequence '{name}' (it has: {', '.join(self._names())})")
        return _RedsRecording(*self._paths(name))

    def _names(self) -> list[str]:
        folder = _folder() / self.options.split / "spike"
        spikes = listed(folder, (".dat",)) if folder.is_dir() else []
        return [path.stem for path in spikes if self._paths(path.stem)[1].is_file()]

    def _paths(self, name: str) -> tuple[Path, Path]:
        base = _folder() / self.options.split
        return base / "spike" / f"{name}.dat", base / "gt" / f"{name}.png"

    def _info(self, name: str) -> SequenceInfo:
        count = len(read_dat(self._paths(name)[0], _HEIGHT, _WIDTH))
        return SequenceInfo(name, _HEIGHT, _WIDTH, count, self.options.rate, truth_at=(_TRUTH_AT,))


class _RedsRecording(Recording):
    def __init__(self, spikes: Path, truth: Path) -> None:
        self._spikes = read_dat(spikes, _HEIGHT, _WIDTH)
        self._truth = truth

    def spikes(self, start: int, stop: int) -> np.ndarray:
        return self._spikes[start:stop]

    def truth(self, instants: Sequence[int]) -> np.ndarray:
        if any(instant != _TRUTH_AT for instant in instants):
            raise LookupError(f"truth exists at {_TRUTH_AT} only")
        picture = luminance(read_grey(self._truth))
        return np.repeat(picture[None], len(instants), axis=0)


def _folder() -> Path:
    return cache_root() / "data" / "s-reds"


def _unpack(wheel: Path, folder: Path) -> int:
    """Unpack only the recordings and truths, into a new folder that is renamed to `folder` once it is complete.

    Returns their number.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if _MEMBER.fullmatch(name)]
        for member in members:
            target = Path(scratch, "new", member.removeprefix(_INSIDE))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))
        Path(scratch, "new").rename(folder)
    return len(members)
