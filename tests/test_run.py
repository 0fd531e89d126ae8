"""Whole runs through the command line, in processes of their own."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import baselines.sci
from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Content, unpack_stream
from bench.names import file_name
from bench.registry import create
from bench.report.bd_table import QUALITIES
from bench.results.rows import RD_FILE, STREAMS, read_rows
from bench.runner.decode import _mine, close_server, decode_fresh
from bench.runner.execute import run_job, start_batch
from bench.runner.plan import make_plan
from bench.runner.spec import make_spec
from bench.runner.store import MissError, Store
from bench.spikes import read_dat, write_dat
from tests.conftest import CODECS, TINY, TINY_FLAGS, one_line_error, texts, wait_until
from tests.forked import Forked


def test_the_grid_is_measured_and_rows_hold_together(reference):
    rows = read_rows(reference / RD_FILE)
    done = [row for row in rows if row.status == "ok"]
    assert len(rows) == 2 * (3 * 4 + 3 + 3)
    assert {(row.codec, row.paradigm) for row in done} == {
        ("x265", "cta"), ("x265", "atc"), ("x265", "caas"), ("zstd", "cta"), ("raw", "cta"),
    }  # fmt: skip
    for row in done:
        stream = reference / "streams" / f"{row.job}.spk"
        assert row.bits == 8 * stream.stat().st_size
        assert row.bpp == pytest.approx(row.bits / (row.num_spikes * row.height * row.width))
        assert row.bpf == pytest.approx(row.bits / (row.num_frames * row.height * row.width))
        assert len(row.decoded_sha256) == 64
        assert (row.spike_error is not None) == (row.paradigm == "cta")
        assert row.encode_seconds is None  # no timing was asked for
    assert all("spikes only" in row.reason for row in rows if row.status == "skipped")
    raw = [row for row in done if row.codec == "raw"]
    assert all(1 < row.bpp < 1.01 and row.spike_error == 0 for row in raw)
    document = json.loads((reference / "run.json").read_text())
    assert document["status"] == "finished"
    assert {row.condition for row in rows} == set(document["conditions"])
    assert set(document["stage_seconds"]) == {"camera", "cloud", "bench"}


def test_atc_and_caas_coincide_under_the_identity_analyzer(reference):
    rows = [row for row in read_rows(reference / RD_FILE) if row.codec == "x265"]
    by_paradigm = {
        name: [(r.sequence, r.rate_point, r.bits, r.psnr, r.decoded_sha256) for r in rows if r.paradigm == name]
        for name in ("atc", "caas")
    }
    assert by_paradigm["atc"] == by_paradigm["caas"]


def test_workers_change_nothing(reference, bench, tmp_path):
    environment = {"BENCH_CACHE": str(tmp_path / "cache")}
    bench("run", *TINY_FLAGS, *CODECS, "--jobs", "2", "--out", tmp_path / "two", environment=environment)
    assert texts(tmp_path / "two") == texts(reference)


def test_a_second_run_needs_its_own_folder_and_comes_from_the_store(reference, bench, tmp_path):
    done = bench("run", *TINY_FLAGS, *CODECS, "--out", reference, check=2)
    one_line_error(done, "holds a run already", "--resume", "--out")
    bench("run", *TINY_FLAGS, *CODECS, "--out", tmp_path / "again")
    assert texts(tmp_path / "again") == texts(reference)
    document = json.loads((tmp_path / "again" / "run.json").read_text())
    assert document["stage_seconds"] == {}  # nothing was made again
    one_line_error(bench("run", *TINY_FLAGS, "--out", reference, "--resume", check=2), "holds another run")


def test_runs_over_changed_data_are_not_mixed(bench, tmp_path, spikes):
    write_dat(tmp_path / "rec.dat", spikes(97, 24, 32))
    flags = ["run", "--dataset", f"dat:root={tmp_path / 'rec.dat'},size=32x24", "--frames", "8"]
    flags += ["--codec", "x264", "--rates", "40", "--out", tmp_path / "run"]
    bench(*flags)
    bench(*flags, "--resume")
    write_dat(tmp_path / "rec.dat", spikes(97, 24, 32)[::-1])
    one_line_error(bench(*flags, "--resume", check=2), "code or data has changed", "sequences: ")


def test_verify_names_the_damaged_stream_and_the_missing_one(reference, bench, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(reference, folder)
    assert "28 of 28 streams decode" in bench("verify", folder).stdout
    victim, absent = [row for row in read_rows(folder / RD_FILE) if row.codec == "x265" and row.paradigm == "caas"][:2]
    path = folder / "streams" / f"{victim.job}.spk"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    (folder / "streams" / f"{absent.job}.spk").unlink()
    said = bench("verify", folder, check=1).stdout
    bad = {line.split()[1]: line for line in said.splitlines() if line.startswith("BAD")}
    assert bad.keys() == {victim.job, absent.job} and "26 of 28" in said
    assert "No such file" in bad[absent.job] and "No such file" not in bad[victim.job]


def test_timing_lane_fills_its_columns(bench, tmp_path):
    bench(
        "run", *TINY_FLAGS, "--codec", "x264", "--rates", "40", "--limit", "1", "--timing", "2", "--out", tmp_path / "r"
    )
    (row,) = read_rows(tmp_path / "r" / RD_FILE)
    assert row.encode_seconds > 0 and row.decode_seconds > 0
    assert row.encode_spread >= 0 and row.decode_spread >= 0


def test_explain_prints_a_command_that_makes_the_row_again(reference, bench, tmp_path):
    import shlex

    row = next(row for row in read_rows(reference / RD_FILE) if row.codec == "x265" and row.paradigm == "cta")
    said = bench("explain", f"{reference}#{row.job}").stdout
    assert f"psnr = {row.psnr}" in said
    command = shlex.split(said.strip().splitlines()[-1])
    assert command[0] == "bench"
    bench(*command[1:], "--out", tmp_path / "again")
    assert read_rows(tmp_path / "again" / RD_FILE) == [row]
    one_line_error(bench("explain", "0" * 12, check=2), "no row")


def test_dry_run_prints_the_plan_and_makes_nothing(bench, tmp_path):
    said = bench("run", *TINY_FLAGS, *CODECS, "--dry-run").stdout
    assert "36 jobs, 28 to run, 8 to skip" in said
    assert re.search(r"\n[\d,]+ frames and [\d,]+ spike frames to code, [\d.]+ million samples\n", said)
    assert list(tmp_path.iterdir()) == []


def test_a_codec_from_another_package_is_a_codec_like_any_other(bench, tmp_path):
    """tests/plugin, installed into the environment, runs everywhere with no line changed here."""
    assert "deflate" in bench("list", "codecs").stdout
    bench("conform", "deflate")
    bench("run", *TINY_FLAGS, "--codec", "deflate", "--paradigm", "cta,atc,caas", "--out", tmp_path / "run")
    rows = read_rows(tmp_path / "run" / RD_FILE)
    assert {row.paradigm for row in rows} == {"cta", "atc", "caas"}
    assert {row.status for row in rows} == {"ok"}
    assert "24 of 24 streams" in bench("verify", tmp_path / "run").stdout


def test_a_run_draws_its_curves_and_pictures(bench, tmp_path):
    """All rate points of a single curve, beside the truth; what was kept of them is as good as their rows say."""
    folder = tmp_path / "run"
    said = bench("run", *TINY_FLAGS[:-1], "--codec", "x264", "--rates", "24,40", "--limit", "1", "--out", folder).stdout
    drawn = [Path(line) for line in said.splitlines() if line.endswith(".png")]
    assert [path.name.partition("_")[0] for path in drawn] == ["rd", "pictures"]
    assert all(Image.open(path).width > 400 for path in drawn)
    rows = {row.rate_point: row for row in read_rows(folder / RD_FILE)}
    pictures = {rate: np.asarray(Image.open(folder / STREAMS / f"{row.job}.png")) for rate, row in rows.items()}
    assert all(
        picture.shape == (row.height, row.width) for picture, row in zip(pictures.values(), rows.values(), strict=True)
    )
    assert not np.array_equal(pictures["24"], pictures["40"])


def test_a_codec_in_a_file_runs_too(bench, tmp_path, plugin_path):
    copy = tmp_path / "mine.py"
    copy.write_text(plugin_path.read_text().replace('"deflate"', '"mine"'))
    spec = f"{copy}:Deflate"
    bench("run", *TINY_FLAGS, "--codec", spec, "--rates", "16", "--out", tmp_path / "run")
    assert {(row.codec, row.status) for row in read_rows(tmp_path / "run" / RD_FILE)} == {("mine", "ok")}
    assert "2 of 2" in bench("verify", tmp_path / "run", "--trust").stdout


def test_a_decoder_that_dies_is_one_failed_point(bench, tmp_path, plugin_path):
    """How it ended is said, what a codec prints is no answer, and the next stream is decoded as ever."""
    aborts = """print('noise', flush=True)
        if info.rate_point == 32:
            __import__('os').abort()
        steps = np.frombuffer"""
    copy = tmp_path / "faulty.py"
    copy.write_text(plugin_path.read_text().replace("steps = np.frombuffer", aborts))
    flags = [*TINY_FLAGS, "--limit", "1", "--out", tmp_path / "run", "--jobs", "1"]
    bench("run", *flags, "--codec", f"{copy}:Deflate", check=1)
    states = {row.rate_point: (row.status, row.reason) for row in read_rows(tmp_path / "run" / RD_FILE)}
    assert states.pop("32") == ("failed", f"the decoder ended with signal {signal.SIGABRT.value}: noise")
    assert {status for status, _ in states.values()} == {"ok"}


def test_only_where_it_is_allowed_does_a_decoder_decode_more_than_one_stream(tmp_path):
    """The frames of this codec count what its process has decoded."""
    (tmp_path / "counting.py").write_text(
        "import sys\n\n"
        "import numpy as np\n\n"
        "from bench.interfaces import Codec\n\n\n"
        "class Counting(Codec):\n"
        '    name = "counting"\n'
        "    rate_points = (1,)\n\n"
        "    def compress(self, frames, rate_point, condition):\n"
        '        return b"x"\n\n'
        "    def decompress(self, payload, info):\n"
        "        sys.counted = getattr(sys, 'counted', 0) + 1\n"
        "        return np.full(info.shape, sys.counted / 8, np.float32)\n"
    )
    spec = f"{tmp_path / 'counting.py'}:Counting"
    stream = create(Codec, spec).encode(np.zeros((1, 8, 8), np.float32), 1, CodingCondition(), Content.FEATURES).stream
    counts = []
    for number, shared in enumerate((True, True, False, True, True, False)):
        folder = tmp_path / str(number)
        folder.mkdir()
        counts.append(8 * decode_fresh(stream, folder, spec, shared=shared)[0].frames.max())
    # One that dies while it waits is no failure of the next stream.
    decode_fresh(stream, folder, spec, shared=True)
    server = _mine.server.pid
    (decoder,) = map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())
    os.kill(decoder, signal.SIGKILL)
    counts.append(8 * decode_fresh(stream, folder, spec, shared=True)[0].frames.max())
    # One that waits does not outlive its server.
    (decoder,) = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    os.kill(server, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{decoder}").exists())
    close_server()
    assert counts == [1, 2, 1, 1, 2, 1, 1]


_BATCHING = """
import os

import numpy as np

from bench.interfaces import Codec, Compressed
from bench.errors import BenchError


class Batching(Codec):
    name = "batching"
    rate_points = (1, 2)
    weights_sha256 = "ab" * 32
    together = 4

    def compress(self, frames, rate_point, condition):
        return self.compress_all([frames], [rate_point], condition)[0]

    def compress_all(self, segments, rate_points, condition):
        FAULT
        return [Compressed(bytes([len(segments), round(100 * float(frames.mean()))])) for frames in segments]

    def decompress(self, payload, info):
        return np.full(info.shape, payload[1] / 100, np.float32)
"""
_FAULTS = {
    "": "",
    "no point 2 today": "if 2 in rate_points: raise BenchError('no point 2 today')",
    "unexpected ValueError: no point 2 (a bug; see errors.log)": "if 2 in rate_points: raise ValueError('no point 2')",
    "the worker process died (killed, or out of memory)": "if 2 in rate_points: os._exit(1)",
    "batches of one alone": "assert len(segments) == 1",
}


@pytest.mark.parametrize(("fault", "jobs"), [("", 2), *((fault, 1) for fault in _FAULTS)])
def test_short_streams_are_coded_in_batches_and_only_the_wrong_one_fails(tmp_path, bench, fault, jobs):
    (tmp_path / "batching.py").write_text(_BATCHING.replace("FAULT", _FAULTS[fault]))
    spec, out = f"{tmp_path / 'batching.py'}:Batching", tmp_path / "run"
    flags = ["--dataset", "s-digits", "--limit", "3", "--extractor", "tfp", "--analyzer", "identity", "--frames", "3"]
    flags += ["--paradigm", "caas", "--codec", spec, "--jobs", str(jobs), "--out", out]
    fails = bool(fault) and fault != "batches of one alone"
    bench("run", *flags, "--no-figures", check=int(fails))
    rows = read_rows(out / RD_FILE)
    assert [(row.sequence[-1:], row.rate_point) for row in rows] == [(str(k), p) for k in range(3) for p in "12"]
    payloads = [unpack_stream(path.read_bytes())[1] for path in (out / STREAMS).glob("*.spk")]
    batches = sorted(payload[0] for payload in payloads)
    if fails:
        assert [row.status for row in rows] == ["ok", "failed"] * 3
        assert {row.reason for row in rows if row.reason} == {fault}
        assert batches == [1, 1, 1]
    else:
        assert {row.status for row in rows} == {"ok"}
        # Two workers share the jobs evenly before batches are full.
        assert batches == ([1] * 6 if fault else [2, 2, 4, 4, 4, 4] if jobs == 1 else [3] * 6)
    assert len({row.psnr for row in rows if row.status == "ok"}) == 3


def test_what_a_batch_has_measured_when_it_is_interrupted_is_not_measured_again(tmp_path):
    """Its rows are written with those of the whole batch; until then the store has the results, for --resume."""
    (tmp_path / "batching.py").write_text(_BATCHING.replace("FAULT", ""))
    process = Forked(_half_a_batch, [f"{tmp_path / 'batching.py'}:Batching", tmp_path / "store"])
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def _half_a_batch(arguments):
    """Run the first job of a batch, and look for all of them in the store."""
    codec, folder = arguments
    plan = make_plan(
        make_spec(
            datasets=("s-digits",), limit=2, extractors=("tfp",), analyzers=("identity",), frames=3,
            paradigms=("caas",), codecs=(codec,),
        )
    )  # fmt: skip
    store = Store(Path(folder))
    first, *others = plan.jobs
    row = start_batch(plan.jobs, store)[first.id]().row
    known = Store(store.root, make=False)
    assert run_job(first, known).row == row
    for job in others:
        with pytest.raises(MissError):
            run_job(job, known)


def test_a_batch_without_a_payload_for_each_segment_is_its_authors_error():
    class Short(create(Codec, "raw").__class__):
        together = 2

        def compress_all(self, segments, rate_points, condition):
            return [b"x"]

    frames, codec = np.zeros((1, 4, 4), np.float32), Short()
    with pytest.raises(BenchError, match=r"raw: compress_all must give a list of 2 values, not list"):
        codec.encode_all([frames, frames], [codec.rate_points[0]] * 2, CodingCondition(), Content.SPIKES)
    with pytest.raises(BenchError, match="segments of one batch have one shape"):
        codec.encode_all([frames, frames[:, :2]], [codec.rate_points[0]] * 2, CodingCondition(), Content.SPIKES)


def test_a_codec_that_changes_how_one_segment_is_coded_gets_them_one_by_one(moving):
    class Darker(create(Codec, "sci").__class__):
        def compress(self, frames, rate_point, condition):
            return super().compress(frames / 2, rate_point, condition)

    weights = Path(baselines.sci.__file__).parent / "weights" / "small.safetensors"
    codec, segments = Darker(weights=str(weights)), [moving(2, 32, 32), moving(2, 32, 32, seed=1)]
    assert codec.together > 1
    alone = [codec.encode(frames, 3, CodingCondition(), Content.FEATURES).stream for frames in segments]
    batch = codec.encode_all(segments, [3, 3], CodingCondition(), Content.FEATURES)
    assert [encoded.stream for encoded in batch] == alone


@pytest.mark.parametrize("wrong", ["None", "0", "'many'"])
def test_a_wrong_number_of_segments_is_refused_before_the_run(tmp_path, bench, wrong):
    (tmp_path / "batching.py").write_text(_BATCHING.replace("together = 4", f"together = {wrong}"))
    done = bench("run", "--codec", f"{tmp_path / 'batching.py'}:Batching", "--out", tmp_path / "run", check=2)
    one_line_error(done, "batching: together must give a whole number from 1 on")


def test_failing_points_are_rows_and_bugs_are_logged(bench, tmp_path, plugin_path):
    text = plugin_path.read_text()
    copy = tmp_path / "faulty.py"
    copy.write_text(
        text.replace(
            "return zlib.compress", "if rate_point == 32: raise ZeroDivisionError('oops')\n        return zlib.compress"
        ).replace('"deflate"', '"faulty"')
    )
    flags = [*TINY_FLAGS, "--limit", "1", "--out", tmp_path / "run"]
    bench("run", *flags, "--codec", f"{copy}:Deflate", check=1)
    states = {row.rate_point: (row.status, row.reason) for row in read_rows(tmp_path / "run" / RD_FILE)}
    assert states["32"][0] == "failed" and "ZeroDivisionError: oops" in states["32"][1]
    assert [states[point][0] for point in ("64", "16", "8")] == ["ok"] * 3
    assert "Traceback" in (tmp_path / "run" / "errors.log").read_text()


def test_reports_are_built_from_rows(reference, bench, tmp_path):
    target = tmp_path / "report"
    bench("report", reference, "--out", target)
    names = {path.name for path in target.iterdir()}
    dataset = file_name("s-motion:num_spikes=121,size=32")
    for name in ("README.md", "bd.csv", "table_caas.tex", "table_cta.md", f"rd_{dataset}.png", f"rd_{dataset}.svg"):
        assert name in names, names
    assert any(name.startswith("pictures_") for name in names)
    page = (target / "README.md").read_text()
    assert "raw takes spikes only" in page
    assert "nan" not in page.lower()
    with (target / "bd.csv").open() as file:
        lines = list(csv.DictReader(file))
    same = [line for line in lines if line["quality"] == "psnr" and "ATC" in line["anchor"] and "CAAS" in line["test"]]
    assert [float(line["bd_rate"]) for line in same] == [0.0]  # identical points
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    bench("report", reference, "--out", target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_encode_and_decode_a_recording(bench, tmp_path, spikes):
    write_dat(tmp_path / "rec.dat", spikes(97, 24, 32))
    size = ["--size", "32x24", "--spike-rate", "0.6"]
    for paradigm, codec in (("caas", "x265"), ("atc", "ffv1"), ("cta", "isi")):
        stream = tmp_path / f"{paradigm}.spk"
        bench("encode", tmp_path / "rec.dat", *size, "--codec", codec, "--paradigm", paradigm, "-o", stream)
        target = tmp_path / f"{paradigm}.npy"
        bench("decode", stream, "-o", target)
        assert np.load(target).shape == (8, 24, 32)
    bench("decode", tmp_path / "caas.spk", "-o", tmp_path / "pictures")
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 8
    bench("decode", tmp_path / "cta.spk", "-o", tmp_path / "raw.npy", "--raw")
    assert np.array_equal(np.load(tmp_path / "raw.npy"), spikes(97, 24, 32))
    # A lossless stream and the features of the original give the same pictures.
    assert np.abs(np.load(tmp_path / "cta.npy") - np.load(tmp_path / "atc.npy")).max() < 1 / 255


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--codec", "vvnc"], ["did you mean vvenc"]),
        (["run", "--dataset", "s-motio"], ["did you mean s-motion"]),
        (["run", "--paradigm", "caa"], ["did you mean caas"]),
        (["run", "--extractor", "tfq"], ["did you mean tf"]),
        (["run", "--suite", "absent"], ["shipped suites"]),
        (["run", "--frames", "99"], ["need 825: use --frames 36"]),
        (["run", "--codec", "vvenc", "--rates", "99"], ["the quantiser must be"]),
        (["run", "--dataset", "dat:root=/nowhere"], ["/nowhere does not exist"]),
        (["run", "--resume"], ["no run of this grid"]),
        (["conform", "vvnc"], ["did you mean vvenc"]),
        (["list", "codexes"], ["no kind of component"]),
        (["verify", "absent"], ["No such file"]),
        (["report", "absent"], ["is absent a run's folder?"]),
        (["decode", "absent.spk", "-o", "x.npy"], ["absent.spk: No such file"]),
        (["data", "get", "s-reds", "--from", "absent.whl"], ["absent.whl"]),
        (["data", "get", "s-red"], ["did you mean s-reds"]),
        (["encode", "absent.dat", "--size", "8x8", "-o", "x.spk"], ["absent.dat"]),
    ],
)
def test_mistakes_are_one_line(bench, arguments, words):
    one_line_error(bench(*arguments, check=2), *words)


def test_damaged_recordings_and_streams_are_one_line(bench, tmp_path, spikes):
    write_dat(tmp_path / "rec.dat", spikes(97, 24, 32))
    data = (tmp_path / "rec.dat").read_bytes()
    (tmp_path / "cut.dat").write_bytes(data[:-5])
    done = bench("encode", tmp_path / "cut.dat", "--size", "32x24", "-o", tmp_path / "x.spk", check=2)
    one_line_error(done, "cut.dat: found", "expected")
    done = bench("encode", tmp_path / "rec.dat", "--size", "32x24", "--frames", "99", "-o", tmp_path / "x.spk", check=2)
    one_line_error(done, "hold 8 instants")
    (tmp_path / "bad.spk").write_bytes(b"SPK1" + data[:50])
    one_line_error(bench("decode", tmp_path / "bad.spk", "-o", tmp_path / "x.npy", check=2), "truncated or damaged")
    assert not (tmp_path / "x.spk").exists() and not (tmp_path / "x.npy").exists()


def test_paths_of_the_wrong_kind_are_one_line(reference, bench, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    stream = next((reference / "streams").iterdir())
    for arguments in (
        ["run", *TINY_FLAGS, "--codec", "x264", "--out", file],
        ["run", *TINY_FLAGS, "--codec", "x264", "--out", "/proc/none"],
        ["run", *TINY_FLAGS, "--codec", "x264", "--out", "n" * 300],
        ["report", reference, "--out", file],
        ["decode", stream, "-o", file],
        ["decode", tmp_path, "-o", tmp_path / "x.npy"],
        ["data", "show", f"dat:root={file},size=8x8"],
        ["run", "--suite", tmp_path],
    ):
        one_line_error(bench(*arguments, check=2))
    one_line_error(bench("run", *TINY_FLAGS, "--out", "r", check=2, environment={"BENCH_CACHE": str(file)}), "file")
    one_line_error(bench("doctor", check=2, environment={"BENCH_CACHE": str(file)}), "file")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "plan": 3}'])
def test_run_files_of_other_tools_are_one_line(reference, bench, tmp_path, text):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(reference, folder)
    (folder / "run.json").write_text(text)
    for verb in ("verify", "report"):
        one_line_error(bench(verb, folder, check=2), "run.json")


def test_help_loads_nothing_heavy():
    code = (
        "import atexit, sys; sys.argv = ['bench', '--help']\n"
        "heavy = {'numpy', 'torch', 'pandas', 'pydantic'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        "from bench.cli.program import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_doctor_reports(bench):
    said = bench("doctor").stdout
    assert "vvenc" in said and "torch" in said


def test_a_bug_report_has_no_private_path(bench, tmp_path):
    places = {"HOME": tmp_path / "home", "BENCH_CACHE": tmp_path / "mine", "VTM_ENCODER": tmp_path / "home" / "absent"}
    said = bench("doctor", "--report", environment={name: str(path) for name, path in places.items()}).stdout
    assert str(tmp_path) not in said
    lines = said.splitlines()
    assert (lines[0], lines[-1]) == ("```text", "```")
    assert any(line.startswith("  vvenc: ") for line in lines)
    assert "cache: CACHE (" in said and "variables: BENCH_CACHE, " in said
    assert any(line.startswith("  vtm: not here: ") and "~/absent" in line for line in lines)


def test_data_show_lists_sequences(bench):
    said = bench("data", "show", "s-motion:size=64").stdout
    assert "low-1" in said and "every instant" in said


def test_long_recordings_are_coded_in_segments(tmp_path, spikes, monkeypatch):
    """In parts, with the same instants, and frames that are those of each part alone."""
    from bench.interfaces import CodingCondition
    from bench.stream import recording as single
    from bench.stream.segments import read_segments

    write_dat(tmp_path / "rec.dat", spikes(201, 24, 32))
    keywords = {
        "coding": CodingCondition(intra_period=4), "extractor": "tfp", "size": "32x24", "spike_rate": 0.6,
        "progress": lambda *_: None, "warn": print,
    }  # fmt: skip

    def decoded(name, **options):
        out = tmp_path / f"{name}.npy"
        single.decode_stream(tmp_path / f"{name}.spk", out, progress=lambda *_: None, **options)
        return np.load(out)

    for paradigm, codec in (("caas", "x264"), ("cta", "raw")):
        for name, most in (("whole", 1 << 27), ("parts", 100 * 24 * 32)):
            monkeypatch.setattr(single, "_MOST_SPIKES", most)
            out = tmp_path / f"{name}.spk"
            said = single.encode_recording(
                tmp_path / "rec.dat", out, single.Cut(), codec=codec, paradigm=paradigm, **keywords
            )
            assert ("in 3 segments" in said) == (name == "parts")
        whole, parts = decoded("whole"), decoded("parts")
        assert whole.shape == parts.shape == (21, 24, 32)
        if paradigm == "cta":
            assert np.array_equal(whole[2:-2], parts[2:-2])
            assert np.array_equal(decoded("whole", raw=True), decoded("parts", raw=True))
        assert [segment.start for segment in read_segments(tmp_path / "parts.spk")] == [0, 64, 128]
    # A stride wider than the margins: the spikes between two segments' instants are coded all the same.
    cut = single.Cut(margin=2)
    single.encode_recording(tmp_path / "rec.dat", tmp_path / "wide.spk", cut, codec="raw", paradigm="cta", **keywords)
    assert np.array_equal(decoded("wide", raw=True), read_dat(tmp_path / "rec.dat", 24, 32)[:])
    assert decoded("wide").shape == (25, 24, 32)


@pytest.mark.parametrize(("pixels", "frames"), [(400 * 250, 160), (640 * 480, 48), (1000 * 1000, 12), (1 << 24, 1)])
def test_segments_hold_whole_intra_periods_where_one_fits(pixels, frames):
    from bench.stream.recording import Cut

    parts = Cut(5, 500, 8, 20).segments(pixels, 16)
    assert {part.frames for part in parts[:-1]} == {frames}
    assert sum(part.frames for part in parts) == 500
    assert [part.start for part in parts] == [5 + 8 * frames * index for index in range(len(parts))]


def test_damaged_segments_are_one_line(bench, tmp_path, spikes):
    from bench.errors import StreamError
    from bench.interfaces import AnalysisChain, Codec, CodingCondition, Content
    from bench.registry import create
    from bench.stream.segments import read_segments, write_segments

    path, chain = tmp_path / "many.spk", AnalysisChain("tfp", "", b"", 0, 8, 0, 0.6)
    frames = spikes(8, 8, 8).astype(np.float32)
    chains = [chain, AnalysisChain("tfp", "", b"", 8, 8, 0, 0.6)]
    streams = [
        create(Codec, "raw").encode(frames, "lossless", CodingCondition(), Content.SPIKES, part).stream
        for part in chains
    ]
    write_segments(path, 2, iter(streams))
    whole = path.read_bytes()
    assert [(segment.start, segment.stream) for segment in read_segments(path)] == [(0, streams[0]), (8, streams[1])]
    wrong = [whole[:-1], whole[:60], whole[:5], whole + b"x", whole.replace(b"SPK2", b"SPK1"), whole[:4] + b"\xff"]
    for text in (*wrong, b"SPKL\x00", b"SPKL\x01", b"SPKL\x02\x93\x00\x00\x00", b"SPKL\x02\x92\x90\xc4\x00"):
        path.write_bytes(text)
        with pytest.raises(StreamError, match=r"many\.spk: .*(truncated or damaged|malformed|not a stream)"):
            list(read_segments(path))
    one_line_error(bench("decode", path, "-o", tmp_path / "x.npy", check=2), "many.spk")


def test_ffmpeg_is_found_by_name_and_a_wrong_one_is_named(bench, tmp_path):
    import imageio_ffmpeg

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "our-ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    said = bench("list", "codecs", environment={"IMAGEIO_FFMPEG_EXE": "our-ffmpeg", "PATH": path}).stdout
    assert "libx264 in ffmpeg" in " ".join(said.split())
    grid = [*TINY_FLAGS, "--limit", "1", "--codec", "x264", "--paradigm", "caas"]
    for wrong in ("our-ffmpeg", "/nowhere/ffmpeg", str(tmp_path)):
        environment = {"IMAGEIO_FFMPEG_EXE": wrong}
        said = bench("run", *grid, "--dry-run", environment=environment).stdout
        assert f"IMAGEIO_FFMPEG_EXE={wrong}: no such program" in said
    (tmp_path / "walk.mp4").touch()
    one_line_error(
        bench("data", "show", "video:root=walk.mp4", check=2, environment=environment), "IMAGEIO_FFMPEG_EXE="
    )


def test_a_user_without_a_home_is_told_of_the_cache(monkeypatch):
    from bench.errors import BenchError
    from bench.files import cache_root

    def none(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BENCH_CACHE")
    monkeypatch.setattr("pathlib.Path.expanduser", none)
    with pytest.raises(BenchError, match="set BENCH_CACHE"):
        cache_root()
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", "~/spikes")
    assert cache_root() == Path.home() / "spikes"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_terminals_of_other_encodings_get_escapes_and_files_are_utf_8(bench, tmp_path, spikes, encoding):
    (tmp_path / "rec").mkdir()
    write_dat(tmp_path / "rec" / "高铁.dat", spikes(97, 24, 32))
    environment = {"PYTHONIOENCODING": encoding}
    dataset = "dat:root=rec,size=32x24,rate=0.6"
    assert r"\u9ad8\u94c1" in bench("data", "show", dataset, environment=environment).stdout
    grid = ["--frames", "8", "--extractor", "tfp", "--codec", "x264", "--rates", "40", "--no-figures", "--out", "r"]
    bench("run", *grid, "--dataset", dataset, environment=environment)
    assert "高铁" in (tmp_path / "r" / RD_FILE).read_text(encoding="utf-8")
    bench("report", "r", environment=environment)


def test_runs_from_python_state_no_command(tmp_path):
    from bench.results.document import read_run_file
    from bench.runner.pool import LocalLane
    from bench.runner.run import run_plan

    spec = make_spec(datasets=(TINY,), codecs=("raw",), paradigms=("caas",), extractors=("tfp",), frames=8, limit=1)
    options = {"resume": False, "timing": 0, "progress": lambda *_: None}
    done = run_plan(make_plan(spec), tmp_path / "r", Store(tmp_path / "s"), lane=LocalLane(1), **options)
    assert done.states["skipped"] == 1  # raw takes spikes only
    assert read_run_file(tmp_path / "r")["provenance"][0]["command"] == ""
    assert sys.argv[0] not in (tmp_path / "r" / "run.json").read_text()


def test_a_task_from_another_package_brings_its_measures_and_its_table(bench, tmp_path):
    """tests/plugin has a task with two measures that rd.csv knows nothing of, and a section of reports."""
    flags = [*TINY_FLAGS, "--limit", "1", "--task", "edges,reconstruction"]
    flags += ["--codec", "deflate,ffv1", "--paradigm", "atc,caas"]
    said = bench("run", *flags, "--out", tmp_path / "run").stdout
    assert "PSNR of gradients" in said
    rows = [row for row in read_rows(tmp_path / "run" / RD_FILE) if row.task == "edges"]
    assert {row.status for row in rows} == {"ok"} and {row.psnr for row in rows} == {None}
    table = tmp_path / "run" / "measures.csv"
    figures = list(csv.DictReader(table.open()))
    pairs = [(row.job, name) for row in rows for name in ("gradient_psnr", "worst")]
    assert [(figure["job"], figure["measure"]) for figure in figures] == pairs
    whole = next(figure for figure, row in zip(figures[::2], rows, strict=True) if row.rate_point == "lossless")
    assert float(whole["value"]) == max(float(figure["value"]) for figure in figures[::2])

    # Of a killed run, figures that are missing are measured again, and the others stay.
    text = table.read_text()
    table.write_text("".join(text.splitlines(keepends=True)[:5]))
    bench("run", *flags, "--out", tmp_path / "run", "--resume")
    assert table.read_text() == text

    bench("report", tmp_path / "run", "--out", tmp_path / "report", "--page", tmp_path / "report" / "index.html")
    page = (tmp_path / "report" / "README.md").read_text()
    assert "edges: PSNR of gradients [dB]" in page and "[Best edges](edges.md)" in page
    assert len(list((tmp_path / "report").glob("rd_*gradient_psnr*.svg"))) == 1
    qualities = set(pd.read_csv(tmp_path / "report" / "bd.csv").set_index("task")["quality"].items())
    assert qualities == {("edges", "edges: gradient_psnr"), *(("reconstruction", name) for name in QUALITIES)}
    shown = (tmp_path / "report" / "index.html").read_text()
    assert '"edges: gradient_psnr": "edges: PSNR of gradients [dB]"' in shown.replace('":"', '": "')


def test_a_measure_with_the_name_of_another_ones_count_is_refused(bench, tmp_path):
    """Before anything is measured; and of a run that was made elsewhere, before its figures are read."""
    plugin = Path(__file__).parent / "plugin" / "spikebench_edges.py"
    (tmp_path / "edges.py").write_text(plugin.read_text().replace("gradient_psnr", "worst_count"))
    flags = [*TINY_FLAGS, "--limit", "1", "--codec", "zstd", "--paradigm", "cta", "--out", tmp_path / "run"]
    words = "worst_count is the name of the column that counts the values of worst; rename it"
    one_line_error(bench("run", *flags, "--task", "edges.py:Edges", check=None), "edges.py:Edges", words)
    assert not (tmp_path / "run" / RD_FILE).exists()
    bench("run", *flags, "--task", "edges")
    file = tmp_path / "run" / "run.json"
    file.write_text(file.read_text().replace("gradient_psnr", "worst_count"))
    one_line_error(bench("report", tmp_path / "run", "--out", "report", check=None), str(file), words)
