"""The wheel has all that the main job needs, and not what training left beside the weights."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("reports/", "results/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_leaves_out_logs_and_curves(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "baselines/sci/weights/small.safetensors" in names
    assert "bench/published/sci.csv" in names
    assert any(name.startswith("bench/suites/") for name in names)
    assert not [name for name in names if name.endswith((".png", "log.csv"))]
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/", "results/", "reports/"))]


def test_the_main_job_runs_from_the_wheel_alone(wheel, tmp_path):
    installed = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", installed, wheel]
    subprocess.run(command, check=True)
    environment = {**os.environ, "PYTHONPATH": str(installed), "BENCH_CACHE": str(tmp_path / "cache")}
    (tmp_path / "elsewhere").mkdir()

    def run(*arguments):
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import bench, baselines; print(bench.__file__, baselines.__path__)").count(str(installed)) >= 2
    said = run(
        "-c",
        "from bench.cli.program import main; main()",
        "run",
        "--paradigm",
        "caas",
        "--codec",
        "sci",
        "--limit",
        "1",
        "--frames",
        "4",
    )
    assert "4 ok" in said
    assert (tmp_path / "elsewhere" / "results" / "caas_sci_s-motion" / "rd.csv").is_file()
