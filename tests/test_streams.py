"""``bench encode`` and ``bench decode``: a stream says how it is analyzed, and a suffix what is written."""

import re
import zlib
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
from PIL import Image

from bench.datasets.video import read_video
from bench.errors import BenchError, StreamError
from bench.interfaces import AnalysisChain, Analyzer, CodingCondition, pack_stream, unpack_stream, weights_digest
from bench.registry import create
from bench.spikes import read_dat, write_dat
from bench.stream import outputs
from bench.stream import recording as single
from bench.stream.analysis import StatedChain
from bench.stream.recording import Cut, decode_stream, encode_recording
from bench.stream.segments import read_segments
from tests.conftest import one_line_error

CODECS = {"cta": "isi", "caas": "ffv1", "atc": "ffv1"}
HEIGHT, WIDTH = 24, 32


@pytest.fixture
def recording(tmp_path, spikes):
    """Path of 103 spike frames, of which the last six hold no instant at stride 8."""
    path = tmp_path / "rec.dat"
    write_dat(path, spikes(103, HEIGHT, WIDTH))
    return path


def encode(recording, name="x.spk", paradigm="cta", cut=None, codec="", notes=None, **options):
    """Encode with firing rates as features; gives the stream's path and what was said."""
    chain = {"coding": CodingCondition(), "extractor": "tfp", "size": f"{WIDTH}x{HEIGHT}", "spike_rate": 0.6, **options}
    out, warned = recording.parent / name, [] if notes is None else notes
    said = encode_recording(
        recording, out, cut or Cut(), codec=codec or CODECS[paradigm], paradigm=paradigm,
        progress=lambda *_: None, warn=warned.append, **chain,
    )  # fmt: skip
    return out, said


def decode(stream, name, **options):
    """Decode; gives the path of what was written."""
    out = stream.parent / name
    decode_stream(stream, out, progress=lambda *_: None, **options)
    return out


def changed(stream, name="changed.spk", **changes):
    """A copy of a stream with another chain; None in its place takes the chain away."""
    info, payload = unpack_stream(stream.read_bytes())
    chain = None if changes.get("chain", "") is None else replace(info.chain, **changes)
    copy = stream.with_name(name)
    copy.write_bytes(pack_stream(replace(info, chain=chain), payload))
    return copy


# The chain


@pytest.mark.parametrize("paradigm", CODECS)
def test_a_stream_says_how_it_is_analyzed(recording, paradigm):
    cut = Cut(start=3, stride=4, margin=5)
    stream, _ = encode(recording, paradigm=paradigm, cut=cut, extractor="tfp:window=9")
    info, _ = unpack_stream(stream.read_bytes())
    rate = 0.6 if paradigm == "cta" else None
    assert info.chain == AnalysisChain("tfp:window=9", "", b"", 8, 4, 5, rate)


def test_a_stream_states_the_weights_of_extractor_and_analyzer(recording):
    stream, _ = encode(recording, analyzer="sci")
    info, _ = unpack_stream(stream.read_bytes())
    weights = weights_digest("", create(Analyzer, "sci").weights_sha256)
    assert info.chain == AnalysisChain("tfp", "sci", weights, 20, 8, 20, 0.6) and len(weights) == 4


def test_decoding_needs_no_option(recording):
    cut = Cut(stride=4, margin=11)
    pictures = {}
    for paradigm in CODECS:
        stream, _ = encode(recording, f"{paradigm}.spk", paradigm, cut)
        pictures[paradigm] = np.load(decode(stream, f"{paradigm}.npy"))
    assert pictures["cta"].shape == (21, HEIGHT, WIDTH)
    for paradigm in ("caas", "atc"):  # of features, which ffv1 rounds to 8 bits
        assert np.abs(pictures["cta"] - pictures[paradigm]).max() <= 0.5 / 255 + 1e-6


CONTRADICTIONS = [
    ({"extractor": "tfi"}, "extractor 'tfp', not 'tfi': leave out --extractor"),
    ({"analyzer": "sci"}, "analyzer 'identity', not 'sci'"),
    ({"spike_rate": 0.5}, "spike rate 0.6, not 0.5"),
    ({"stride": 4}, "stride 8, not 4"),
    ({"margin": 0}, "margin 20, not 0"),
]


@pytest.mark.parametrize(("options", "words"), CONTRADICTIONS)
def test_options_that_contradict_the_stream_are_refused(recording, options, words):
    stream, _ = encode(recording)
    with pytest.raises(BenchError, match=words):
        decode(stream, "x.npy", stated=StatedChain(**options))
    assert not (stream.parent / "x.npy").exists()


def test_options_that_equal_the_stream_are_fine(recording):
    equal = StatedChain("tfp:window=21", "identity", 0.6, 8, 20)
    stream, _ = encode(recording)
    assert np.load(decode(stream, "x.npy", stated=equal)).shape == (8, HEIGHT, WIDTH)
    for paradigm in ("caas", "atc"):
        stream, _ = encode(recording, paradigm=paradigm)
        decode(stream, "x.npy", stated=replace(equal, spike_rate=None))
        with pytest.raises(BenchError, match="--spike-rate does not apply"):
            decode(stream, "y.npy", stated=equal)
        with pytest.raises(BenchError, match="extractor 'tfp', not 'tfi'"):
            decode(stream, "y.npy", stated=StatedChain("tfi"))


def test_other_weights_of_the_analysis_are_refused(recording):
    stream, _ = encode(recording)
    other = changed(stream, weights=b"1234")
    with pytest.raises(StreamError, match="other weights of extractor tfp and analyzer identity"):
        decode(other, "x.npy")
    assert decode(other, "x.dat").read_bytes() == recording.read_bytes()


@pytest.mark.parametrize("first_version", [False, True])
def test_streams_that_do_not_say_it_are_decoded_with_options(recording, first_version):
    def bare(paradigm):
        stream = changed(encode(recording, paradigm=paradigm)[0], chain=None)
        if first_version:  # ffv1 and isi have no weights, so that no other byte differs
            info, payload = unpack_stream(stream.read_bytes())
            fields = [info.codec, info.options, b"", info.content.value[0], *info.shape, info.rate_point]
            body = msgpack.packb(fields) + payload
            stream.write_bytes(b"SPK1" + zlib.crc32(body).to_bytes(4, "little") + body)
        return stream

    assert np.load(decode(bare("atc"), "atc.npy")).shape == (8, HEIGHT, WIDTH)
    with pytest.raises(BenchError, match="--extractor does not apply"):
        decode(bare("atc"), "x.npy", stated=StatedChain("tfp"))
    with pytest.raises(BenchError, match="give --extractor, or use --raw"):
        decode(bare("caas"), "x.npy")
    assert np.load(decode(bare("caas"), "caas.npy", stated=StatedChain("tfp"))).shape == (8, HEIGHT, WIDTH)
    assert np.load(decode(bare("caas"), "raw.npy", raw=True)).shape == (8, HEIGHT, WIDTH)
    with pytest.raises(BenchError, match="--stride does not apply"):
        decode(bare("caas"), "x.npy", stated=StatedChain("tfp", stride=8))
    for stated, words in ((StatedChain(), "--extractor and --spike-rate"), (StatedChain("tfp"), "give --spike-rate")):
        with pytest.raises(BenchError, match=words):
            decode(bare("cta"), "x.npy", stated=stated)
    chain = StatedChain("tfp", spike_rate=0.6)
    assert np.load(decode(bare("cta"), "cta.npy", stated=chain)).shape == (8, HEIGHT, WIDTH)
    assert np.load(decode(bare("cta"), "few.npy", stated=replace(chain, stride=16))).shape == (4, HEIGHT, WIDTH)


EVIL = "from pathlib import Path\nPath('ran').touch()\n"
MINE = """
from bench.extractors.tfp import Tfp
class Mine(Tfp):
    name = "mine"
"""


@pytest.mark.parametrize(
    ("part", "spec", "words"),
    [
        ("extractor", "evil.py:Evil", "not installed"),
        ("analyzer", "evil.py:Evil", "not installed"),
        ("extractor", "tfp:window=evil.py:Evil", "not installed"),
        ("extractor", "absent", "'absent', which is not installed"),
        ("extractor", "sci:weights=evil.py", "sets 'weights', which only this machine"),
        ("analyzer", "sci:device=cuda", "sets 'device', which only this machine"),
        ("extractor", "tfp:absent=3", "unknown option"),
        ("extractor", "tfp:window", "key=value"),
        ("analyzer", "classifier", "not reconstruction"),
        ("extractor", "", "not installed"),
    ],
)
def test_what_a_stream_names_is_never_run(recording, monkeypatch, part, spec, words):
    monkeypatch.chdir(recording.parent)
    Path("evil.py").write_text(EVIL)
    stream, _ = encode(recording)
    with pytest.raises(BenchError, match=words):
        decode(changed(stream, **{part: spec}), "x.npy")
    assert not Path("ran").exists() and not Path("x.npy").exists()


def test_what_the_user_names_is_taken_where_the_stream_names_it(recording, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    mine = f"{tmp_path / 'mine.py'}:Mine"
    stream, _ = encode(recording, extractor=mine)
    with pytest.raises(StreamError, match="'mine', which is not installed: give it with --extractor"):
        decode(stream, "x.npy")
    assert np.load(decode(stream, "x.npy", stated=StatedChain(mine))).shape == (8, HEIGHT, WIDTH)
    with pytest.raises(StreamError, match="extractor 'tfp', not 'mine'"):
        decode(encode(recording)[0], "x.npy", stated=StatedChain(mine))


# All spikes


@pytest.mark.parametrize(("start", "most"), [(0, 1 << 27), (3, 1 << 27), (3, 70 * HEIGHT * WIDTH)])
def test_a_lossless_archive_gives_back_every_spike(recording, monkeypatch, start, most):
    monkeypatch.setattr(single, "_MOST_SPIKES", most)
    stream, said = encode(recording, cut=Cut(start))
    assert f"for {103 - start} spike frames" in said and ("segments" in said) == (most < 1 << 27)
    back = decode(stream, "back.dat")
    assert np.array_equal(read_dat(back, HEIGHT, WIDTH)[:], read_dat(recording, HEIGHT, WIDTH)[start:])
    raw = np.load(decode(stream, "raw.npy", raw=True))
    assert raw.dtype == np.uint8 and np.array_equal(raw, read_dat(recording, HEIGHT, WIDTH)[start:])
    assert np.load(decode(stream, "x.npy")).shape == (8, HEIGHT, WIDTH)


def test_with_frames_stated_spikes_are_t_as_ever(recording):
    stream, said = encode(recording, cut=Cut(frames=3))
    assert "for 57 spike frames" in said and "3 instants" in said
    assert decode(stream, "back.dat").read_bytes() == recording.read_bytes()[: 57 * HEIGHT * WIDTH // 8]
    assert "for 97 spike frames" in encode(recording, paradigm="caas")[1]


def test_no_container_is_longer_than_it_may_be(recording, monkeypatch):
    monkeypatch.setattr(single, "MAX_FRAMES", 64)
    stream, _ = encode(recording)
    assert max(segment.info.shape[0] for segment in read_segments(stream)) <= 64
    assert decode(stream, "back.dat").read_bytes() == recording.read_bytes()


# Segments


@pytest.fixture
def segmented(recording, monkeypatch):
    """A stream of spikes in several segments."""
    monkeypatch.setattr(single, "_MOST_SPIKES", 60 * HEIGHT * WIDTH)
    return encode(recording, "segmented.spk")[0]


def spkl(path, items):
    path.write_bytes(b"SPKL" + msgpack.packb(len(items)) + b"".join(map(msgpack.packb, items)))
    return path


def test_files_whose_containers_have_no_place_are_read(segmented):
    starts = [segment.start for segment in read_segments(segmented)]
    assert starts == [24 * index for index in range(len(starts))] and len(starts) > 2
    bare = []
    for segment in read_segments(segmented):
        info, payload = unpack_stream(segment.stream)
        bare.append([segment.start, pack_stream(replace(info, chain=None), payload)])
    old = spkl(segmented.with_name("old.spk"), bare)
    assert [segment.start for segment in read_segments(old)] == starts
    assert decode(old, "old.dat").read_bytes() == decode(segmented, "new.dat").read_bytes()
    chain = StatedChain("tfp", spike_rate=0.6)
    assert np.array_equal(np.load(decode(old, "old.npy", stated=chain)), np.load(decode(segmented, "new.npy")))
    with pytest.raises(StreamError, match="not of one recording"):
        decode(spkl(old, [bare[0], *(segment.stream for segment in list(read_segments(segmented))[1:])]), "x.dat")
    for items in ([bare[0][1], bare[1][1]], [[0, segment.stream] for segment in read_segments(segmented)]):
        with pytest.raises(StreamError, match="a segment's place"):
            decode(spkl(old, items), "x.npy")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first_instant": 60}, "do not follow one another"),
        ({"stride": 7}, "not of one recording"),
        ({"extractor": "tfi"}, "not of one recording"),
        ({"weights": b"1234"}, "not of one recording"),
    ],
)
def test_segments_belong_together(segmented, changes, words):
    streams = [segment.stream for segment in read_segments(segmented)]
    info, payload = unpack_stream(streams[1])
    streams[1] = pack_stream(replace(info, chain=replace(info.chain, **changes)), payload)
    with pytest.raises(StreamError, match=words):
        decode(spkl(segmented, streams), "x.dat")


# What is written


@pytest.fixture
def features(recording):
    """A stream of eight feature frames."""
    return encode(recording, "features.spk", "caas")[0]


def pictures_of(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


@pytest.mark.parametrize(("suffix", "tolerance"), [(".mkv", 0), (".gif", 0), (".MP4", 12)])
@pytest.mark.parametrize("size", [(24, 32), (23, 24)])
def test_videos_show_the_frames(tmp_path, moving, suffix, tolerance, size):
    frames = moving(5, *size)
    expected = np.rint(frames * 255).astype(int)
    out = tmp_path / f"x{suffix}"
    said = outputs.write_frames(out, iter([frames[:2], frames[2:]]), frames.shape, spikes=False)
    assert said == f"{out} (25 frames a second)"
    video = read_video(out, 99)[:, : size[0]].astype(int)
    assert np.abs(video - expected).max() <= tolerance
    assert abs((video - expected).mean()) < 1
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_folder_holds_what_was_decoded(recording, features):
    folder = decode(features, "pictures")
    assert pictures_of(folder).shape == (8, HEIGHT, WIDTH)
    few, _ = encode(recording, "few.spk", "caas", Cut(frames=3))
    with pytest.raises(BenchError, match=r"0003\.png, which is no picture of this stream"):
        decode(few, "pictures")
    assert len(list(folder.iterdir())) == 8
    decode(features, "pictures")
    (folder / ".DS_Store").touch()
    decode(features, "pictures")
    folder = decode(few, "v1")
    (folder / "notes.txt").touch()
    with pytest.raises(BenchError, match=r"notes\.txt"):
        decode(features, "v1")
    (recording.parent / "v1.2").mkdir()
    assert len(list(decode(few, "v1.2").iterdir())) == 3


def test_suffixes_mean_what_they_say(recording, features):
    one, _ = encode(recording, "one.spk", "caas", Cut(frames=1))
    with Image.open(decode(one, "one.png")) as picture:
        assert picture.size == (WIDTH, HEIGHT)
    for name, words in {
        "x.png": "one picture holds one frame, and the stream gives 8",
        "x.dat": "a .dat file holds spikes",
        "x.jpg": r"cannot write \.jpg files; use \.npy, \.dat",
        "v1.3": r"cannot write \.3 files",
    }.items():
        with pytest.raises(BenchError, match=words):
            decode(features, name)
        assert not (recording.parent / name).exists()
    assert np.load(decode(features, "x.npy")).dtype == np.float32
    with pytest.raises(BenchError, match="is the input itself"):
        decode(features.rename(features.with_suffix(".npy")), "features.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.dat", "x.mkv", "pictures"])
def test_a_stream_that_does_not_decode_leaves_nothing(segmented, name):
    streams = [segment.stream for segment in read_segments(segmented)]
    info, payload = unpack_stream(streams[-1])
    streams[-1] = pack_stream(info, payload[:-20])
    before = {path.name for path in segmented.parent.iterdir()}
    with pytest.raises(StreamError):
        decode(spkl(segmented, streams), name, raw=True)
    assert {path.name for path in segmented.parent.iterdir()} == before


# What encoding refuses and says


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"codec": "isi", "paradigm": "caas"}, "isi takes spikes only, caas codes features; use --paradigm cta"),
        ({"codec": "ffv1", "paradigm": "caas", "rate_point": 3}, "rate point"),
        ({"paradigm": "caas", "analyzer": "classifier"}, "not reconstruction"),
        ({"cut": Cut(frames=9)}, "hold 8 instants at stride 8 with margin 20, not 9: omit --frames"),
        ({"cut": Cut(start=80)}, "23 spike frames from 80 on hold 0 instants .*: use a smaller --margin or --start"),
        ({"name": "rec.dat"}, "is the input itself"),
    ],
)
def test_encoding_refuses_at_once(recording, options, words):
    before = recording.read_bytes()
    with pytest.raises(BenchError, match=words):
        encode(recording, **options)
    assert [path.name for path in recording.parent.iterdir()] == ["rec.dat"] and recording.read_bytes() == before


def test_a_folder_is_no_recording(recording):
    with pytest.raises(BenchError, match=r"is a folder; name one \.dat recording"):
        encode_recording(
            recording.parent, recording.with_name("x.spk"), Cut(), coding=CodingCondition(), codec="isi",
            paradigm="cta", extractor="tfp", progress=lambda *_: None, warn=print,
        )  # fmt: skip


def test_the_rate_is_said_and_dark_pictures_are_noted(recording, spikes):
    notes = []
    assert encode(recording, notes=notes)[1].endswith("rate 0.6)") and not notes
    stream, said = encode(recording, notes=notes, spike_rate=None)
    estimate = float(re.search(r"rate (\S+), estimated\)$", said)[1])
    assert unpack_stream(stream.read_bytes())[0].chain.spike_rate == pytest.approx(estimate, rel=1e-3) and not notes
    encode(recording, notes=notes, spike_rate=20.0, paradigm="caas")
    assert len(notes) == 1 and "nearly black" in notes[0]
    dim = (np.random.default_rng(0).random((60, HEIGHT, WIDTH)) < 0.6 * 12 / 255).astype(np.uint8)
    dusk = recording.with_name("dusk.dat")  # a mean grey of 12, which datasets call nearly black too
    write_dat(dusk, np.concatenate([spikes(103, HEIGHT, WIDTH), dim]))
    notes.clear()
    encode(dusk, paradigm="caas", cut=Cut(start=110), notes=notes)
    assert len(notes) == 1 and "nearly black, mean grey 1" in notes[0]
    night = recording.with_name("night.dat")  # dark only where it is coded
    write_dat(night, np.concatenate([spikes(103, HEIGHT, WIDTH), np.zeros((60, HEIGHT, WIDTH), np.uint8)]))
    for paradigm in ("caas", "atc"):
        notes.clear()
        encode(night, paradigm=paradigm, cut=Cut(start=110), notes=notes)
        assert notes == [
            "night.dat: its pictures are nearly black, mean grey 0.0 of 255 at rate 0.6; --spike-rate states another"
        ]


def test_from_the_command_line(bench, recording):
    options = ["--size", "32x24", "--codec", "isi", "--paradigm", "cta", "--extractor", "tfp"]
    done = bench("encode", recording, *options, "-o", "x.spk")
    assert "estimated" in done.stdout
    assert "8 frames of 32x24" in bench("decode", "x.spk", "-o", "x.npy").stdout
    one_line_error(bench("decode", "x.spk", "-o", "y.npy", "--stride", "4", check=2), "states stride 8, not 4")
    for rates in (",", "lossless,lossless"):
        done = bench("encode", recording, *options, "-o", "y.spk", "--rate", rates, check=None)
        one_line_error(done, f"--rate takes one rate point, not '{rates}'")


def test_folders_are_coded_file_by_file_and_a_damaged_one_is_named(bench, spikes, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, count in (("walk10", 103), ("walk9", 97), ("short", 8)):
        write_dat(folder / f"{name}.dat", spikes(count, HEIGHT, WIDTH))
    (folder / "notes.txt").touch()
    chain = ["--size", f"{WIDTH}x{HEIGHT}", "--spike-rate", "0.6", "--codec", "ffv1", "--extractor", "tfp"]
    done = bench("encode", folder, *chain, "-o", tmp_path / "streams", check=2)
    assert [Path(line.partition(":")[0]).name for line in done.stdout.splitlines()] == ["walk9.spk", "walk10.spk"]
    assert done.stderr.startswith("bench: ") and "short" in done.stderr and done.stderr.count("\n") == 1
    bench("encode", folder / "walk9.dat", *chain, "-o", tmp_path / "one.spk")
    assert (tmp_path / "one.spk").read_bytes() == (tmp_path / "streams" / "walk9.spk").read_bytes()

    bench("decode", tmp_path / "streams", "-o", tmp_path / "films", "--suffix", ".mkv")
    bench("decode", tmp_path / "streams" / "walk9.spk", tmp_path / "one.spk", "-o", tmp_path / "pictures")
    film = read_video(tmp_path / "films" / "walk9.mkv", 99)
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "pictures" / "one").glob("*.png"))]
    assert np.array_equal(film, pictures) and len(film) == 8
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"one", "walk9"}

    for arguments, words in (
        (["encode", tmp_path / "films", *chain, "-o", "x"], "is a folder without .dat files"),
        (["decode", tmp_path / "streams", tmp_path / "streams" / "walk9.spk", "-o", "x"], "two files are named walk9"),
        (["decode", tmp_path / "streams", "-o", tmp_path / "one.spk"], "is a file; name a folder"),
        (["decode", tmp_path / "one.spk", "-o", "x.mp4", "--suffix", ".mp4"], "--suffix is for several streams"),
        (["decode", tmp_path / "streams", "-o", "x", "--suffix", "mp4"], "begins with a dot"),
    ):
        one_line_error(bench(*arguments, check=2), words)
