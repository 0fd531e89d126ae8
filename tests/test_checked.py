"""What components of others return: turned into what means the same, or refused in one line that names the method."""

import numpy as np
import pytest

from bench.errors import BenchError, StreamError
from bench.interfaces import (
    Analyzer,
    Availability,
    Codec,
    CodingCondition,
    Compressed,
    Content,
    Dataset,
    Decoded,
    Extractor,
    Paradigm,
    Recording,
    SequenceInfo,
    Task,
    checked,
    unpack_stream,
)
from bench.interfaces.values import stated_weights
from bench.registry import create
from bench.results.rows import MEASURES, RD_FILE, read_rows
from paradigms.caas import CompressAndAnalyzeSimultaneously
from tests.conftest import TINY_FLAGS, one_line_error

SHAPE = (2, 3, 4)
HALF = np.full(SHAPE, 0.5, np.float32)
INFO = SequenceInfo("walk", 3, 4, 8, 1.0)


def _codec(**members):
    """A codec that stores 8-bit frames, but for what is given."""
    own = {
        "name": "stores",
        "rate_points": (1,),
        "compress": lambda self, frames, point, condition: np.uint8(frames * 255).tobytes(),
        "decompress": lambda self, payload, info: np.frombuffer(payload, "u1").reshape(info.shape) / np.float32(255),
    }
    return type("Stores", (Codec,), own | members)()


def _code(codec, frames=HALF, point=1):
    return codec.encode(frames, point, CodingCondition(), Content.FEATURES)


def _returns(base, method, value, **members):
    """A component whose method returns a value."""
    abstract = dict.fromkeys(base.__abstractmethods__, lambda *_, **__: None)
    return type("Given", (base,), abstract | {"name": "given", method: lambda *_, **__: value} | members)()


@pytest.mark.parametrize("payload", [bytearray(b"x"), memoryview(b"x"), np.array([120], np.uint8), b"x"])
def test_payloads_are_whatever_holds_bytes(payload):
    encoded = _code(_codec(compress=lambda *_: Compressed(payload, np.float32(2.5))))
    assert unpack_stream(encoded.stream)[1] == b"x"
    assert type(encoded.estimated_bits) is float


@pytest.mark.parametrize("payload", [None, "text", 5, [1, 2], np.zeros(3), Compressed(None), Compressed(b"", "many")])
def test_payloads_that_hold_no_bytes_are_refused(payload):
    with pytest.raises(BenchError, match=r"stores: compress.* must give (bytes|a number), not"):
        _code(_codec(compress=lambda *_: payload))


def test_rate_points_of_numpy_are_plain_ones():
    codec = _codec(rate_points=np.arange(1, 3))
    assert checked.rate_points(codec, Content.FEATURES) == (1, 2)
    assert {type(point) for point in checked.rate_points(codec, Content.FEATURES)} == {int}
    info, _ = unpack_stream(_code(codec, point=np.int64(2)).stream)
    assert info.rate_point == 2


@pytest.mark.parametrize("points", [None, 5, "high", (), [None], [{}]])
def test_rate_points_that_are_none_are_refused(points):
    with pytest.raises(BenchError, match="stores: rate_points_for"):
        checked.rate_points(_codec(rate_points=points), Content.FEATURES)


def test_codecs_may_change_their_frames_and_give_lists(moving):
    def compress(self, frames, point, condition):
        frames *= 0
        return b"x"

    frames = moving(2, 6, 8)[:, ::2, ::2]  # not contiguous either
    before = frames.copy()
    codec = _codec(compress=compress, decompress=lambda *_: np.full((2, 3, 4), 0.5, np.float32)[:, ::-1])
    decoded = codec.decode(_code(codec, frames).stream)
    assert np.array_equal(frames, before) and decoded.frames.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    "value",
    [None, "text", 3, iter([1]), HALF.astype(np.float64), HALF > 0, HALF[0], HALF + 1, HALF * np.nan,
     Decoded(HALF, "motion"), Decoded(HALF, HALF), Decoded(None)],
)  # fmt: skip
def test_decoded_frames_of_other_kinds_are_refused(value):
    codec = _codec(decompress=lambda *_: value)
    with pytest.raises(BenchError, match=r"^stores: ") as error:
        codec.decode(_code(codec).stream)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("motion", [HALF, np.full((2, 2, 3, 4), np.inf)])
def test_decoded_motion_that_does_not_fit_is_damage(motion):
    codec = _codec(decompress=lambda *_: Decoded(HALF, motion))
    with pytest.raises(StreamError, match="stores: decompress: motion must give 2 x 2 x 3 x 4 numbers, not 2 x"):
        codec.decode(_code(codec).stream)


@pytest.mark.parametrize("value", [b"12", "xyz", 3])
def test_weights_are_stated_in_hex(value):
    with pytest.raises(BenchError, match="stores: weights_sha256 must give"):
        _code(_codec(weights_sha256=value))
    assert stated_weights(_codec(weights_sha256=None)) == ""


def test_availability_is_plain():
    state = checked.availability(_codec(available=lambda self: Availability(np.True_, version=None)))
    assert state == Availability(True) and type(state.ok) is bool
    for value in (None, True, "yes"):
        with pytest.raises(BenchError, match="stores: available must give an Availability"):
            checked.availability(_codec(available=lambda self, value=value: value))


@pytest.mark.parametrize("value", [HALF, HALF.astype(np.float64), HALF.tolist(), np.asfortranarray(HALF), HALF > 1])
def test_frames_of_any_precision_and_order_are_frames(value):
    for frames in (
        checked.features(_returns(Extractor, "extract", value), np.zeros((8, 3, 4), np.uint8), [2, 4], 1.0),
        checked.result(_returns(Analyzer, "analyze", value), HALF),
    ):
        assert frames.dtype == np.float32 and frames.shape == SHAPE and frames.flags["C_CONTIGUOUS"]
        assert np.array_equal(frames, np.asarray(value))


@pytest.mark.parametrize(
    "value", [None, "text", HALF[:1], HALF + 1, HALF * np.nan, HALF.astype(complex), [[1], [2, 3]], iter([1]), []]
)
def test_what_is_no_frames_is_refused_with_its_method(value):
    with pytest.raises(BenchError, match=r"^given: extract must give"):
        checked.features(_returns(Extractor, "extract", value), np.zeros((8, 3, 4), np.uint8), [2, 4], 1.0)
    with pytest.raises(BenchError, match=r"^given: analyze must give"):
        checked.result(_returns(Analyzer, "analyze", value), HALF)


def test_a_component_may_change_its_input():
    def extract(self, spikes, instants, rate):
        spikes += 1
        instants += 1
        return HALF

    extractor = _returns(Extractor, "extract", None)
    type(extractor).extract = extract
    spikes, instants = np.zeros((8, 3, 4), np.uint8), np.array([2, 4])
    checked.features(extractor, spikes, instants, 1.0)
    assert not spikes.any() and instants.tolist() == [2, 4]


def test_sequences_have_plain_numbers():
    entry = SequenceInfo(
        np.str_("walk"), np.int64(3), np.uint8(4), np.int32(8), np.float32(0.5), truth_at=np.arange(2),
        label=np.int64(1), speeds=[["x", np.float32(2)]],
    )  # fmt: skip
    (info,) = checked.sequences(_returns(Dataset, "sequences", iter([entry]), classes=("a", "b")))
    assert info == SequenceInfo("walk", 3, 4, 8, 0.5, truth_at=(0, 1), label=1, speeds=(("x", 2.0),))
    assert {type(value) for value in (info.height, info.label, *info.truth_at)} == {int} and type(info.name) is str


@pytest.mark.parametrize(
    "infos",
    [None, 3, ["walk"], [("walk", 3, 4, 8, 1.0)], [SequenceInfo(1, 3, 4, 8, 1.0)], [SequenceInfo("w", 3.5, 4, 8, 1.0)],
     [SequenceInfo("w", 3, 4, 0, 1.0)], [SequenceInfo("w", 3, 4, 8, None)], [SequenceInfo("w", 3, 4, 8, 1.0, "fast")],
     [SequenceInfo("w", 3, 4, 8, 1.0, truth_at=5)]],
)  # fmt: skip
def test_sequences_that_say_something_else_are_refused(infos):
    with pytest.raises(BenchError, match=r"^given: sequences"):
        checked.sequences(_returns(Dataset, "sequences", infos))


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_that_are_no_index_of_a_class_are_refused(label):
    infos = [SequenceInfo("walk", 3, 4, 8, 1.0, label=label)]
    with pytest.raises(
        BenchError, match=f"given: sequences: 'walk': label must give an index of its 2 classes, not {label}"
    ):
        checked.sequences(_returns(Dataset, "sequences", infos, classes=("a", "b")))


def _dataset(spikes=None, truth=None):
    recording = type("R", (Recording,), {"spikes": lambda *_: spikes, "truth": lambda *_: truth})()
    return _returns(Dataset, "open", recording)


def test_spikes_and_truths_are_what_they_should_be():
    ones = np.ones((2, 3, 4))
    for value in (ones, ones > 0, ones.astype(np.int64), ones.tolist()):
        spikes = checked.spikes(_dataset(value), INFO, 0, 2)
        assert spikes.dtype == np.uint8 and spikes.all()
    for value in (None, ones[:1], ones * 255, ones * 0.5, ones * np.nan, "text"):
        with pytest.raises(BenchError, match=r"^given: spikes"):
            checked.spikes(_dataset(value), INFO, 0, 2)
    assert checked.truth(_dataset(truth=ones), INFO, (1, 2)).dtype == np.float32
    for value in (None, ones * 255, ones[:1]):
        with pytest.raises(BenchError, match=r"^given: truth"):
            checked.truth(_dataset(truth=value), INFO, (1, 2))
    for value in (None, "", b"x", 3):
        with pytest.raises(BenchError, match=r"^given: fingerprint"):
            checked.fingerprint(_returns(Dataset, "fingerprint", value), "walk")


def test_measures_are_plain_and_have_columns():
    def measures(value):
        return checked.measures(_returns(Task, "evaluate", value, default_analyzer="identity"), HALF, HALF, MEASURES)

    told = measures({"psnr": np.float32(2.5), "capped_frames": np.int64(3), "ssim": np.array(0.5), "ms_ssim": None})
    assert told == {"psnr": 2.5, "capped_frames": 3, "ssim": 0.5, "ms_ssim": None}
    assert type(told["psnr"]) is float and type(told["capped_frames"]) is int
    for value, words in (
        (None, "evaluate must give"), ([1], "evaluate must give"), ({"psnr": [1]}, "psnr"), ({"lpips": 1}, "'lpips'"),
        ({"bits": 1}, "'bits'"),
    ):  # fmt: skip
        with pytest.raises(BenchError, match=f"^given: .*{words}"):
            measures(value)


def test_wirings_are_checked():
    caas = CompressAndAnalyzeSimultaneously()
    right = caas.wire(["t"])
    assert checked.stages(_returns(Paradigm, "wire", iter(right)), ["t"]) == right
    for value in (None, 3, ["stage"], right[1:], right[:2], ()):
        with pytest.raises(BenchError, match=r"^given: "):
            checked.stages(_returns(Paradigm, "wire", value), ["t"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("name = 'my codec'", "'my codec'"),
        ("name = None", "name must be"),
        ("pass", "name must be"),
        ("name = 'x'", "cannot be made: TypeError"),  # without its methods
        ("name = 'x'\n    def __init__(self): 1 / 0", "cannot be made: "),
        ("import sys; sys.exit(3)", "cannot be loaded: SystemExit: 3"),
    ],
)
def test_classes_that_are_no_components_are_one_line(tmp_path, body, words):
    (tmp_path / "odd.py").write_text(f"from bench.interfaces import Codec\n\nclass Odd(Codec):\n    {body}\n")
    with pytest.raises(BenchError, match=words):
        create(Codec, f"{tmp_path}/odd.py:Odd")


ODD = """
import sys
from bench.interfaces import *
from bench.tasks.reconstruction import Reconstruction
from spikebench_deflate import Deflate

class Exits(Deflate):
    name = "exits"
    def compress(self, *given): sys.exit(3)

class InPlace(Deflate):
    name = "in-place"
    def compress(self, frames, *given):
        stream = super().compress(frames, *given)
        frames -= 7
        return stream

class Early(Deflate):
    name = "early"
    def available(self): sys.exit(0)

class Fails(Deflate):
    name = "fails-later"
    def compress(self, *given):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 1: sys.exit("tired")
        return super().compress(*given)
"""


def test_codecs_that_misbehave_cost_their_own_rows_and_times(bench, tmp_path, plugin_path):
    (tmp_path / "odd.py").write_text(ODD)
    environment = {"PYTHONPATH": f"{plugin_path.parent}:{__import__('os').environ.get('PYTHONPATH', '')}"}
    codecs = "odd.py:Exits,odd.py:InPlace,odd.py:Fails"
    grid = [*TINY_FLAGS, "--limit", "1", "--rates", "8", "--paradigm", "caas", "--jobs", "1"]
    done = bench("run", *grid, "--codec", codecs, "--timing", "1", "--out", "r", check=1, environment=environment)
    rows = {row.codec: row for row in read_rows(tmp_path / "r" / RD_FILE)}
    assert rows["exits"].status == "failed" and "sys.exit(3)" in rows["exits"].reason
    assert rows["in-place"].status == rows["fails-later"].status == "ok"
    assert rows["in-place"].encode_seconds > 0 and rows["fails-later"].encode_seconds is None
    assert "not timed: caas odd.py:Fails 8" in done.stdout and "tired" in done.stdout
    # One that ends the program where the suite asks it something, as with the code of success.
    done = bench("run", *grid, "--codec", "odd.py:Early", "--out", "e", check=2, environment=environment)
    one_line_error(done, "odd.py, line", "sys.exit(0)")


def test_a_fault_before_any_job_is_one_line_with_its_place():
    def broken(self, *_):
        return 1 / 0

    for member, ask in (
        ("available", checked.availability),
        ("rate_points_for", lambda codec: checked.rate_points(codec, Content.FEATURES)),
    ):
        with pytest.raises(
            BenchError, match=rf"stores: {member} raised ZeroDivisionError: .*test_checked\.py, line \d+"
        ):
            ask(_codec(**{member: broken}))
    dataset = _returns(Dataset, "sequences", (), name="given")
    type(dataset).sequences = broken
    with pytest.raises(BenchError, match="given: sequences raised ZeroDivisionError"):
        checked.sequences(dataset)
