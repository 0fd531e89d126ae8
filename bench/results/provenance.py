"""The facts on which a run's figures depend: code, machine, packages, command."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.version import __version__

# Packages whose versions are recorded.
PACKAGES = (
    "bjontegaard", "constriction", "imageio-ffmpeg", "numpy", "scikit-image", "scipy", "torch", "torchmetrics",
    "zstandard",
)  # fmt: skip


def provenance(command: str = "") -> dict[str, Any]:
    """Facts about this machine and this code: an entry of run.json's ``provenance`` (docs/results.md).

    Parameters
    ----------
    command
        The user's command line; empty for a call from Python.
    """
    return {
        "suite": __version__,
        "git_commit": git_commit(),
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def git_commit() -> str:
    """Commit of the suite's checkout, with ``+changes`` where its code was edited since; empty outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", "bench", "baselines", "paradigms")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    process = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
    )
    return process.stdout.strip()


def _processor() -> str:
    """The processor's name: Linux states it in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
