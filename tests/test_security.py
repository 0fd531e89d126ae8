"""What comes from others is data: suites, runs, rows, streams, recordings, archives and weights run nothing.

Each test fails where the guard that it names in its last words is taken away. docs/security.md says what is trusted.
"""

import gzip
import io
import itertools
import json
import lzma
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import zstandard
from pydantic import ValidationError

from bench.errors import BenchError, StreamError
from bench.interfaces import (
    Analyzer,
    Codec,
    CodingCondition,
    Content,
    Dataset,
    Extractor,
    StreamInfo,
    pack_stream,
    split_names,
    unpack_stream,
)
from bench.registry import codec_for_stream, create, part_for_stream
from bench.results.document import read_run_file
from bench.results.rows import ClassRow, RDRow, read_rows, write_rows
from bench.runner.spec import load_suite
from tests.test_gate import card, write_run

LOCAL = "may name a program"
# Names in figures may be longer than the figure.
pytestmark = pytest.mark.filterwarnings("ignore:constrained_layout not applied")


@pytest.fixture
def marker(tmp_path):
    """A file that nothing may make; where it is there, something was run."""
    path = tmp_path / "run-by-others"
    yield path
    assert not path.exists()


@pytest.fixture
def evil(tmp_path, marker):
    """A Python file that makes the marker when it is imported."""
    path = tmp_path / "evil.py"
    path.write_text(f"open({str(marker)!r}, 'w')\n")
    return f"{path}:Evil"


class Payload:
    """Makes the marker when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


# Suite files


@pytest.mark.parametrize(
    "text",
    [
        'codecs = ["EVIL"]',
        'codecs = [{ codec = "EVIL", rates = [1] }]',
        'datasets = ["EVIL"]',
        'paradigms = ["EVIL"]',
        'extractors = ["EVIL"]',
        'analyzers = ["EVIL"]',
        'tasks = ["EVIL"]',
        'count = ["EVIL"]',
        'profile = ["caas EVIL"]',
        '[[presets.small]]\ncodecs = ["raw"]\n[[presets.small]]\ntasks = ["EVIL:key=value"]',
    ],
)
def test_a_suite_runs_no_file_that_it_names(tmp_path, evil, text):
    path = tmp_path / "suite.toml"
    path.write_text(text.replace("EVIL", evil))
    with pytest.raises(BenchError, match=r"names code to be run.*: give it by its flag"):
        load_suite(str(path))


@pytest.mark.parametrize("option", ["encoder", "decoder", "cfg"])
def test_a_suite_names_no_program(tmp_path, option):
    path = tmp_path / "suite.toml"
    path.write_text(f'codecs = ["vtm:{option}=/bin/sh"]')
    with pytest.raises(BenchError, match=f"sets '{option}' of vtm, which {LOCAL}"):
        load_suite(str(path))


def test_a_suite_may_say_where_data_and_weights_lie_and_flags_may_say_all(tmp_path, plugin_path):
    path = tmp_path / "suite.toml"
    path.write_text('codecs = ["sci:device=cpu,weights=a", "x265:limit_seconds=5"]\ndatasets = ["dat:root=b"]')
    assert load_suite(str(path)).grids[0].datasets == ("dat:root=b",)
    spec = f"{plugin_path}:Deflate"
    path.write_text('codecs = ["other.py:Other"]')
    assert load_suite(str(path), codecs=[spec]).grids[0].codecs[0].codec == spec


@pytest.mark.parametrize("name", ["../x", "..", ".", "/tmp/x", "-x", "a/b", "a\\nb", "a b"])  # noqa: S108
def test_a_suite_stays_in_the_folder_of_results(tmp_path, name):
    path = tmp_path / "suite.toml"
    path.write_text(f'name = "{name}"')
    with pytest.raises(BenchError, match="name: String should match"):
        load_suite(str(path))


# Runs of others


@pytest.fixture
def foreign(tmp_path):
    """A run's folder whose run.json can be changed: foreign(document -> None)."""
    folder = write_run(tmp_path / "foreign", {"x265": (1000, "")})

    def change(edit):
        document = json.loads((folder / "run.json").read_text())
        edit(document)
        (folder / "run.json").write_text(json.dumps(document))
        return folder

    return change


@pytest.mark.parametrize(("spec", "words"), [("EVIL", "names code"), ("vtm:decoder=/bin/sh", LOCAL)])
@pytest.mark.parametrize("claimed", [False, True])
def test_verifying_a_run_runs_nothing_that_it_names(foreign, evil, tmp_path, spec, words, claimed):
    from bench.runner.store import Store
    from bench.runner.verify import verify_run

    def edit(document):
        document["origins"] = {"codecs": {"x265": spec.replace("EVIL", evil)}}
        document["trusted"] = claimed

    folder = foreign(edit)
    with pytest.raises(BenchError, match=f"{words}.*: give --trust if the run is your own"):
        list(verify_run(folder, Store(tmp_path / "store")))


def test_reporting_on_a_run_runs_nothing_that_it_names(foreign, evil):
    from bench.report.pictures import at_instant
    from bench.report.rows import load_runs

    folder = foreign(lambda document: document.update(origins={"datasets": {"s-motion": evil}}))
    runs = load_runs([folder])
    with pytest.raises(BenchError, match="names code to be run"):
        at_instant(runs.table.iloc[0], runs.documents, 0)


def test_a_streams_picture_in_a_report_runs_nothing_that_the_run_names(foreign, evil):
    from bench.report.paper.figures import Scene
    from bench.report.rows import load_runs

    folder = foreign(lambda document: document.update(origins={"codecs": {"x265": evil}}))
    runs = load_runs([folder])
    row = runs.table.iloc[0].to_dict()
    (folder / "streams").mkdir()
    info = StreamInfo("x265", "", b"", Content.FEATURES, (1, 8, 8), 32)
    (folder / "streams" / f"{row['job']}.spk").write_bytes(pack_stream(info, b""))
    with pytest.raises(BenchError, match="names code to be run"):
        Scene(runs, runs.table).decoded(row)


def test_a_table_of_costs_runs_nothing_that_it_names(evil):
    from bench.report.paper.figures import profiled_label

    with pytest.raises(BenchError, match="names code to be run"):
        profiled_label(evil)


def test_a_run_of_ones_own_may_be_trusted(foreign, plugin_path):
    from bench.results.document import usable_origin

    spec = f"{plugin_path}:Deflate"
    folder = foreign(lambda document: document.update(origins={"codecs": {"deflate": spec}}))
    assert usable_origin(read_run_file(folder, trusted=True), Codec, "deflate") == spec


# Rows


@pytest.mark.parametrize("job", ["../../secret", "/etc/passwd", "A" * 12, "a" * 11, "a" * 11 + "\n", "-" * 12])
def test_a_job_is_no_path(tmp_path, job):
    row = read_rows(write_run(tmp_path / "run", {"x265": (1000, "")}) / "rd.csv")[0]
    write_rows(tmp_path / "rd.csv", [row.model_copy(update={"job": job})])
    with pytest.raises(BenchError, match="column job"):
        read_rows(tmp_path / "rd.csv")
    with pytest.raises(ValidationError, match="job"):
        ClassRow(schema_version=1, job=job, label=0, predicted=0, probabilities="1")


@pytest.mark.parametrize(
    "name", ["=cmd()", "@SUM(1)", "+1+cmd", "-2+3+cmd|' /C calc'!A0", "a\x1b[31m", "a\nb", "a\u2028b"]
)
@pytest.mark.parametrize("column", ["sequence", "dataset", "codec", "options"])
def test_a_cell_is_no_formula_and_no_command_for_the_terminal(tmp_path, name, column):
    row = read_rows(write_run(tmp_path / "run", {"x265": (1000, "")}) / "rd.csv")[0]
    write_rows(tmp_path / "rd.csv", [row.model_copy(update={column: name})])
    with pytest.raises(BenchError, match=f"column {column}"):
        read_rows(tmp_path / "rd.csv")


def test_what_a_program_said_becomes_one_printable_line(tmp_path):
    row = read_rows(write_run(tmp_path / "run", {"x265": (1000, "")}) / "rd.csv")[0]
    failure = RDRow(**{**row.model_dump(), "status": "failed", "reason": "died:\n\x1b[31mred\x00 \u2028"})
    assert failure.reason == "died: ?[31mred?"


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "=cmd()", "\udce4"])
def test_sequences_with_names_that_are_more_than_names_are_refused(tmp_path, name):
    from bench.runner.plan import make_plan
    from bench.runner.spec import make_spec

    try:
        (tmp_path / f"{name}.dat").write_bytes(bytes(32 * 40))
    except OSError:
        pytest.skip("this file system has no such names")
    spec = make_spec(datasets=[f'dat:"root={tmp_path}",size=16x16'], frames=1, extractors=["tfp"])
    with pytest.raises(BenchError, match="is no name for a sequence"):
        make_plan(spec)


# Commands that are printed to be pasted

NASTY = [
    "; touch MARKER", "$(touch MARKER)", "`touch MARKER`", "'; touch MARKER; '", '"$(touch MARKER)"', "| touch MARKER",
    "a && touch MARKER && b", "--help", "-x", "a b", "*", "~", "#", "\\",
]  # fmt: skip


@pytest.fixture
def pasted(tmp_path):
    """Give lines to a shell whose `bench` notes what it is called with; gives the calls."""
    programs, noted = tmp_path / "programs", tmp_path / "noted"
    programs.mkdir()
    (programs / "bench").write_text(
        f"#!{sys.executable}\nimport json, sys\nopen({str(noted)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    (programs / "bench").chmod(0o755)

    def paste(*lines):
        noted.unlink(missing_ok=True)
        text = "\n".join(lines)
        subprocess.run(
            ["/bin/sh"], input=text, text=True, cwd=tmp_path, env={"PATH": f"{programs}:/usr/bin:/bin"}, check=True
        )
        return [json.loads(line) for line in noted.read_text().splitlines()]

    return paste


@pytest.mark.parametrize("nasty", NASTY)
def test_the_command_of_a_row_is_inert(foreign, pasted, marker, nasty):
    from bench.results.explain import explain_row

    nasty = nasty.replace("MARKER", str(marker))
    origins = {"codecs": {"x265": nasty}, "extractors": {"tfp": nasty}}
    folder = foreign(lambda document: document.update(origins=origins))
    row = read_rows(folder / "rd.csv")[0]
    write_rows(folder / "rd.csv", [row.model_copy(update={"sequence": nasty, "rate_point": nasty})])
    *_, command = explain_row(f"{folder}#{row.job}", folder)
    (call,) = pasted(command)
    joined = [item for item in call if item.startswith("--") and "=" in item]
    arguments = dict(itertools.pairwise(call)) | dict(item.split("=", 1) for item in joined)
    assert {arguments[name] for name in ("--codec", "--extractor")} == {nasty}
    assert {split_names(arguments[name]) for name in ("--sequences", "--rates")} == {(nasty,)}
    assert not (nasty.startswith("-") and nasty in call)  # a word of its own could be a flag


@pytest.mark.parametrize("nasty", NASTY)
def test_a_reports_table_gives_no_other_command(tmp_path, pasted, marker, nasty):
    from bench.results.explain import explain_cell

    nasty = nasty.replace("MARKER", str(marker))
    quoted = "'" + nasty.replace("'", "'\\''") + "'"
    for command in (nasty, f"bench run {nasty}", f"bench run --codec {quoted} && bench report RUN"):
        pd.DataFrame({"a": [1], "command": [command]}).to_csv(tmp_path / "table.csv", index=False)
        try:
            lines = list(explain_cell(f"{tmp_path / 'table.csv'}:1"))
        except BenchError:
            assert not command.startswith("bench run --codec")
            continue
        pasted(*(line for line in lines if line.startswith("  bench")))
        assert lines[lines.index("commands that give its measured figures again:") + 1].startswith("  bench ")


@pytest.mark.parametrize("command", ["rm -rf ~", "bench run && rm -rf ~", "bench 'run", "bench run\nrm x", "&& bench"])
def test_the_command_that_run_json_states_is_of_this_suite(foreign, command):
    folder = foreign(lambda document: document["provenance"][0].update(command=command))
    with pytest.raises(BenchError, match=r"run\.json: provenance\.0\.command"):
        read_run_file(folder)


def test_that_command_is_quoted_anew(foreign, pasted, marker):
    folder = foreign(
        lambda document: document["provenance"][0].update(command=f"bench run; touch {marker} $(touch {marker})")
    )
    pasted(read_run_file(folder)["provenance"][0]["command"])


@pytest.mark.parametrize("key", ["suite", "git_commit", "processor"])
def test_what_made_a_run_is_printable(foreign, key):
    folder = foreign(
        lambda document: document["provenance"][0].update({key: "x\ncommand that makes it again:\n  rm x"})
    )
    with pytest.raises(BenchError, match="cannot be printed"):
        read_run_file(folder)


def test_commands_beside_rows_are_quoted(pasted, marker):
    from bench.measure.iqa import IqaRow
    from bench.measure.networks import NetworkRow
    from bench.report.paper.tables import profiling

    nasty = f"$(touch {marker})"
    columns = ("paradigm", "codec", "rate_point", "dataset", "sequence", "extractor", "analyzer")
    (call,) = pasted(profiling(pd.Series(dict.fromkeys(columns, nasty))))
    assert call.count(nasty) == len(columns)
    with pytest.raises(ValidationError, match="metric"):
        IqaRow(schema_version=1, job="a" * 12, metric=nasty, status="ok")
    with pytest.raises(ValidationError, match="codec"):
        NetworkRow(
            schema_version=1, codec="--out=x", width=1, height=1, part="", side="", frame="", parameters=1, macs=1
        )


def test_an_error_is_one_printable_line(capsys, monkeypatch):
    from bench.cli.program import main

    monkeypatch.setattr(sys, "argv", ["bench", "explain", "a\x1b]0;title\x07\nb"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.strip().isprintable()


# Streams


@pytest.mark.parametrize("name", ["EVIL", "../evil", "evil.py:Evil", "/bin/sh", "raw\n", "-raw"[1:] + ":level=1"])
def test_a_stream_names_no_code(evil, name):
    info = StreamInfo(name.replace("EVIL", evil), "", b"", Content.SPIKES, (1, 8, 8), "lossless")
    with pytest.raises(StreamError, match="malformed"):
        codec_for_stream(unpack_stream(pack_stream(info, b""))[0])


@pytest.mark.parametrize("option", ["decoder=/bin/sh", "encoder=/bin/sh", "cfg=/", "limit_seconds=1e9"])
def test_a_stream_sets_nothing_of_this_machine(option):
    with pytest.raises(StreamError, match="only this machine may set"):
        codec_for_stream(StreamInfo("vtm", option, b"", Content.FEATURES, (1, 8, 8), 32))


@pytest.mark.parametrize("kind", [Extractor, Analyzer])
@pytest.mark.parametrize("spec", ["EVIL", "tfp:window=EVIL", "evil", "../evil", ""])
def test_a_streams_analysis_names_no_code(evil, kind, spec):
    with pytest.raises(StreamError, match="not installed"):
        part_for_stream(kind, spec.replace("EVIL", evil))


@pytest.mark.parametrize("kind", [Extractor, Analyzer])
@pytest.mark.parametrize("option", ["weights=/etc/passwd", "device=cuda"])
def test_a_streams_analysis_sets_nothing_of_this_machine(kind, option):
    with pytest.raises(StreamError, match="only this machine may set"):
        part_for_stream(kind, f"sci:{option}")


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1 << 20, 1 << 20),
        (1 << 31, 1, 1),
        (1 << 16, 1 << 12, 1 << 12),
        (1, 1, 1 << 63),
        (1, 1 << 14, 1 << 13),
        (0, 8, 8),
        (-1, 8, 8),
    ],
)
def test_a_stream_of_terabytes_is_refused_unread(shape):
    with pytest.raises(StreamError, match=r"impossible shape|malformed"):
        unpack_stream(pack_stream(StreamInfo("isi", "", b"", Content.SPIKES, shape, "lossless"), b""))


def bomb(name, payload):
    return pack_stream(StreamInfo(name, "", b"", Content.SPIKES, (1, 8, 8), "lossless"), payload)


def test_zstandard_expands_to_no_more_than_the_header_says():
    with pytest.raises(StreamError, match="states more bytes than the spikes have"):
        create(Codec, "zstd").decode(bomb("zstd", zstandard.compress(bytes(1 << 26))))
    stated_nowhere = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 26))
    with pytest.raises(StreamError):
        create(Codec, "zstd").decode(bomb("zstd", stated_nowhere))


def test_xz_expands_to_no_more_than_the_header_says():
    with pytest.raises(StreamError, match=r"^9 bytes of packed spikes"):
        create(Codec, "xz").decode(bomb("xz", lzma.compress(bytes(1 << 26))))


def test_xz_keeps_no_dictionary_of_gigabytes():
    data = bytearray(lzma.compress(bytes(8), check=lzma.CHECK_NONE))
    data[12 + 4] = 40  # the dictionary's size, 4 GiB
    size = 4 * (data[12] + 1)
    data[12 + size - 4 : 12 + size] = zlib.crc32(data[12 : 12 + size - 4]).to_bytes(4, "little")
    with pytest.raises(StreamError, match=r"[Mm]emory"):
        create(Codec, "xz").decode(bomb("xz", bytes(data)))


@pytest.mark.parametrize("shape", [(60, 32, 32), (1, 512, 512)], ids=["more frames", "larger frames"])
@pytest.mark.parametrize("name", ["x264", "x265", "ffv1"])
def test_a_video_decodes_to_no_more_than_the_header_says(name, shape, monkeypatch):
    from baselines import _video

    codec = create(Codec, name)
    if not codec.available().ok:
        pytest.skip(codec.available().reason)
    point = codec.rate_points[0]
    stream = codec.encode(np.zeros(shape, np.float32), point, CodingCondition(), Content.FEATURES).stream
    _, payload = unpack_stream(stream)
    sizes, run_tool = [], _video.run_tool

    def watched(*arguments, **options):
        output, text = run_tool(*arguments, **options)
        sizes.append(len(output))
        return output, text

    monkeypatch.setattr(_video, "run_tool", watched)
    with pytest.raises(BenchError):
        codec.decode(pack_stream(StreamInfo(name, "", b"", Content.FEATURES, (1, 16, 16), point), payload))
    assert sum(sizes) <= 3 * 64 * 64  # two of the least frames that a codec has, and one more


def test_vtm_decodes_to_no_more_than_the_header_says(tmp_path):
    decoder = tmp_path / "DecoderApp"
    decoder.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nhead -c 100000 /dev/zero > "$2"\n')
    decoder.chmod(0o755)
    codec = create(Codec, f"vtm:decoder={decoder}")
    with pytest.raises(BenchError, match="more is decoded than the 1 frames"):
        codec.decode(pack_stream(StreamInfo("vtm", "", b"", Content.FEATURES, (1, 8, 8), 32), b""))


def test_a_lack_of_memory_is_one_line():
    class Large(type(create(Codec, "raw"))):
        def unpack(self, payload, shape):
            raise MemoryError

    with pytest.raises(BenchError, match="not enough memory"):
        Large().decode(bomb("raw", bytes(8)))


def test_a_streams_rate_point_is_one_of_the_codecs():
    stream = pack_stream(StreamInfo("raw", "", b"", Content.SPIKES, (1, 8, 8), "../x"), bytes(8))
    with pytest.raises(BenchError, match="no rate point"):
        create(Codec, "raw").decode(stream)


# Recordings


@pytest.mark.parametrize("name", ["-i", "--help", "a b", 'it\'s "so"', "$(touch x)", "<b>", "..."])
def test_a_recordings_name_reaches_no_program(tmp_path, monkeypatch, name):
    from baselines import _video
    from bench.stream.recording import Cut, encode_recording

    words, run_tool = [], _video.run_tool

    def watched(arguments, **options):
        words.extend(map(str, arguments))
        return run_tool(arguments, **options)

    monkeypatch.setattr(_video, "run_tool", watched)
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.dat").write_bytes(bytes(32 * 41))
    said = encode_recording(
        Path(f"{name}.dat"), Path("out.spk"), Cut(0, 0, 8, 20), codec="x264", paradigm="caas", extractor="tfp",
        coding=CodingCondition(), size="16x16", progress=lambda *_: None, warn=print,
    )  # fmt: skip
    assert "for 41 spike frames" in said
    assert words and not [word for word in words if f"{name}.dat" in word]


@pytest.mark.parametrize("name", ["-version.mp4", "concat:other.mp4", "file:other.mp4"])
def test_a_videos_name_is_no_flag_and_no_address(tmp_path, monkeypatch, name):
    import imageio_ffmpeg

    from bench.datasets.video import read_video

    monkeypatch.chdir(tmp_path)
    writer = imageio_ffmpeg.write_frames("plain.mp4", (64, 48), macro_block_size=16)
    writer.send(None)
    writer.send(bytes(64 * 48 * 3))
    writer.close()
    Path("plain.mp4").rename(name)
    assert read_video(Path(name), 1).shape == (1, 48, 64)


@pytest.mark.parametrize("link", [False, True])
def test_a_sidecar_shows_nothing_outside_its_folder(tmp_path, link):
    from PIL import Image

    from bench.datasets.dat import Dat

    Image.fromarray(np.zeros((8, 16), np.uint8)).save(tmp_path / "secret.png")
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "a.dat").write_bytes(bytes(16 * 4))
    if link:
        (folder / "truth.png").symlink_to(tmp_path / "secret.png")
    truth = {"1": "truth.png" if link else "../secret.png"}
    (folder / "a.json").write_text(json.dumps({"width": 16, "height": 8, "truth": truth}))
    with pytest.raises(BenchError, match="lies outside"):
        Dat(root=str(folder)).sequences()


def test_a_picture_of_gigabytes_is_refused(tmp_path):
    from bench.pictures import read_grey

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">2I5B", 60000, 60000, 8, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))))
    with pytest.raises(BenchError, match="cannot be read as a picture"):
        read_grey(tmp_path / "a.png")


# Weights and arrays


@pytest.mark.parametrize("suffix", ["pth", "pt", "pth.tar", "safetensors"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_runs_nothing(tmp_path, marker, suffix, legacy):
    import torch

    from bench.weights import read_weights

    path = tmp_path / f"a.{suffix}"
    if legacy:
        path.write_bytes(pickle.dumps({"state_dict": Payload(marker)}))
    else:
        torch.save({"state_dict": Payload(marker)}, path)
    with pytest.raises(BenchError, match=r"refused|not a safetensors file"):
        read_weights(path)


def test_a_trainings_checkpoint_runs_nothing(tmp_path, marker):
    import torch

    from bench.train.checkpoint import Settings, load_checkpoint

    torch.save({"settings": Payload(marker)}, tmp_path / "checkpoint.pt")
    with pytest.raises(BenchError, match="cannot be read"):
        load_checkpoint(tmp_path, Settings("a", "b", 1, 0), None, None, resume=True)


def test_a_parity_case_runs_nothing(tmp_path, marker):
    from baselines.neural.parity import read_case

    np.savez(tmp_path / "anchor2-float32.npz", frames_u8=np.array([Payload(marker)], object))
    with pytest.raises(BenchError, match="is not a case"):
        read_case(tmp_path / "anchor2-float32.npz")


def test_a_stored_array_runs_nothing(marker):
    from bench.runner.store import Entry

    file = io.BytesIO()
    np.save(file, np.array([Payload(marker)], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Entry("", {}, file.getvalue()).array()


def test_cifars_pickles_are_known_by_their_hash(tmp_path, marker):
    from bench.datasets._labelled import cifar

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / name).write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(BenchError, match="not CIFAR-10's file"):
        cifar(tmp_path, "test")


# Archives


def test_an_archive_leaves_nothing_outside_its_folder(tmp_path):
    from bench.datasets.s_reds import _unpack

    inside = "spikezoo/data/base/"
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr(f"{inside}test/spike/good.dat", b"1")
        for name in (
            f"{inside}test/spike/../../../../x.dat",
            "/x.dat",
            "../x.dat",
            f"{inside}test/spike/x.py",
            "setup.py",
        ):
            wheel.writestr(name, b"2")
        link = zipfile.ZipInfo(f"{inside}test/gt/link.png")
        link.external_attr = 0o120777 << 16
        wheel.writestr(link, "/etc/passwd")
    before = set(tmp_path.rglob("*"))
    assert _unpack(tmp_path / "a.whl", tmp_path / "data") == 2
    files = {path for path in tmp_path.rglob("*") if path not in before and not path.is_dir()}
    assert files == {tmp_path / "data/test/spike/good.dat", tmp_path / "data/test/gt/link.png"}
    assert not any(path.is_symlink() for path in files)


def test_an_archive_that_is_another_one_is_not_opened(tmp_path, monkeypatch):
    from bench.datasets import s_reds
    from bench.metrics import iqa

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / s_reds.WHEEL, "w") as wheel:
        wheel.writestr("spikezoo/data/base/test/spike/a.dat", b"1")
    with pytest.raises(BenchError, match="nothing was unpacked"):
        create(Dataset, "s-reds").prepare(tmp_path / s_reds.WHEEL)
    for source in iqa.SOURCES.values():
        shutil.copy(tmp_path / s_reds.WHEEL, tmp_path / source.archive)
    with pytest.raises(BenchError, match="nothing was unpacked"):
        iqa.fetch_parameters(tmp_path)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_one_member_of_an_archive_is_read_and_nothing_unpacked(tmp_path, monkeypatch):
    from bench.metrics.iqa import _member

    monkeypatch.chdir(tmp_path)
    with tarfile.open("a.tar.gz", "w:gz") as package:
        for name in ("../evil", "a/model"):
            info = tarfile.TarInfo(name)
            info.size = 4
            package.addfile(info, io.BytesIO(b"data"))
    assert _member(Path("a.tar.gz"), "a/model") == b"data"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_gzipped_file_expands_to_no_more_than_it_may(tmp_path, monkeypatch):
    from bench.datasets import _labelled

    images = struct.pack(">4I", 0x803, 20, 28, 28) + bytes(20 * 784)
    (tmp_path / "file.gz").write_bytes(gzip.compress(images))
    assert _labelled._idx("s-mnist-10k", tmp_path, "file").shape == (20, 28, 28)
    monkeypatch.setattr(_labelled, "_MOST_BYTES", 1000)
    with pytest.raises(BenchError, match="damaged or no idx file"):
        _labelled._idx("s-mnist-10k", tmp_path, "file")


# Programs that the suite starts


def test_programs_start_without_the_working_folder_to_import_from(monkeypatch, tmp_path):
    from bench.datasets import _pypi
    from bench.interfaces import Kind, Side, Stage
    from bench.measure import profile
    from bench.runner import decode

    started = []

    def note(arguments, **options):
        started.append([str(argument) for argument in arguments])
        raise BenchError("not started")

    for module, name in ((_pypi, "run_tool"), (profile, "run_tool"), (decode, "start_tool")):
        monkeypatch.setattr(module, name, note)
    monkeypatch.setattr(decode, "_mine", type("", (), {})())
    with pytest.raises(BenchError):
        _pypi.download("a==1", "a.whl", "0", tmp_path)
    profile._measured({}, Stage("a", Kind.EXTRACT, Side.CAMERA, "spikes"))
    with pytest.raises(BenchError):
        decode._server()
    assert [arguments[:2] for arguments in started] == [[sys.executable, "-P"]] * 3


def test_what_a_program_says_is_no_command_for_the_terminal():
    from bench.tools import run_tool

    with pytest.raises(BenchError) as error:
        run_tool([sys.executable, "-c", "raise SystemExit('a\x1b[2Jb')"])
    assert str(error.value).endswith("a?[2Jb")


def test_arguments_meet_no_shell(tmp_path, marker):
    from bench.tools import run_tool

    nasty = f"; touch {marker} $(touch {marker})"
    output, _ = run_tool([sys.executable, "-c", "import sys; print(sys.argv[1])", nasty])
    assert output.decode().strip() == nasty


# Reports

HOSTILE = (
    '</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"\' onload="alert(1)|x[a](javascript:b)'
    "$\\input{c}$"
)


class Elements(HTMLParser):
    """Elements with their attributes, and the text of the page's data element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.data, self._inside = [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = ("id", "data") in attrs

    def handle_data(self, data):
        if self._inside:
            self.data += data


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report on runs in which every name is an attack, and its page."""
    from bench.report.build import build_report

    def odd(row):
        names = ("dataset", "options", "preset", "codec_version")
        own = {"codec": HOSTILE + row.codec, "sequence": HOSTILE + row.sequence}
        failed = {"status": "failed", "reason": HOSTILE, "bits": None, "bpp": None, "psnr": None}
        return row.model_copy(update=dict.fromkeys(names, HOSTILE) | own | (failed if row.rate_point == "8" else {}))

    folder = tmp_path_factory.mktemp("hostile")
    run = write_run(folder / "run", {"x265": (1000, ""), "dcvc": (2000, "f" * 64)}, rows=odd)
    document = json.loads((run / "run.json").read_text())
    document["provenance"][0].update(processor=HOSTILE, command="bench run --codec '</script><script>'")
    (run / "run.json").write_text(json.dumps(document))
    build_report([run], folder / "report", lambda done, total, label: None, folder / "index.html")
    return folder


def test_names_are_text_in_the_page(hostile):
    page = Elements((hostile / "index.html").read_text())
    assert page.tags.count("script") == 3
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(value.startswith("data:") for name, value in page.attributes if name == "src")
    points = json.loads(page.data)["points"]
    assert any(HOSTILE in text for column in points.values() if "values" in column for text in column["values"])


def test_names_are_text_in_markdown(hostile):
    texts = [path.read_text() for path in (hostile / "report").glob("*.md")]
    assert len(texts) > 1
    for text in texts:
        assert "<script" not in text and "<img" not in text and "](javascript" not in text
        for line in text.splitlines():
            if line.startswith("|") and "alert" in line:
                assert "|x[a]" not in line.replace("\\|", "")


def test_names_are_text_in_latex(hostile):
    texts = [path.read_text() for path in (hostile / "report").glob("*.tex")]
    assert any("alert" in text for text in texts)
    assert not [text for text in texts if "\\input" in text]


def test_names_are_text_in_figures(tmp_path):
    from bench.report.pictures import Tile, draw_tiles
    from bench.report.plots import rd_plot
    from bench.report.rows import load_runs

    name = "$\\frac{1$"
    run = write_run(tmp_path / "run", {"x265": (1000, "")}, rows=lambda row: row.model_copy(update={"dataset": name}))
    rd_plot(load_runs([run]).table, name, [tmp_path / "rd.png"])
    draw_tiles([Tile(name, name, np.zeros((8, 8)))], tmp_path / "tiles.png", name)
    codecs = write_run(
        tmp_path / "codecs", {"x265": (1000, "")}, rows=lambda row: row.model_copy(update={"codec": name})
    )
    rd_plot(load_runs([codecs]).table, "s-motion", [tmp_path / "rd.png"])


def test_names_are_text_in_what_a_check_writes(tmp_path):
    from bench.check.files import junit_xml, markdown_page
    from bench.check.gate import Tolerance, check_runs

    def odd(row):
        return row.model_copy(update={"sequence": HOSTILE + row.sequence})

    first = write_run(tmp_path / "first", {"x265": (1000, "")}, rows=odd)
    second = write_run(tmp_path / "second", {"x265": (2000, "")}, rows=odd)
    check = check_runs(second, first, Tolerance())
    page = markdown_page(check, second, first)
    assert "alert" in page and "<script" not in page and "](javascript" not in page
    names = [case.get("name") for case in ElementTree.fromstring(junit_xml(check)).iter("testcase")]  # noqa: S314
    assert any(HOSTILE in name for name in names)


def test_card_fields_are_what_they_should_be(foreign):
    def edit(document):
        next(iter(document["conditions"].values()))["num_frames"] = "; rm -rf ~"

    with pytest.raises(BenchError, match=r"run\.json: conditions"):
        read_run_file(foreign(edit))
    assert card().num_frames == 32
