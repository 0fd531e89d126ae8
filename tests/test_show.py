"""Pictures and videos of recordings."""

import shutil

import numpy as np
import pytest
from PIL import Image

from bench.datasets.video import read_video
from bench.interfaces import Dataset, to_uint8
from bench.registry import create
from bench.results.rows import RD_FILE, RUN_FILE, read_rows
from bench.show.canvas import LINE
from bench.spikes import write_dat
from tests.conftest import TINY, one_line_error

SEQUENCE = f"{TINY}/low-1"
# Panels of 32 pixels are enlarged seven times, and there are six pixels between them.
SIDE, STEP = 7 * 32, 7 * 32 + 6


def test_panels_stand_side_by_side(bench, tmp_path):
    out = tmp_path / "sheet.png"
    said = bench("show", SEQUENCE, "-o", out, "--frames", "4", "--codec", "ffv1", "--extractor", "tfp").stdout
    assert said == f"{out}: low-1, an instant in the middle of 4 instants from spike frame 20 on\n"
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (2 * (SIDE + 2 * LINE + 6) + 6, 3 * STEP + 6)
    panels = [
        sheet[top + 2 * LINE + 6 :, left + 6 :][:SIDE, :SIDE][3::7, 3::7]
        for top in (0, SIDE + 2 * LINE + 6)
        for left in (0, STEP, 2 * STEP)
    ]
    recording = create(Dataset, TINY).open("low-1")
    assert np.array_equal(panels[0], 255 * recording.spikes(36, 37)[0])  # the third of four instants
    assert np.array_equal(panels[3], to_uint8(recording.truth([36]))[0])
    assert np.array_equal(panels[1], panels[2])  # the features are TFP's too
    assert np.array_equal(panels[2], panels[4])  # and nothing is lost
    assert len(np.unique(panels[5])) == 1  # there is no sixth


def test_every_recording_of_a_folder_gets_a_video(bench, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        write_dat(folder / f"{name}.dat", (random.random((60, 16, 24)) < 0.3).astype(np.uint8))
    arguments = ["show", folder, "--size", "24x16", "--panels", "spikes,rate", "-o"]
    said = bench(*arguments, tmp_path / "videos").stdout.splitlines()
    assert [line.partition(":")[0] for line in said] == [
        f"{tmp_path / 'videos' / name}.mp4 (25 frames a second)" for name in ("one", "two")
    ]
    frames = read_video(tmp_path / "videos" / "one.mp4", 99)
    assert len(frames) == 3  # instants in 60 spike frames
    one_line_error(bench(*arguments, tmp_path / "all.mp4", check=2), "there are several recordings; name a folder")
    # One that is too short for an instant, and one that is cut, do not keep the other from being shown.
    write_dat(folder / "one.dat", np.zeros((8, 16, 24), np.uint8))
    (folder / "cut.dat").write_bytes(b"12345")
    done = bench(*arguments, tmp_path / "again", check=2)
    assert "one: 8 spike frames" in done.stderr and "cut.dat: found 5 bytes" in done.stderr
    assert (tmp_path / "again" / "two.mp4").exists()


def test_a_stream_is_shown_as_it_decodes(bench, tmp_path):
    random = np.random.default_rng(0)
    write_dat(tmp_path / "a.dat", (random.random((97, 16, 24)) < 0.3).astype(np.uint8))
    stream = tmp_path / "a.spk"
    bench(
        "encode",
        tmp_path / "a.dat",
        "--size",
        "24x16",
        "--spike-rate",
        "0.6",
        "--codec",
        "ffv1",
        "--extractor",
        "tfp",
        "-o",
        stream,
    )
    said = bench("show", stream, "-o", tmp_path / "a.png").stdout
    assert said.startswith(f"{tmp_path / 'a.png'}: 8 frames of 24x16 from")
    bench("decode", stream, "-o", tmp_path / "a.npy")
    frames = to_uint8(np.load(tmp_path / "a.npy"))
    # Panels of 24 pixels are enlarged nine times.
    sheet = np.asarray(Image.open(tmp_path / "a.png"))[2 * LINE + 6 :, 6:][: 9 * 16, : 9 * 24][4::9, 4::9]
    assert np.array_equal(sheet, frames[4])
    bench("show", stream, "-o", tmp_path / "a.npy")
    assert len(np.load(tmp_path / "a.npy")) == 8
    one_line_error(bench("show", stream, "--codec", "x264", "-o", tmp_path / "b.png", check=2), "leave out all options")


def test_a_run_is_shown_with_all_its_codecs(reference, bench, tmp_path):
    rows = [row for row in read_rows(reference / RD_FILE) if row.status == "ok"]
    said = bench("show", reference, "-o", tmp_path / "films").stdout.splitlines()
    cards = {(row.sequence, row.condition) for row in rows}
    assert len(said) == len(cards)
    curves = {(row.paradigm, row.codec, row.options) for row in rows if row.sequence == "low-1"}
    assert f"{len(curves)} results at {rows[0].num_frames} instants" in "\n".join(said)
    films = sorted((tmp_path / "films").glob("*.mp4"))
    assert len(films) == len(cards)
    assert {len(read_video(film, 99)) for film in films} == {rows[0].num_frames}
    (tmp_path / "bare").mkdir()
    for name in (RD_FILE, RUN_FILE):
        shutil.copy(reference / name, tmp_path / "bare" / name)
    one_line_error(
        bench("show", tmp_path / "bare", "-o", tmp_path / "x", check=2), "has no streams of pictures in streams/"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.dat"], "absent.dat: no such recording"),
        (["/nowhere/absent.dat"], "/nowhere/absent.dat: no such recording"),
        (["absent/absent.dat"], "absent/absent.dat: no such recording"),
        ([SEQUENCE, "--size", "32x32"], "leave these options out"),
        ([f"{TINY}/low-9"], "has no sequence 'low-9'"),
        ([SEQUENCE, "--panels", "spikes,heat"], "no panel 'heat'"),
        ([SEQUENCE, "--codec", "ffv1,isi", "--rate", "3"], "2 codecs and 1 rate points"),
        ([SEQUENCE, "--panels", "", "--codec", ""], "nothing to show"),
        ([SEQUENCE, "--codec", "isi"], "isi takes spikes only"),
    ],
)
def test_what_cannot_be_shown_is_one_line(bench, tmp_path, arguments, words):
    one_line_error(bench("show", *arguments, "-o", tmp_path / "out.png", check=2), words)
    assert not (tmp_path / "out.png").exists()
