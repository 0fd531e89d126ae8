import csv
import json

import numpy as np
import pytest
import torch

from baselines.dcvc.training import DcvcRecipe
from baselines.dcvc_dc.training import DcvcDcRecipe
from baselines.neural.autoregressive import _wavefronts
from baselines.neural.layers import _unit_grid
from baselines.neural.small import _spread
from baselines.spikecodec.training import SpikeCodecRecipe
from bench.conform import conform
from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Content
from bench.registry import create
from bench.train import loop
from bench.train.loop import Settings, train_codec
from bench.train.shards import FRAMES, MARGIN, NUM_SPIKES, SIZE, dead_leaves, open_shards
from tests.conftest import one_line_error


def quiet(done, total, label):
    pass


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return open_shards(None, tmp_path_factory.mktemp("shards"), 8, 0, quiet)


def test_shards_are_written_once_and_the_same(shards, tmp_path):
    assert shards.truth.shape == (8, FRAMES, SIZE, SIZE)
    assert shards.spikes.shape == (8, NUM_SPIKES, SIZE * SIZE // 8)
    again = open_shards(None, tmp_path, 8, 0, quiet)
    assert again.digest == shards.digest
    assert np.array_equal(again.features, shards.features)
    calls = []
    open_shards(None, tmp_path, 8, 0, lambda *facts: calls.append(facts))
    assert not calls
    # The features are a noisy view of the truth.
    error = shards.features.astype(float) - shards.truth
    assert 3 < np.sqrt((error**2).mean()) < 40


def test_batches_depend_on_their_number_alone(shards):
    first = shards.frames(3, 48, seed=1, step=7)
    assert first.shape == (3, FRAMES, 48, 48)
    assert np.array_equal(first, shards.frames(3, 48, seed=1, step=7))
    assert not np.array_equal(first, shards.frames(3, 48, seed=1, step=8))
    spikes, truth = shards.scenes(16, 64, seed=1, step=7)
    assert spikes.shape == (16, 2 * MARGIN, 64, 64)
    # The firing rate is 0.6 of the luminance, and the window is centred on the instant that the truth is of.
    assert abs(spikes.mean() / truth.mean() - 0.6) < 0.03
    assert np.corrcoef(spikes[:, 15:25].mean((2, 3)).mean(1), truth.mean((1, 2, 3)))[0, 1] > 0.99


def test_dead_leaves_fill_the_picture():
    picture = dead_leaves(np.random.default_rng(0))
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 0.1


def _recipe(kind):
    torch.manual_seed(0)
    recipe = kind()
    recipe.batch, recipe.crop, recipe.checked = 2, 64, 1
    return recipe


@pytest.mark.parametrize("kind", [DcvcRecipe, DcvcDcRecipe])
def test_training_goes_on_after_coding(kind):
    """What coding keeps (grids, weights of blocks) was made in inference mode."""
    for make in (_unit_grid, _spread, _wavefronts):
        make.cache_clear()
    recipe, frames = kind(), torch.rand(2, 6, 64, 64)
    with torch.inference_mode():
        recipe.loss((frames,), 0.0)
    loss, _ = recipe.loss((frames,), 0.0)
    loss.backward()


@pytest.mark.parametrize("kind", [DcvcRecipe, DcvcDcRecipe])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(kind, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop._Log, "every", 2)
    settings = Settings("test", shards.digest, 6, 0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    card = train_codec(_recipe(kind), settings, shards, shards, whole, "cpu", False, quiet)

    def kill(done, total, label):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_codec(_recipe(kind), settings, shards, shards, broken, "cpu", False, kill)
    with pytest.raises(BenchError, match="holds a run already"):
        train_codec(_recipe(kind), settings, shards, shards, broken, "cpu", False, quiet)
    with pytest.raises(BenchError, match="other steps"):
        train_codec(_recipe(kind), Settings("test", shards.digest, 9, 0), shards, shards, broken, "cpu", True, quiet)
    checkpoint = (broken / "checkpoint.pt").read_bytes()
    for wrong in ({}, {"settings": 3}, {"settings": vars(settings), "network": {}}):
        torch.save(wrong, broken / "checkpoint.pt")
        with pytest.raises(BenchError, match="is no checkpoint of this training"):
            train_codec(_recipe(kind), settings, shards, shards, broken, "cpu", True, quiet)
    (broken / "checkpoint.pt").write_bytes(checkpoint)
    resumed = train_codec(_recipe(kind), settings, shards, shards, broken, "cpu", True, quiet)
    assert resumed["sha256"] == card["sha256"]
    assert (broken / "log.csv").read_text() == (whole / "log.csv").read_text()
    assert [row["step"] for row in csv.DictReader((whole / "log.csv").open())] == ["2", "4", "6"]
    assert json.loads((whole / "card.json").read_text())["validation"][0]["psnr"] > 12
    assert (whole / "curve.png").stat().st_size > 1000


def test_spikecodec_is_trained_and_fires(shards, tmp_path):
    settings = Settings("spikecodec", shards.digest, 2, 0)
    train_codec(_recipe(SpikeCodecRecipe), settings, shards, shards, tmp_path, "cpu", False, quiet)
    codec = create(Codec, f"spikecodec:weights={tmp_path / 'small.safetensors'}")
    assert [result for result in conform(codec) if result.problem] == []
    # A constant scene: the rate of the spikes that are fired is the rate of those that came.
    random = np.random.default_rng(0)
    spikes = (random.random((50, 32, 48)) < 0.3).astype(np.float32)
    encoded = codec.encode(spikes, 6, CodingCondition(), Content.SPIKES)
    decoded = codec.decode(encoded.stream).frames
    assert set(np.unique(decoded)) <= {0.0, 1.0}
    assert abs(decoded.mean() - 0.3) < 0.02


def test_trained_weights_make_a_codec(shards, tmp_path, moving):
    settings = Settings("dcvc-dc", shards.digest, 2, 0)
    train_codec(_recipe(DcvcDcRecipe), settings, shards, shards, tmp_path, "cpu", False, quiet)
    codec = create(Codec, f"dcvc-dc:weights={tmp_path / 'small.safetensors'}")
    assert codec.available().ok
    frames = moving(3, 40, 56)
    encoded = codec.encode(frames, 5, CodingCondition(), Content.FEATURES)
    decoded = codec.decode(encoded.stream)
    assert np.abs(decoded.frames - frames).mean() < 0.05


def test_the_verb_says_what_is_wrong(bench, tmp_path):
    one_line_error(bench("train", "dcvc-dc", "--data", tmp_path, check=None), "no pictures or videos")
    one_line_error(bench("train", "vvenc", check=None), "not a codec that is trained here")
