import subprocess
import sys

import numpy as np
import pytest

import bench
from bench.interfaces import Content, RatePoint
from bench.results.rows import COLUMNS
from tests.conftest import TINY

# As a notebook would have it: a class of no module, which refers to what the session imported.
CODEC = """
import zlib

import numpy as np

import bench


@bench.register
class Deflate(bench.Codec):
    '''zlib, as ten lines of a session.'''

    name = "session-deflate"
    rate_points = (1, 9)

    def compress(self, frames, rate_point, condition):
        return zlib.compress(np.rint(255 * frames).astype(np.uint8).tobytes(), rate_point)

    def decompress(self, payload, info):
        levels = np.frombuffer(zlib.decompress(payload), np.uint8).reshape(info.shape)
        return levels.astype(np.float32) / np.float32(255)
"""
GRID = {"datasets": TINY, "paradigms": "caas", "extractors": "tfp", "limit": 1, "frames": 3, "figures": False}


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Runs code as a session of its own, with its cache and working folder here; gives what it prints."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def run(code):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_a_codec_of_the_session_is_measured_like_any_other(session):
    lines = session(
        CODEC
        + f"GRID = {GRID}"
        + """
done = bench.run(codecs=[{"codec": "session-deflate"}, "ffv1"], out="run", **GRID)
print(done)
print(done.rows[["codec", "rate_point", "status", "bits"]].to_csv(index=False, lineterminator=";"))
chain = bench.Chain("caas", "session-deflate", "tfp")
print(chain)
print(bench.list_components("codecs").set_index("name").loc["session-deflate", "about"])
"""
    ).splitlines()
    assert lines[0] == "<Run run: 3 ok>"
    rows = [line.split(",") for line in lines[1].split(";")[1:] if line]
    assert [row[:3] for row in rows] == [
        ["session-deflate", "1", "ok"], ["session-deflate", "9", "ok"], ["ffv1", "lossless", "ok"],
    ]  # fmt: skip
    assert len({row[3] for row in rows}) == 3
    assert lines[2:] == ["<Chain: caas session-deflate tfp identity>", "zlib, as ten lines of a session."]


def test_a_class_that_is_written_anew_is_measured_anew(session):
    """Fingerprints are those of the class, not of the session that it lies in."""
    out = session(
        CODEC
        + """
from bench.fingerprint import component_fingerprint
first = component_fingerprint(bench.create(bench.Codec, "session-deflate"))

@bench.register
class Deflate(Deflate):
    def compress(self, frames, rate_point, condition):
        return super().compress(frames / 2, rate_point, condition)

other = component_fingerprint(bench.create(bench.Codec, "session-deflate"))
print(first == other)
"""
    )
    assert out.split() == ["False"]


def test_a_suite_file_may_name_a_class_of_the_session(session, tmp_path):
    (tmp_path / "mine.toml").write_text('codecs = ["session-deflate"]\n')
    lines = session(
        CODEC
        + """
from bench.registry import component_class
from bench.runner.spec import load_suite
print(load_suite("mine.toml").grids[0].codecs[0].codec.partition(".py:")[2])
print(component_class(bench.Codec, "session-deflate").name)
"""
    ).splitlines()
    assert lines == ["Deflate", "session-deflate"]


def test_what_cannot_be_registered_is_one_line():
    class Named(bench.Extractor):
        name = "tfp"

        def extract(self, spikes, instants, rate):
            return spikes

    with pytest.raises(bench.BenchError, match="the extractor tfp is installed"):
        bench.register(Named)
    for wrong in (Content, 3):
        with pytest.raises(bench.BenchError, match="is no Codec, Paradigm"):
            bench.register(wrong)


def test_a_run_and_its_report_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = bench.run(codecs=["x264"], rates=[37, 45], **GRID | {"frames": 2})
    assert done.folder.parts == ("results", "caas_x264_s-motion")
    assert list(done.rows) == list(COLUMNS)
    assert list(done.rows["rate_point"]) == ["37", "45"]
    document = (done.folder / "run.json").read_text()
    assert "pytest" not in document.partition('"provenance"')[2].partition('"command"')[2][:80]
    folder = bench.make_report(done)
    assert folder.parts == ("reports", "caas_x264_s-motion")
    assert (folder / "README.md").is_file()
    assert len(bench.load_runs(done.folder).table) == 2
    with pytest.raises(bench.BenchError, match="no paradigm named 'cass'"):
        bench.run(paradigms="cass")
    with pytest.raises(bench.BenchError, match="name at least one run"):
        bench.make_report()


def test_import_is_light_and_gives_all_that_it_names():
    code = "import sys, bench; print('numpy' in sys.modules, set(bench.__all__) <= set(dir(bench)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "True"]
    assert all(getattr(bench, name) is not None for name in bench.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        bench.nonsense  # noqa: B018
    with pytest.raises(bench.BenchError, match="no kind of component named 'nonsense'"):
        bench.list_components("nonsense")
    assert set(bench.list_components("Paradigm")["kind"]) == set(bench.list_components("para")["kind"]) == {"paradigms"}
    spikes = bench.simulate(np.full((50, 8, 8), 0.5, np.float32), rate=0.6)
    assert spikes.mean() == pytest.approx(0.3, abs=0.02)
    assert RatePoint is not None
