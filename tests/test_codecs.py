import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from baselines._video import ffmpeg_binary, from_planes, to_planes
from baselines.raw import Raw
from bench.conform import _alone, _causal, _sizes, conform
from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Content, Dataset, Extractor, from_uint8, to_uint8, unpack_stream
from bench.registry import create

# Like vvenc, but for their encoders' settings: the quick tests of the kit are those that hang on settings.
SETTINGS = ["x265", "x264", "svtav1"]
VIDEO = ["vvenc", "ffv1", *(pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS)]
SPIKE_ONLY = ["raw", "zstd", "xz", "isi"]
CONDITION = CodingCondition()


@pytest.mark.parametrize("name", [*SPIKE_ONLY, *VIDEO])
def test_conformance(name):
    codec = create(Codec, name)
    assert codec.available().ok
    assert [result for result in conform(codec) if result.problem] == []


@pytest.mark.parametrize("check", [_sizes, _causal])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_for_all_sizes_and_for_earlier_frames_alone(name, check):
    assert check(create(Codec, name)) == ""


@pytest.mark.slow
def test_conformance_of_vtm():
    codec = create(Codec, "vtm")
    if not codec.available().ok:
        pytest.skip(codec.available().reason)
    assert [result for result in conform(codec) if result.problem] == []


@pytest.mark.parametrize("count", [15, 16])
def test_vvenc_gives_back_as_many_frames_as_it_got(count, moving):
    """libvvenc alone gives nothing back for these numbers of frames, without an error."""
    codec, frames = create(Codec, "vvenc"), moving(17, 64, 64)
    whole, part = (
        codec.decode(codec.encode(segment, 47, CONDITION, Content.FEATURES).stream).frames
        for segment in (frames, frames[:count])
    )
    assert np.array_equal(part, whole[:count])


BROKEN = {
    "Absent": "available",
    "Dark": "odd sizes, one frame, all zero, all one",
    "Growing": "encoding twice gives the same bytes",
    "Tired": "decoding twice gives the same frames",
    "Homebound": "a fresh process decodes the same frames",
    "Patient": "truncated streams are errors",
    "Trusting": "flipped bytes are errors",
    "Inventive": "a damaged payload with a right checksum never gives frames of another shape",
    "Level": "rate is monotone in the rate point",
    "Littering": "the stream alone is enough, and nothing is left beside it",
    "Threaded": "other numbers of threads decode the same frames",
    "Foreseeing": "later frames change nothing before them",
    "Blending": "segments of a batch are coded as each alone",
    "Lenient": "wrong rate points and frames are refused",
}


class _LooksAhead(create(Codec, "vvenc").__class__):
    """libvvenc by its defaults: its temporal filter reads the frames that follow."""

    def _structure(self, condition):
        return {key: value for key, value in super()._structure(condition).items() if key != "MCTFFutureReference"}


def test_the_kit_notices_a_filter_that_reads_later_frames():
    problem = _causal(_LooksAhead())
    assert problem.startswith("low_delay: frame 0 decodes differently when frames from 1 on change")


def broken(name):
    return create(Codec, f"{Path(__file__).with_name('broken_codecs.py')}:{name}")


@pytest.mark.parametrize(("name", "check"), BROKEN.items())
def test_the_kit_notices_what_a_codec_breaks_and_nothing_else(name, check, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert [result.check for result in conform(broken(name)) if result.problem] == [check]


def test_every_check_of_the_kit_has_a_codec_that_breaks_it():
    assert [result.check for result in conform(create(Codec, "raw"))] == list(BROKEN.values())


def test_the_kit_notices_a_codec_that_leans_on_a_file_of_its_own(tmp_path, monkeypatch):
    """The file holds what was coded last: within a process, and for the stream that was just coded, all seems well."""
    monkeypatch.setenv("FORGETFUL", str(tmp_path))
    problems = {result.check: result.problem for result in conform(broken("Forgetful")) if result.problem}
    assert problems == {BROKEN["Littering"]: "a stream decodes to other frames after another was coded"}


def test_the_kit_tells_an_unexpected_error_once_with_its_line():
    first, *others = [result.problem for result in conform(broken("Misspelt")) if result.problem]
    path = Path(__file__).with_name("broken_codecs.py")
    (line,) = (n for n, text in enumerate(path.read_text().splitlines(), 1) if "spikes.to_bytes()" in text)
    assert first == f"AttributeError: 'numpy.ndarray' object has no attribute 'to_bytes' ({path}:{line})"
    assert set(others) == {f"AttributeError as above ({path}:{line})"} and len(others) == 10


def test_the_kit_tells_an_error_while_decoding_once_too():
    first, *others = [result.problem for result in conform(broken("Undecided")) if result.problem]
    assert "raw: the payload does not decode: KeyError: 'table' (" in first
    assert {problem.partition(" (")[0] for problem in others} == {"KeyError as above", "as above"}


def test_a_codec_that_leaves_the_interpreter_fails_its_checks():
    problems = {result.check: result.problem for result in conform(broken("Leaving")) if result.problem}
    assert problems[BROKEN["Dark"]].startswith("SystemExit: 3 (")
    assert "exit code 1" in problems[BROKEN["Homebound"]]


@pytest.mark.parametrize("name", SPIKE_ONLY)
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_lossless_codecs_give_spikes_back(name, data):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)))
    frames = data.draw(arrays(np.uint8, shape, elements=st.integers(0, 1))).astype(np.float32)
    codec = create(Codec, name)
    stream = codec.encode(frames, "lossless", CONDITION, Content.SPIKES).stream
    assert np.array_equal(codec.decode(stream).frames, frames)


def test_raw_costs_one_bit_per_spike_and_a_header(spikes):
    frames = spikes(64, 32, 40).astype(np.float32)
    stream = create(Codec, "raw").encode(frames, "lossless", CONDITION, Content.SPIKES).stream
    assert 0 < len(stream) - frames.size // 8 <= 40


def test_isi_is_the_strongest_floor_on_camera_spikes(spikes):
    frames = spikes(200).astype(np.float32)
    sizes = {
        name: len(create(Codec, name).encode(frames, "lossless", CONDITION, Content.SPIKES).stream)
        for name in SPIKE_ONLY
    }
    assert sizes["isi"] < sizes["xz"] < sizes["raw"]
    assert sizes["isi"] < sizes["zstd"]


def test_spike_codecs_refuse_grey_frames(moving):
    with pytest.raises(BenchError, match="takes spikes only, not features"):
        create(Codec, "raw").encode(moving(), "lossless", CONDITION, Content.FEATURES)
    with pytest.raises(BenchError, match="not binary"):
        create(Codec, "raw").encode(moving(), "lossless", CONDITION, Content.SPIKES)


@pytest.mark.parametrize("pixel_format", ["gray", "yuv420p", "yuv420p10le"])
def test_planes_reverse(pixel_format):
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 6)).astype(np.uint8)
    assert np.array_equal(from_planes(to_planes(frames, pixel_format), 4, 6, pixel_format), frames)


def test_quantisation_rounds_half_up():
    assert to_uint8(np.array([0, 0.5 / 255, 0.49 / 255, 1], np.float32)).tolist() == [0, 1, 0, 255]
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(from_uint8(every)), every)


@pytest.mark.parametrize("name", ["vvenc", "x265", "x264", "svtav1"])
@pytest.mark.parametrize(("period", "structure"), [(16, "low_delay"), (8, "low_delay"), (16, "random_access")])
def test_intra_frames_stand_where_the_condition_says(name, period, structure, moving):
    codec = create(Codec, name)
    condition = CodingCondition(intra_period=period, structure=structure)
    _, payload = unpack_stream(codec.encode(moving(36), codec.rate_points[-1], condition, Content.FEATURES).stream)
    command = [ffmpeg_binary(), "-f", codec.muxer, "-i", "pipe:", "-vf", "showinfo", "-fps_mode", "passthrough"]
    shown = subprocess.run([*command, "-f", "null", "-"], input=payload, capture_output=True, check=True)
    kinds = re.findall(r"iskey:\d type:(\w)", shown.stderr.decode())
    assert len(kinds) == 36
    assert [k for k, kind in enumerate(kinds) if kind == "I"] == list(range(0, 36, period))
    if structure == "low_delay" and name in ("x265", "x264"):
        assert "B" not in kinds


@pytest.mark.parametrize("name", ["vvenc", "x265", "x264", "svtav1"])
def test_encoders_give_the_same_bits_every_time(name):
    """Features in motion and many repeats: x265 with weighted prediction on 4:0:0 differs in one of five."""
    codec = create(Codec, name)
    spikes = create(Dataset, "s-motion:size=32,num_spikes=97").open("low-2").spikes(0, 97)
    features = create(Extractor, "tfp").extract(spikes, 20 + 8 * np.arange(8), 0.6)
    repeats = 25 if name == "x265" else 6  # the others have never been seen to differ
    streams = {codec.encode(features, codec.rate_points[1], CONDITION, Content.FEATURES).stream for _ in range(repeats)}
    assert len(streams) == 1


def test_x264_and_x265_streams_hold_no_settings_text(moving):
    for name in ("x264", "x265"):
        codec = create(Codec, name)
        stream = codec.encode(moving(), codec.rate_points[0], CONDITION, Content.FEATURES).stream
        assert name.encode() not in stream.partition(name.encode())[2]  # the header's name only
        assert b"options:" not in stream


def test_ffv1_is_lossless_on_eight_bits(moving):
    codec = create(Codec, "ffv1")
    frames = moving(5, 33, 47)
    decoded = codec.decode(codec.encode(frames, "lossless", CONDITION, Content.FEATURES).stream).frames
    assert np.array_equal(decoded, from_uint8(to_uint8(frames)))


@pytest.mark.parametrize("name", ["vvenc", "x265", "x264", "svtav1"])
def test_finer_quantisers_give_better_frames(name, moving):
    codec = create(Codec, name)
    frames = moving(9, 64, 64)
    errors = []
    for point in codec.rate_points:
        decoded = codec.decode(codec.encode(frames, point, CONDITION, Content.FEATURES).stream).frames
        errors.append(float(np.square(decoded - frames).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 2e-3


def test_conditions_that_a_codec_cannot_meet_are_errors(moving):
    codec = create(Codec, "vvenc")
    for condition in (CodingCondition(intra_period=12), CodingCondition(intra_period=8, structure="random_access")):
        with pytest.raises(BenchError, match="intra period"):
            codec.encode(moving(), 37, condition, Content.FEATURES)
    with pytest.raises(BenchError, match="the quantiser must be a whole number from 0 to 63"):
        codec.encode(moving(), 64, CONDITION, Content.FEATURES)


def test_ffmpeg_without_an_encoder_is_told(monkeypatch):
    monkeypatch.setattr("baselines._video._ffmpeg_facts", lambda: ("7.0", frozenset({"libx264"})))
    state = create(Codec, "vvenc").available()
    assert not state.ok
    assert "no encoder libvvenc" in state.reason
    assert create(Codec, "x264").available().ok


def test_other_programs_may_write_where_temporary_files_lie(tmp_path, monkeypatch):
    class Beside(Raw):
        def pack(self, spikes):
            (tmp_path / "of another program").touch()
            return super().pack(spikes)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _alone(Beside()) == ""
    (tmp_path / "of another program").unlink()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path.parent))
    assert "is not counted" in _alone(Beside())
