"""Submissions: packed, checked by others, tampered with, hostile; and the boards that are built from them."""

import functools
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import threading
import time
import zipfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench.board.archive import unpack
from bench.board.contents import open_submission, pack_run
from bench.board.judging import Judge
from bench.board.manifest import Manifest
from bench.board.record import Record, make_record, read_record
from bench.board.site import build_site
from bench.board.streams import check_streams, drawn_rows
from bench.errors import BenchError
from bench.interfaces import Decoded
from bench.results.rows import RD_FILE, read_rows, write_rows
from bench.runner.plan import id_of_row
from bench.runner.store import Store
from tests.conftest import TINY_FLAGS, one_line_error, run_bench
from tests.forked import _CONTEXT
from tests.test_gate import card, write_run

# A row of each kind of content, and two rate points.
SMALL = ["--codec", "x265", "--paradigm", "caas,cta", "--limit", "1", "--rates", "49,41"]


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def forged(archive, target, edit, honest=True):
    """An archive with other files: edit(files); with `honest`, the manifest states their hashes."""
    files = members(archive)
    edit(files)
    if honest:
        manifest = json.loads(files["manifest.json"])
        manifest["files"] = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in files.items()
            if name != "manifest.json"
        }
        files["manifest.json"] = json.dumps(manifest).encode()
    return write_zip(target, files)


def with_rows(change):
    """An edit of an archive's rows: change(row) gives the row's new values."""

    def edit(files, folder):
        (folder / "old.csv").write_bytes(files[RD_FILE])
        rows = [row.model_copy(update=change(row)) for row in read_rows(folder / "old.csv")]
        write_rows(folder / "new.csv", rows)
        files[RD_FILE] = (folder / "new.csv").read_bytes()

    return edit


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small run, and its submission with streams."""
    folder = tmp_path_factory.mktemp("small")
    run_bench("run", *TINY_FLAGS, *SMALL, "--out", folder / "run")
    run_bench("submit", folder / "run", "--streams", "--name", "A. Person", "--out", folder / "small.zip")
    return folder


@pytest.fixture(scope="module")
def sites(small, tmp_path_factory):
    """A folder of two submissions under different cards, verified, and the site of it."""
    folder = tmp_path_factory.mktemp("board")
    shutil.copy(small / "small.zip", folder)
    flags = ["--codec", "x264", "--paradigm", "caas", "--limit", "1", "--rates", "40", "--frames", "6"]
    run_bench("run", *TINY_FLAGS, *flags, "--out", folder / "run")
    run_bench("submit", folder / "run", "--streams", "-o", folder / "other.zip", "--url", "https://example.org/x")
    for name in ("small", "other"):
        record = folder / f"{name}.record.json"
        done = run_bench("verify", "--submission", folder / f"{name}.zip", "--record", record, "--by", "Someone")
        assert re.search(r"holds: of (\d) rows, \1 streams decode to what they state, \1 measures agree", done.stdout)
    run_bench("leaderboard", folder, "--out", folder / "site")
    return folder


class Page(HTMLParser):
    """Elements of a page with their attributes, and the text of each section."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.sections, self._open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self._open.append(dict(attrs).get("id") or dict(attrs)["aria-labelledby"])

    def handle_endtag(self, tag):
        if tag == "section":
            self._open.pop()

    def handle_data(self, data):
        for name in self._open:
            self.sections[name] = self.sections.get(name, "") + data


# Packing


def test_the_same_run_gives_the_same_archive(small):
    run_bench("submit", small / "run", "--streams", "--name", "A. Person", "--out", small / "again.zip")
    assert (small / "again.zip").read_bytes() == (small / "small.zip").read_bytes()
    files = members(small / "small.zip")
    jobs = [row.job for row in read_rows(small / "run" / RD_FILE)]
    assert set(files) == {"manifest.json", "rd.csv", "run.json", *(f"streams/{job}.spk" for job in jobs)}
    manifest, document = json.loads(files["manifest.json"]), json.loads(files["run.json"])
    assert manifest["name"] == "A. Person" and manifest["made"] == document["provenance"][0]["started"]


def test_a_run_that_is_not_finished_or_was_changed_is_not_packed(tmp_path, bench):
    run = write_run(tmp_path / "run", {"x265": (1000, "")}, rows=true_row)
    edit_document(run, lambda document: document.update(status="running"))
    one_line_error(bench("submit", run, check=None), "not finished")
    edit_document(run, lambda document: document.update(status="finished"))
    one_line_error(bench("submit", run, "--streams", check=None), "stream of row", "leave out --streams")
    one_line_error(bench("submit", run, "--url", "javascript:alert(1)", check=None), "url")
    one_line_error(bench("submit", run, "--name", "=cmd()", check=None), "formula")
    write_rows(run / RD_FILE, [row.model_copy(update={"bits": row.bits + 8}) for row in read_rows(run / RD_FILE)])
    one_line_error(bench("submit", run, check=None), "would not hold", "bpp is")


def test_changed_code_goes_with_a_warning_that_cannot_be_taken_away(tmp_path, bench):
    run = write_run(tmp_path / "run", {"x265": (1000, "")}, rows=true_row)
    edit_document(run, lambda document: document["provenance"][0].update(git_commit="abc+changes"))
    done = bench("submit", run, "-o", "warned.zip")
    assert "uncommitted changes after commit abc" in done.stderr
    done = bench("leaderboard", ".", "-o", "site")
    assert "uncommitted changes after commit abc" in (tmp_path / "site" / "index.html").read_text()

    def hide(files):
        files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | {"warnings": []}).encode()

    forged(tmp_path / "warned.zip", tmp_path / "hidden.zip", hide)
    done = bench("verify", "--submission", "hidden.zip", check=1)
    assert "BAD manifest.json: warnings differs from what run.json states" in done.stdout


@pytest.mark.parametrize("model", [Manifest, Record])
def test_the_fields_are_in_the_docs(model):
    text = (Path(__file__).parents[1] / "docs" / "leaderboard.md").read_text()
    for name, field in model.model_fields.items():
        assert f"| `{name}` | {field.description} |\n" in text


def test_the_workflow_of_the_docs_takes_added_archives_alone(tmp_path):
    """Its two scripts, with a stand-in for the verb: other files, other changes and links are refused."""
    text = (Path(__file__).parents[1] / "docs" / "leaderboard.md").read_text()
    jobs = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])["jobs"]
    (validate,) = [step["run"] for step in jobs["validate"]["steps"] if "Verify" in step.get("name", "")]
    (build,) = [step["run"] for step in jobs["build"]["steps"] if "Verify" in step.get("name", "")]
    # The job that may write pages runs nothing that has seen a stream, and actions are those of a commit.
    assert [name for name, job in jobs.items() if "permissions" in job] == ["deploy"]
    assert not [step for step in jobs["deploy"]["steps"] if "run" in step]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    tools, repo = tmp_path / "tools", tmp_path / "repo"
    tools.mkdir()
    (tools / "bench").write_text('#!/bin/sh\necho "$@" >> "$SAID"\n! grep -q bad "$3" && test "$1" != leaderboard\n')
    (tools / "bench").chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SAID": str(tmp_path / "said"), "BASE": "base",
        "GITHUB_REPOSITORY": "a/b",
    }  # fmt: skip

    def shell(script):
        return subprocess.run(
            ["bash", "-e", "-c", script], cwd=repo, env=environment, capture_output=True, text=True, check=False
        )

    def commit(**files):
        git = "git -c user.name=a -c user.email=a@b -c commit.gpgsign=false"
        shell("git checkout -q -B request base")
        for name, data in files.items():
            (repo / name).write_text(data)
        assert shell(f"git add -A && {git} commit -qm change").returncode == 0
        return shell(validate).returncode

    (repo / "submissions").mkdir(parents=True)
    (repo / "submissions" / "old.zip").write_text("old")
    git = "git -c user.name=a -c user.email=a@b"
    assert shell(f"git init -q . && git add -A && {git} commit -qm first && git branch base").returncode == 0
    assert commit(**{"submissions/new.zip": "good"}) == 0
    assert (tmp_path / "said").read_text() == "verify --submission submissions/new.zip\n"
    assert commit(**{"submissions/new.zip": "bad"}) == 1
    for name in ("submissions/new.record.json", "README.md", "submissions/old.zip", "submissions/a b.zip", "x.zip"):
        assert commit(**{"submissions/new.zip": "good", name: "good"}) == 1, name
    shell("git checkout -q -B request base")
    (repo / "submissions" / "link.zip").symlink_to("old.zip")
    assert commit() == 1
    shell("git checkout -q -B request base")
    done = shell(build)
    assert (repo / "board" / "old.zip").exists() and "--reference reference.zip" in (tmp_path / "said").read_text()
    assert done.returncode == 1  # the stand-in's; `bench leaderboard` ends with 2 where a file is refused


# Verifying


def flip(files, name):
    data = bytearray(files[name])
    data[len(data) // 2] ^= 1
    files[name] = bytes(data)


def bits(row):
    changed = row.bits - 8
    return {
        "bits": changed,
        "bpp": changed / (row.num_spikes * row.height * row.width),
        "bpf": changed / (row.num_frames * row.height * row.width),
    }


def each(changes):
    """An edit that changes the n-th row of a paradigm: changes[paradigm, n](row) gives the row's new values."""
    counts = Counter()

    def change(row):
        place = row.paradigm, counts[row.paradigm]
        counts[row.paradigm] += 1
        return changes[place](row) if place in changes else {}

    return with_rows(change)


def streams(files, folder):
    """Names of the streams, by the places of their rows."""
    (folder / "old.csv").write_bytes(files[RD_FILE])
    counts = Counter()
    names = {}
    for row in read_rows(folder / "old.csv"):
        names[row.paradigm, counts[row.paradigm]] = f"streams/{row.job}.spk"
        counts[row.paradigm] += 1
    return names


def other_streams(files, folder):
    names = streams(files, folder)
    flip(files, names["caas", 0])
    files[names["cta", 0]] = files[names["cta", 1]]
    each({("cta", 1): lambda row: {"speed_class": "high"}})(files, folder)
    del files[names["caas", 1]]


def other_hashes(files, folder):
    names = streams(files, folder)
    flip(files, names["caas", 0])
    del files[names["caas", 1]]
    document = json.loads(files["run.json"])
    next(iter(document["conditions"].values()))["coding"]["intra_period"] = 1
    files["run.json"] = json.dumps(document).encode()
    manifest = json.loads(files["manifest.json"])
    manifest["files"][RD_FILE]["sha256"] = "0" * 64
    files["manifest.json"] = json.dumps(manifest).encode()


@pytest.mark.parametrize(
    ("edit", "honest", "lines"),
    [
        (
            each(
                {
                    ("caas", 0): bits,
                    ("caas", 1): lambda row: {"psnr": row.psnr + 0.1},
                    ("cta", 0): lambda row: {"spike_error": 0.5},
                    ("cta", 1): lambda row: {"decoded_sha256": "0" * 64},
                }
            ),
            True,
            [
                r"row \w+ caas x265 49 low-1: the stream has \d+ bits, the row states \d+",
                r"row \w+ caas x265 41 low-1: psnr is [\d.]+, the row states [\d.]+",
                r"row \w+ cta x265 49 low-1: spike_error is 0[\d.]+, the row states 0\.5",
                r"row \w+ cta x265 41 low-1: decodes to other frames \(\w+, the row states 000000000000\)",
            ],
        ),
        (
            each({("caas", 0): lambda row: {"bits": row.bits + 8}, ("caas", 1): lambda row: {"rate_point": "40"}}),
            True,
            [
                r"row \w+: bpp is .*, its bits give",
                r"row \w+: bpf is .*, its bits give",
                r"row \w+: its facts hash to the job \w+",
                r"row \w+ caas x265 49 low-1: the stream has \d+ bits, the row states \d+",
                r"row \w+ caas x265 40 low-1: the stream's header states the rate point 41, the row 40",
            ],
        ),
        (
            other_streams,
            True,
            [
                r"row \w+: its stream is not in the archive",
                r"row \w+ caas x265 49 low-1: the stream of \d+ bytes is truncated or damaged",
                r"row \w+ cta x265 49 low-1: the stream has",
                r"row \w+ cta x265 49 low-1: the stream's header states the rate point 41, the row 49",
                r"row \w+ cta x265 41 low-1: speed_class is high, the recording gives low",
            ],
        ),
        (
            other_hashes,
            False,
            [
                r"streams/\w+\.spk: the manifest names it, the archive does not hold it",
                r"rd\.csv: its SHA-256 is \w+, the manifest states 000000000000",
                r"run\.json: its SHA-256 is \w+, the manifest states \w+",
                r"streams/\w+\.spk: its SHA-256 is \w+, the manifest states \w+",
                r"run\.json: condition card \w+ hashes to \w+",
                r"row \w+ caas x265 49 low-1: the stream of \d+ bytes is truncated or damaged",
            ],
        ),
    ],
    ids=["figures", "bits", "streams", "hashes"],
)
def test_what_was_tampered_with_is_named(small, tmp_path, edit, honest, lines):
    forged(small / "small.zip", tmp_path / "forged.zip", functools.partial(edit, folder=tmp_path), honest)
    done = run_bench("verify", "--submission", tmp_path / "forged.zip", "--record", tmp_path / "r.json", check=1)
    problems = [line for line in done.stdout.splitlines() if line.startswith("BAD ")]
    assert len(problems) == len(lines), done.stdout
    assert all(re.match("BAD " + words, line) for words, line in zip(lines, problems, strict=True)), done.stdout
    record = read_record(tmp_path / "r.json")
    assert not record.holds and len(record.problems) == len(lines)
    (tmp_path / "r.json").rename(tmp_path / "r.record.json")
    _, refused = site(tmp_path)
    assert "does not hold" in refused["forged.zip"]


def test_a_sample_is_drawn_with_a_seed(small, tmp_path):
    verify = ["verify", "--submission", small / "small.zip", "--sample", "1", "--record", tmp_path / "r.json"]
    said = run_bench(*verify).stdout
    seed = int(re.search(r"1 of 4 rows drawn with --seed (\d+)", said)[1])
    record, rows = read_record(tmp_path / "r.json"), read_rows(small / "run" / RD_FILE)
    assert record.seed == seed and record.judged == (drawn_rows(rows, 1, seed)[0].job,)
    assert drawn_rows(rows, 0, 1) == drawn_rows(rows, 9, 1) == rows
    assert len({drawn_rows(rows, 1, seed)[0].job for seed in range(50)}) == 4


def test_what_cannot_be_checked_is_said_and_is_no_difference(small, tmp_path, bench):
    """No streams; and a codec that is not installed: its tables hold, its streams are not decoded."""
    pack_run(small / "run", tmp_path / "tables.zip", streams=False)
    done = bench("verify", "--submission", "tables.zip")
    assert "4 rows not checked: the archive has no stream of it" in done.stdout and "0 streams decode" in done.stdout
    run = write_run(tmp_path / "run", {"absent": (1000, "")}, rows=true_row)
    pack_run(run, tmp_path / "absent.zip", streams=False)
    assert bench("verify", "--submission", "absent.zip").returncode == 0


def test_a_result_that_cannot_be_measured_here_is_no_difference(small, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(Judge, "measures", broken)
    contents = open_submission(small / "small.zip", tmp_path / "contents")
    (check,) = check_streams(contents, contents.rows[:1], Store(tmp_path / "store"))
    assert not check.problems and check.decoded and not check.judged
    assert check.absent == "cannot be measured here: operator torchvision::nms does not exist"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify"], "give the folder of a run, or --submission FILE"),
        (["verify", "run", "--submission", "a.zip"], "give the folder of a run, or --submission FILE"),
        (["verify", "run", "--sample", "1"], "--sample is not for a run"),
        (["verify", "--submission", "a.zip", "--trust"], "--trust is not for a submission"),
        (["verify", "--submission", "absent.zip"], "No such file"),
        (["leaderboard", ".", "--out", "site"], "has no submission"),
    ],
)
def test_wrong_arguments_are_one_line(bench, arguments, words):
    one_line_error(bench(*arguments, check=None), words)


def test_a_decoder_of_others_streams_has_limits(tmp_path, plugin_path):
    """Memory that a new process could have, and a file that the disk could hold, are refused to it."""
    from bench.interfaces import Codec, CodingCondition, Content
    from bench.registry import create
    from bench.runner.decode import decode_fresh

    for name, work in (("memory", "np.empty(20 << 30, np.uint8)"), ("file", "open('big', 'wb').truncate(5 << 30)")):
        path = tmp_path / f"{name}.py"
        path.write_text(
            plugin_path.read_text().replace("        steps = np.f", f"        {work}\n        steps = np.f")
        )
        spec = f"{path}:Deflate"
        frames = np.zeros((1, 8, 8), np.float32)
        stream = create(Codec, spec).encode(frames, 64, CodingCondition(), Content.FEATURES).stream
        folder = tmp_path / name
        folder.mkdir()
        with (
            pytest.raises((BenchError, OSError), match=r"not enough memory|File too large"),
            pytest.MonkeyPatch.context() as at,
        ):
            at.chdir(folder)
            decode_fresh(stream, folder, spec, foreign=True)


class Late:
    """A job that takes a minute."""

    @property
    def dataset(self):
        time.sleep(60)


class Large:
    """A job that needs more memory than it may have."""

    @property
    def dataset(self):
        return np.empty(20 << 30, np.uint8)


def test_results_are_measured_within_limits(tmp_path, monkeypatch):
    """In another process, which is stopped where it takes too long, and when the verification is interrupted."""
    monkeypatch.setattr("multiprocessing.get_context", lambda method: _CONTEXT)
    decoded = Decoded(np.zeros((1, 8, 8), np.float32))
    for job, limit, error, words in (
        (Large(), 600, MemoryError, "allocate"),
        (Late(), 0.01, BenchError, "was stopped"),
    ):
        judge = Judge(Store(tmp_path), limit)
        with pytest.raises(error, match=words):
            judge.measures(job, decoded)
        judge.close()
    judge = Judge(Store(tmp_path), 600)
    closing = threading.Timer(0.2, judge.close)
    closing.start()
    with pytest.raises(BenchError, match=r"has died|was stopped"):
        judge.measures(Late(), decoded)


# Hostile archives


def entry(name, mode=0, **fields):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def declared(path, name, size):
    """Make the archive state another size of a file, in both of its places."""
    data = bytearray(path.read_bytes())
    for magic, place, start in ((b"PK\3\4", 22, 30), (b"PK\1\2", 24, 46)):
        at = data.find(magic)
        while data[at + start : at + start + len(name)] != name.encode():
            at = data.find(magic, at + 1)
        data[at + place : at + place + 4] = size.to_bytes(4, "little")
    path.write_bytes(bytes(data))


ODD = {
    "traversal": ({"../evil": b"x"}, "'../evil', which is no file of a submission"),
    "deep traversal": ({"streams/../../evil.spk": b"x"}, "no file of a submission"),
    "absolute": ({"/tmp/evil": b"x"}, "no file of a submission"),  # noqa: S108
    "drive": ({"C:\\evil": b"x"}, "no file of a submission"),
    "folder": ({"streams/": b""}, "no file of a submission"),
    "pickle": ({"weights.pkl": b"x"}, "no file of a submission"),
    "code": ({"streams/aaaaaaaaaaaa.py": b"x"}, "no file of a submission"),
    "nested": ({"inner.zip": b"PK\3\4"}, "no file of a submission"),
    "parquet": ({"rd.parquet": b"PAR1"}, "no file of a submission"),
    "upper case": ({"RD.csv": b"x"}, "no file of a submission"),
    "zero byte": ({"rd.csv\0.py": b"x"}, "no file of a submission"),
    "unicode": ({"rd\u2024csv": b"x"}, "no file of a submission"),
    "page": ({"<script>alert(1)</script>": b"x"}, "no file of a submission"),
}


@pytest.fixture
def refuses(tmp_path):
    """Check that an archive is refused in one line of words, and that nothing lies outside the folder for it."""

    def check(path, words):
        folder = tmp_path / "inside"
        folder.mkdir()
        before = {file for file in tmp_path.rglob("*") if folder not in file.parents}
        with pytest.raises(BenchError, match=words) as error:
            open_submission(path, folder)
        assert "\n" not in str(error.value)
        assert {file for file in tmp_path.rglob("*") if folder not in file.parents} == before
        assert not [file for file in folder.rglob("*") if file.is_symlink()]

    return check


@pytest.mark.parametrize("name", ODD)
def test_other_files_are_refused(small, tmp_path, refuses, name):
    files, words = ODD[name]
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in {**members(small / "small.zip"), **files}.items():
            archive.writestr(member if "\0" not in member else "rd.csv#.py", data)
    if name == "zero byte":
        path.write_bytes(path.read_bytes().replace(b"rd.csv#.py", b"rd.csv\0.py"))
    refuses(path, words)


def test_links_duplicates_and_encryption_are_refused(small, tmp_path, refuses):
    path = tmp_path / "odd.zip"
    files = members(small / "small.zip")
    del files["run.json"]
    write_zip(path, files)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry("run.json", stat.S_IFLNK | 0o777), "/etc/passwd")
    refuses(path, r"run\.json is no plain file")
    write_zip(path, files)
    shutil.rmtree(tmp_path / "inside")
    refuses(path, r"has no run\.json")
    shutil.rmtree(tmp_path / "inside")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("run.json", "{}")
        archive.writestr("run.json", "{}")
    refuses(path, r"holds run\.json twice")
    shutil.rmtree(tmp_path / "inside")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("run.json", "{}")
    refuses(path, "compressed in a way")


def test_bombs_are_refused_before_and_while_they_are_unpacked(small, tmp_path, refuses, monkeypatch):
    from bench.board import archive

    path = tmp_path / "bomb.zip"
    files = members(small / "small.zip")
    write_zip(path, files | {"rd.csv": bytes((64 << 20) + 1)})
    refuses(path, r"rd\.csv has 67108865 bytes; a submission may have 67108864")
    shutil.rmtree(tmp_path / "inside")
    # States less than it holds: no more than what it states is written.
    write_zip(path, files | {"rd.csv": bytes(1 << 20)})
    declared(path, "rd.csv", 100)
    refuses(path, "Bad CRC-32|larger than it states")
    assert (tmp_path / "inside" / "rd.csv").stat().st_size <= 100
    shutil.rmtree(tmp_path / "inside")
    write_zip(path, files)
    declared(path, "rd.csv", 60 << 20)
    refuses(path, "Bad CRC-32|smaller than it states")
    shutil.rmtree(tmp_path / "inside")
    monkeypatch.setattr(archive, "_MOST_TOTAL", 1000)
    write_zip(path, files)
    refuses(path, "states more than 1000 bytes")
    shutil.rmtree(tmp_path / "inside")
    monkeypatch.setattr(archive, "_MOST_FILES", 4)
    refuses(path, "its directory has 7 entries")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not end as a ZIP file"),
        (b"PK\5\6" + bytes(10), "does not end as a ZIP file"),
        (b"\x80\4\x95" + bytes(100), "does not end as a ZIP file"),
        (b"PK\5\6" + bytes(4) + b"\xff\xff\xff\xff" + b"\xff\xff\xff\xff" * 2 + bytes(2), "entries in"),
        (b"#!/bin/sh\n" + b"PK\5\6" + bytes(18), "bytes before or between"),
        (b"PK\5\6" + bytes(18), r"has no manifest\.json"),
    ],
)
def test_another_file_is_no_submission(tmp_path, bench, data, words):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(BenchError, match=words):
        unpack(tmp_path / "a.zip", tmp_path / "inside")
    one_line_error(bench("verify", "--submission", "a.zip", check=None), "a.zip is no submission")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"manifest.json": b"[" * 100_000}, "manifest.json"),
        ({"manifest.json": b"\xff\xfe{\0}\0"}, "manifest.json"),
        ({"manifest.json": {"name": "=HYPERLINK(1)"}}, "a spreadsheet would take it for a formula"),
        ({"manifest.json": {"name": "a\u202eb"}}, "cannot be printed"),
        ({"manifest.json": {"name": "a" * 201}}, "at most 200"),
        ({"manifest.json": {"url": "javascript:alert(1)"}}, "url"),
        ({"manifest.json": {"url": 'https://a"onclick="x'}}, "url"),
        ({"manifest.json": {"schema_version": 2}}, "schema_version"),
        ({"manifest.json": {"code": "import os"}}, "code: no such field"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(small, tmp_path, refuses, change, words):
    files = members(small / "small.zip")
    for name, value in change.items():
        stated = value if isinstance(value, bytes) else json.dumps(json.loads(files[name]) | value).encode()
        files[name] = stated
    refuses(write_zip(tmp_path / "odd.zip", files), words)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("rd.csv", b"\xff\xfe\x00\n", "not UTF-8"),
        ("rd.csv", b"job,bits\n1,2\n", "columns differ"),
        ("rd.csv", b'"' + b"a" * 200_000, "columns differ|field larger"),
        ("run.json", b"[" * 100_000, "not valid JSON"),
        ("run.json", b'{"schema": 2}', "run.json: plan"),
        ("iqa.csv", b"=cmd()\n", "columns differ"),
    ],
)
def test_a_table_that_cannot_be_read_is_damage_in_one_line(small, tmp_path, name, data, words):
    path = forged(small / "small.zip", tmp_path / "odd.zip", lambda files: files.update({name: data}))
    done = run_bench("verify", "--submission", path, check=None)
    one_line_error(done, "odd.zip is no submission")
    assert re.search(words, done.stderr) and str(tmp_path) not in done.stderr


@pytest.mark.parametrize("column", ["sequence", "codec", "options", "reason"])
def test_a_formula_in_a_row_is_refused(small, tmp_path, refuses, column):
    edit = functools.partial(with_rows(lambda row: {column: "=cmd()"}), folder=tmp_path)
    refuses(forged(small / "small.zip", tmp_path / "f.zip", edit), f"column {column}.*formula")


def test_rows_that_repeat_a_job_or_state_impossible_figures_do_not_hold(small, tmp_path):
    def twice(files):
        with_rows(lambda row: {"psnr": -1e308} if row.paradigm == "caas" else {})(files, tmp_path)
        lines = files[RD_FILE].splitlines(keepends=True)
        files[RD_FILE] += lines[1]

    path = forged(small / "small.zip", tmp_path / "twice.zip", twice)
    problems = open_submission(path, tmp_path / "inside", streams=False).problems
    job = read_rows(small / "run" / RD_FILE)[0].job
    assert problems[0] == f"rd.csv: job {job} has 2 rows"
    assert len(problems) == 4 and all("psnr is -1e+308, out of 0 to 60 dB" in line for line in problems[1:])


# Boards


def true_row(row, **changes):
    """A row of `write_run` whose figures and job agree, as those of a run do."""
    row = row.model_copy(update=changes)
    row = row.model_copy(update={"bpf": row.bits / (row.num_frames * row.height * row.width)})
    return row.model_copy(update={"job": id_of_row(row)})


def edit_document(run, edit):
    document = json.loads((run / "run.json").read_text())
    edit(document)
    (run / "run.json").write_text(json.dumps(document))


def submitted(folder, name, codecs, by="", condition=None, **changes):
    run = write_run(folder / f"run-{name}", codecs, condition, rows=lambda row: true_row(row, **changes))
    pack_run(run, folder / f"{name}.zip", streams=False, name=by)


def site(folder, *references):
    """The page of a folder's submissions, and what was refused."""
    store = Store(folder / "store")
    _, _, refused = build_site(folder, folder / "site", store, lambda done, total, label: None, references)
    return Page((folder / "site" / "index.html").read_text()), {one.file: one.reason for one in refused}


def test_entries_under_different_cards_never_meet(sites):
    page = Page((sites / "site" / "index.html").read_text())
    boards = [text for name, text in page.sections.items() if name.startswith("s-motion")]
    assert len(boards) == 2
    (small,) = [text for text in boards if "x265" in text]
    (other,) = [text for text in boards if "x264" in text]
    assert "x264" not in small and "x265" not in other
    assert "A. Person" in small and "name not stated" in other
    assert "verified: all 2 streams decoded and measured again" in small
    assert "verified: all 1 streams" in other
    assert "Someone" in page.sections["submissions"]


def test_a_site_needs_nothing_but_its_files(sites):
    page = Page((sites / "site" / "index.html").read_text())
    links = [attributes for tag, attributes in page.elements if tag == "a"]
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    for place in [one["href"] for one in links] + [one["src"] for one in pictures]:
        inside = place.startswith("#") or (sites / "site" / place).is_file()
        assert inside or place == "https://example.org/x", place
    assert len(pictures) == 2 and all("x26" in one["alt"] for one in pictures)
    assert not [tag for tag, _ in page.elements if tag in ("script", "link", "iframe")]
    assert all(attributes["scope"] for tag, attributes in page.elements if tag == "th")
    assert (sites / "site" / "submissions" / "small.zip").read_bytes() == (sites / "small.zip").read_bytes()


def test_a_board_is_sorted_against_vvc(tmp_path):
    submitted(tmp_path, "a", {"x265": (2000, ""), "vvenc": (1600, "")}, "First")
    submitted(tmp_path, "b", {"vvenc": (1600, "")}, "Second", options="preset=slow", preset="slow")
    submitted(tmp_path, "c", {"dcvc": (800, "f" * 64)}, "Third")
    page, refused = site(tmp_path, "a.zip")
    assert not refused
    (text,) = [text for name, text in page.sections.items() if name.startswith("s-motion")]
    assert "Reference: CAAS vvenc #1, named by the board's maintainer." in text
    places = [text.index(name) for name in ("dcvc", "-50.00", "CAAS vvenc (slow)", "CAAS x265", "+25.00")]
    assert places == sorted(places)
    assert "f" * 12 in text and "not verified" in text


def test_a_board_without_vvc_says_what_it_is_compared_with(tmp_path):
    submitted(tmp_path, "a", {"x265": (2000, ""), "x264": (4000, "")})
    page, _ = site(tmp_path, "a.zip#CAAS x264")
    text = next(iter(page.sections.values()))
    assert "Reference: CAAS x264 #1" in text and "it is no codec of VVC" in text and "-50.00" in text
    with pytest.raises(BenchError, match=r"no board has a curve of 'a\.zip#CAAS x266'"):
        site(tmp_path, "a.zip", "a.zip#CAAS x266")


def verified(folder, name):
    """A record that says that all rows of a submission were decoded and measured again."""
    jobs = [row.job for row in read_rows(folder / f"run-{name}" / RD_FILE)]
    facts = {"measured": len(jobs), "drawn": len(jobs), "decoded": jobs, "judged": jobs, "absent": {}}
    (folder / f"{name}.record.json").write_text(make_record(folder / f"{name}.zip", [], **facts).text())


def test_a_curve_that_nobody_verified_is_no_reference(tmp_path):
    """VTM with ten times the bits would make every other curve look ten times better."""
    submitted(tmp_path, "a", {"vtm": (16000, "")}, "Forger")
    submitted(tmp_path, "b", {"vvenc": (1600, "")}, "Second")
    submitted(tmp_path, "c", {"x265": (2000, "")}, "Third")
    text = next(iter(site(tmp_path)[0].sections.values()))
    assert "Nothing is compared: no curve is verified in full" in text and "(no reference)" in text
    verified(tmp_path, "b")
    verified(tmp_path, "c")
    text = next(iter(site(tmp_path)[0].sections.values()))
    assert "Reference: CAAS vvenc #2, verified in full." in text and "+25.00" in text and "-90" not in text


def test_accuracy_is_compared_between_mean_curves(tmp_path):
    """One sequence alone has the same accuracy at two points; the mean over both rises."""
    levels = {"low-1": (0.2, 0.4, 0.6, 0.8), "high-1": (0.2, 0.3, 0.3, 0.4)}

    def classified(row):
        accuracy = levels[row.sequence][(8, 16, 32, 64).index(int(row.rate_point))]
        return true_row(row, task="classification", psnr=None, ssim=None, accuracy=accuracy)

    codecs = {"vvenc": (1600, ""), "sci": (800, "f" * 64)}
    run = write_run(tmp_path / "run", codecs, card(task="classification"), rows=classified)
    pack_run(run, tmp_path / "a.zip", streams=False)
    text = next(iter(site(tmp_path, "a.zip#CAAS vvenc")[0].sections.values()))
    assert "Compared by accuracy" in text and "-50.00" in text and "-50.00 [" not in text


def test_two_submitters_of_the_same_codec_are_two_entries(tmp_path):
    submitted(tmp_path, "a", {"vvenc": (1600, "")}, "First")
    submitted(tmp_path, "b", {"vvenc": (800, "")}, "Second")
    page, _ = site(tmp_path, "a.zip")
    text = next(iter(page.sections.values()))
    assert "#1 First" in text and "#2 Second" in text and "-50.00" in text


def test_recordings_of_two_people_with_one_name_do_not_meet(tmp_path):
    for name in ("a", "b"):
        run = write_run(tmp_path / f"run-{name}", {"vvenc": (1600, "")}, rows=lambda row: true_row(row, dataset="dat"))

        def own(document, name=name):
            document.update(
                origins={"datasets": {"dat": f"dat:root=/{name}"}},
                inputs={"sequences": {f"dat:root=/{name}/low-1": name * 64}},
            )

        edit_document(run, own)
        pack_run(run, tmp_path / f"{name}.zip", streams=False)
    page, _ = site(tmp_path)
    boards = [text for name, text in page.sections.items() if name.startswith("dat")]
    assert len(boards) == 2 and all("recordings" in text for text in boards)


def test_a_record_counts_for_its_archive_alone(tmp_path, bench):
    submitted(tmp_path, "a", {"vvenc": (1600, "")}, "First")
    bench("verify", "--submission", "a.zip", "--record", "a.record.json")
    record = json.loads((tmp_path / "a.record.json").read_text())
    assert "0 of 8 streams decoded" in site(tmp_path)[0].sections["submissions"]
    (tmp_path / "a.record.json").write_text(json.dumps(record | {"archive_sha256": "0" * 64}))
    assert "none" in site(tmp_path)[0].sections["submissions"]
    (tmp_path / "a.record.json").write_text(json.dumps(record | {"holds": False, "problems": ["<b>forged"]}))
    page, refused = site(tmp_path)
    assert refused["a.zip"] == "it was verified and does not hold: <b>forged"
    assert "<b>forged" in page.sections["refused"]
    for text in ("{", json.dumps(record | {"by": "=cmd()"}), json.dumps(record | {"judged": ["../x"]})):
        (tmp_path / "a.record.json").write_text(text)
        assert "a.record.json" in site(tmp_path)[1]


def test_odd_files_of_a_folder_are_named_and_the_others_are_shown(tmp_path, bench):
    submitted(tmp_path, "good", {"vvenc": (1600, "")}, "First")
    (tmp_path / "bad.zip").write_bytes(b"PK")
    (tmp_path / "link.zip").symlink_to(tmp_path / "good.zip")
    shutil.copy(tmp_path / "good.zip", tmp_path / "twice.zip")
    shutil.copy(tmp_path / "good.zip", tmp_path / "<img src=x onerror=alert(1)>.zip")
    done = bench("leaderboard", ".", "-o", "site", check=2)
    for words in ("bad.zip is no submission", "link.zip: it is no plain file", "twice.zip: it is the same", "onerror"):
        assert words in done.stderr
    assert done.stderr.count("\n") == 4 and "1 boards of 1 submissions" in done.stdout
    page = Page((tmp_path / "site" / "index.html").read_text())
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    assert [path.name for path in (tmp_path / "site" / "submissions").iterdir()] == ["good.zip"]


HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(1)>"\' onload="alert(1) {{ 7*7 }}$x_1$'


def test_names_are_text_in_the_boards(tmp_path):
    condition = card(extractor=HOSTILE)
    names = dict.fromkeys(("dataset", "options", "codec_version"), HOSTILE) | {"codec": "x" + HOSTILE}
    submitted(tmp_path, "a", {"x": (1600, "")}, HOSTILE, condition, **names)
    page, refused = site(tmp_path)
    assert not refused
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "link"}
    assert [attributes["src"] for tag, attributes in page.elements if tag == "img"] != ["x"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert HOSTILE in next(iter(page.sections.values()))
    (figure,) = (tmp_path / "site" / "curves").iterdir()
    assert "<script" not in figure.read_text() and "onload=" not in figure.read_text()
