"""What a package index and its readers get: links, hashes of weights, versions, one name to import, a whole sdist."""

import hashlib
import re
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

import bench

ROOT = Path(__file__).parents[1]


def test_the_weights_page_has_every_file_with_its_hash():
    stated = dict(
        re.findall(r"\| `(baselines/\S+)` \|.*\| `([0-9a-f]{64})` \|", (ROOT / "docs/weights.md").read_text())
    )
    files = {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (ROOT / "baselines").rglob("*.safetensors")
    }
    assert stated == {str(path.relative_to(ROOT)): sha256 for path, sha256 in files.items()}


def test_links_of_the_readme_are_addresses_once_it_is_published():
    published = runpy.run_path(str(ROOT / ".github" / "published.py"))
    text = published["absolute"]((ROOT / "README.md").read_text(), "https://host/owner/name", "v1")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert "https://host/owner/name/blob/v1/docs/architecture.md" in targets
    assert "https://host/owner/name/raw/v1/reports/paper/rd_s-motion.png" in targets
    assert all(target.startswith(("https://", "#")) for target in targets)
    for target in targets:
        path = re.sub(r"https://host/owner/name/(blob|raw)/v1/", "", target).partition("#")[0]
        assert (ROOT / path).exists(), target


def test_the_citation_is_of_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == bench.__version__


def test_the_package_has_one_name_to_import():
    code = "import spikebench, sys; print('numpy' in sys.modules); import bench; print(spikebench.run is bench.run)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "True"]
    done = subprocess.run([sys.executable, "-m", "spikebench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"spikebench {bench.__version__}\n"


@pytest.mark.slow
def test_an_sdist_is_whole(tmp_path):
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = [name for name in tracked.split("\0") if name and not name.startswith("reports/")]
    for name in names:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes((ROOT / name).read_bytes())
    build = "from setuptools.build_meta import build_sdist; build_sdist('..')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "source", check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    left_out = {name for name in names if name.startswith((".ci/", ".git"))} | {
        name for name in names if name.endswith(("curve.png", "log.csv"))
    }
    assert set(names) - inside == left_out
