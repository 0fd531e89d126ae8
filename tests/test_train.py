import csv
import json
import math
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from baselines.dcvc.training import DcvcRecipe
from baselines.dcvc_dc.training import DcvcDcRecipe
from baselines.neural.autoregressive import _wavefronts
from baselines.neural.fixed import FixedConv, freeze, train_in_bfloat16
from baselines.neural.layers import _unit_grid
from baselines.neural.motion import frames_between
from baselines.neural.small import _spread
from baselines.spikecodec.training import SpikeCodecRecipe
from bench.api import train_weights
from bench.cli.program import main
from bench.conform import conform
from bench.datasets._scenes import Scene
from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Content
from bench.interfaces.recipe import shares
from bench.progress import progress_bar, silent
from bench.registry import create
from bench.train import loop
from bench.train.devices import Group
from bench.train.log import Log
from bench.train.loop import Settings, averaged_model, planned_steps, train_codec
from bench.train.options import TrainingOptions
from bench.train.run import train_component
from bench.train.shards import FRAMES, MARGIN, NUM_SPIKES, SIZE, open_shards
from bench.train.sources import dead_leaves
from tests.conftest import one_line_error


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return open_shards(None, tmp_path_factory.mktemp("shards"), 4, 0, silent)


@pytest.fixture(scope="module")
def short(shards):
    """The same with four instants, since coding all of them at every rate point takes a while."""
    return replace(shards, features=shards.features[:, :4], truth=shards.truth[:, :4])


def test_shards_are_written_once_and_the_same(shards, tmp_path):
    assert shards.truth.shape == (4, FRAMES, SIZE, SIZE)
    assert shards.spikes.shape == (4, NUM_SPIKES, SIZE * SIZE // 8)
    again = open_shards(None, tmp_path, 4, 0, silent)
    assert again.digest == shards.digest
    assert np.array_equal(again.features, shards.features)
    calls = []
    open_shards(None, tmp_path, 4, 0, lambda *facts: calls.append(facts))
    assert not calls
    # The features are a noisy view of the truth.
    error = shards.features.astype(float) - shards.truth
    assert 3 < np.sqrt((error**2).mean()) < 40


def test_batches_depend_on_their_number_alone(shards):
    first, truth = shards.pairs(3, 48, seed=1, step=7)
    assert first.shape == truth.shape == (3, FRAMES, 48, 48)
    assert np.array_equal(first, shards.pairs(3, 48, seed=1, step=7)[0])
    assert not np.array_equal(first, shards.pairs(3, 48, seed=1, step=8)[0])
    features, plain = (shards.pairs(8, 48, seed=1, step=7, count=5, plain=share)[0] for share in (0, 1))
    assert features.shape == (8, 5, 48, 48)
    assert np.array_equal(plain, shards.pairs(8, 48, seed=1, step=7, count=5, plain=1)[1])
    assert not np.array_equal(features, plain)
    spikes, truth = shards.scenes(16, 64, seed=1, step=7)
    assert spikes.shape == (16, 2 * MARGIN, 64, 64)
    # The firing rate is 0.6 of the luminance, and the window is centred on the instant that the truth is of.
    assert abs(spikes.mean() / truth.mean() - 0.6) < 0.03
    assert np.corrcoef(spikes[:, 15:25].mean((2, 3)).mean(1), truth.mean((1, 2, 3)))[0, 1] > 0.99


def test_scenes_move_and_are_their_seed():
    pictures = [dead_leaves(np.random.default_rng(seed)) for seed in range(3)]
    scenes = [Scene(pictures, np.random.default_rng(seed), 48, 33).render(range(0, 33, 4)) for seed in (*range(12), 0)]
    assert np.array_equal(scenes[0], scenes[-1])
    changes = [float(np.abs(np.diff(frames, axis=0)).mean()) for frames in scenes]
    assert len(set(changes)) == 12 and max(changes) > 0.01
    for frames in scenes:
        assert frames.shape == (9, 48, 48) and frames.dtype == np.float32
        assert frames.min() >= 0 and frames.max() <= 1 and frames.std() > 0.02


def test_frames_between_two_of_a_video_move_instead_of_fading():
    picture = gaussian_filter(dead_leaves(np.random.default_rng(3)), 1.5)

    def scene(shift):
        return picture[8 : 8 + SIZE, 8 + shift : 8 + shift + SIZE]

    interpolation = frames_between(scene(0), scene(8), 4)
    inside = (slice(None), slice(16, -16), slice(16, -16))
    moved = np.stack([scene(2 * part) for part in range(4)])
    faded = np.stack([scene(0) + part / 4 * (scene(8) - scene(0)) for part in range(4)])
    errors = [float(np.square(frames - moved)[inside].mean()) for frames in (interpolation, faded)]
    assert errors[0] < errors[1] / 10


def test_dead_leaves_fill_the_picture():
    picture = dead_leaves(np.random.default_rng(0))
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert picture.std() > 0.1


def _recipe(kind):
    torch.manual_seed(0)
    recipe = kind()
    recipe.batch, recipe.crop, recipe.side, recipe.checked = 2, 64, 64, 1
    recipe.inter = (0.5, 1), (1.0, 3)
    return recipe


@pytest.mark.parametrize("kind", [DcvcRecipe, DcvcDcRecipe])
def test_training_goes_on_after_coding(kind):
    """What coding keeps (grids, weights of blocks) was made in inference mode."""
    for make in (_unit_grid, _spread, _wavefronts):
        make.cache_clear()
    recipe, frames = kind(), torch.rand(2, 2, 64, 64)
    with torch.inference_mode():
        recipe.loss((frames, frames), 0.0)
    loss, _ = recipe.loss((frames, frames), 0.0)
    loss.backward()


@pytest.mark.parametrize("steps", [20, 200, 5000])
def test_averaged_weights_are_those_of_the_last_tenth_whatever_the_length(steps):
    """Weights that grow by one a step from zero on; with 0.998 throughout, 200 steps would give 36."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    averaged = averaged_model(network, 0)
    for step in range(steps):
        nn.init.constant_(network.weight, step + 1.0)
        averaged.update_parameters(network)
    assert averaged.module.weight.item() == pytest.approx(0.9 * steps, rel=0.06)


@pytest.mark.parametrize("kind", [DcvcRecipe, pytest.param(DcvcDcRecipe, marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(kind, short, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(Log, "every", 2)
    settings = Settings("test", short.digest, 6, 0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    said = []
    card = train_codec(_recipe(kind), settings, short, short, whole, Group(), False, lambda *facts: said.append(facts))
    assert [facts[:2] for facts in said[:6]] == [(step, 6) for step in range(1, 7)]
    assert said[6:] == [(number, 7, "validation") for number in range(1, 8)]

    def kill(done, total, label):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_codec(_recipe(kind), settings, short, short, broken, Group(), False, kill)
    with pytest.raises(BenchError, match="holds a run already"):
        train_codec(_recipe(kind), settings, short, short, broken, Group(), False, silent)
    with pytest.raises(BenchError, match="other steps"):
        train_codec(_recipe(kind), Settings("test", short.digest, 9, 0), short, short, broken, Group(), True, silent)
    checkpoint = (broken / "checkpoint.pt").read_bytes()
    for wrong in ({}, {"settings": 3}, {"settings": vars(settings), "network": {}}):
        torch.save(wrong, broken / "checkpoint.pt")
        with pytest.raises(BenchError, match="is no checkpoint of this training"):
            train_codec(_recipe(kind), settings, short, short, broken, Group(), True, silent)
    (broken / "checkpoint.pt").write_bytes(checkpoint)
    resumed = train_codec(_recipe(kind), settings, short, short, broken, Group(), True, silent)
    assert resumed["sha256"] == card["sha256"]
    assert (broken / "log.csv").read_text() == (whole / "log.csv").read_text()
    assert [row["step"] for row in csv.DictReader((whole / "log.csv").open())] == ["2", "4", "6"]
    assert json.loads((whole / "card.json").read_text())["validation"][0]["psnr"] > 12
    assert (whole / "curve.png").stat().st_size > 1000


def test_bfloat16_is_for_large_convolutions_while_they_train():
    torch.manual_seed(0)
    network = nn.ModuleList([FixedConv(16, 16), FixedConv(16, 16, 1), FixedConv(16, 16, groups=16)])
    x = torch.rand(1, 16, 8, 8)
    before = [layer(x) for layer in network]
    train_in_bfloat16(network)
    after = [layer(x) for layer in network]
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [False, True, True]
    assert after[0].dtype == torch.float32
    torch.testing.assert_close(after[0], before[0], atol=0.02, rtol=0)
    after[0].sum().backward()
    with torch.no_grad():
        assert torch.equal(network.eval()[0](x), before[0])
        freeze(network)
        assert torch.equal(network.train()[0](x), network.eval()[0](x))


@pytest.mark.parametrize("kind", [DcvcRecipe, DcvcDcRecipe])
def test_small_codecs_train_in_bfloat16(kind):
    recipe, frames = kind(), torch.rand(2, 2, 64, 64)
    recipe.use_bfloat16()
    loss, _ = recipe.loss((frames, frames), 0.0)
    loss.backward()
    assert loss.dtype == torch.float32


def test_spikecodec_is_trained_and_fires(shards, tmp_path):
    settings = Settings("spikecodec", shards.digest, 2, 0)
    train_codec(_recipe(SpikeCodecRecipe), settings, shards, shards, tmp_path, Group(), False, silent)
    codec = create(Codec, f"spikecodec:weights={tmp_path / 'small.safetensors'}")
    assert [result for result in conform(codec) if result.problem] == []
    # A constant scene: the rate of the spikes that are fired is the rate of those that came.
    random = np.random.default_rng(0)
    spikes = (random.random((50, 32, 48)) < 0.3).astype(np.float32)
    encoded = codec.encode(spikes, 6, codec.default_condition(), Content.SPIKES)
    decoded = codec.decode(encoded.stream).frames
    assert set(np.unique(decoded)) <= {0.0, 1.0}
    assert abs(decoded.mean() - 0.3) < 0.02


def test_trained_weights_make_a_codec(short, tmp_path, moving):
    settings = Settings("dcvc-dc", short.digest, 2, 0)
    train_codec(_recipe(DcvcDcRecipe), settings, short, short, tmp_path, Group(), False, silent)
    codec = create(Codec, f"dcvc-dc:weights={tmp_path / 'small.safetensors'}")
    assert codec.available().ok
    frames = moving(3, 40, 56)
    encoded = codec.encode(frames, 5, CodingCondition(), Content.FEATURES)
    decoded = codec.decode(encoded.stream)
    assert np.abs(decoded.frames - frames).mean() < 0.05


def _steps_of(folder):
    return [row["step"] for row in csv.DictReader((folder / "log.csv").open())]


def test_a_limit_ends_training_after_its_step_and_it_goes_on_later(shards, tmp_path, monkeypatch):
    """A run that was cut twice, between rows of its log too, ends as an unbroken one does."""
    monkeypatch.setattr(Log, "every", 2)
    settings = Settings("test", shards.digest, 4, 0)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    card = train_codec(_recipe(SpikeCodecRecipe), settings, shards, shards, whole, Group(), False, silent)
    for steps in (1, 2):
        part = train_codec(_recipe(SpikeCodecRecipe), settings, shards, shards, cut, Group(), steps > 1, silent, 0.0)
        assert (part["steps"], part["planned_steps"]) == (steps, 4)
        assert (cut / "small.safetensors").is_file() and planned_steps(cut) == 4
    assert _steps_of(cut) == ["2"]
    resumed = train_codec(_recipe(SpikeCodecRecipe), settings, shards, shards, cut, Group(), True, silent)
    assert (resumed["steps"], resumed["sha256"]) == (4, card["sha256"])
    assert (cut / "log.csv").read_text() == (whole / "log.csv").read_text()
    assert planned_steps(tmp_path) is None


def test_features_that_are_derived_tell_how_far_they_are(shards, tmp_path):
    said = []
    shards.derive(tmp_path.name, lambda spikes, instants: spikes[instants], lambda *facts: said.append(facts))
    assert said == [(number, 4, "features") for number in range(1, 5)]


def test_features_that_cannot_be_derived_leave_no_file(shards):
    def fail(spikes, instants):
        raise KeyboardInterrupt

    before = sorted(shards.folder.iterdir())
    with pytest.raises(KeyboardInterrupt):
        shards.derive("interrupted", fail)
    assert sorted(shards.folder.iterdir()) == before


def test_without_a_terminal_progress_is_a_line_a_minute(monkeypatch, capsys):
    """Also while one step takes long; none where all is done sooner."""
    lines = []
    monkeypatch.setattr("bench.progress._LINE_SECONDS", 0.01)
    with progress_bar("training x") as progress:
        progress(61, 200, "loss 1")
        while len(lines) < 3:
            time.sleep(0.01)
            lines += capsys.readouterr().err.splitlines()
    assert lines[-1] == "training x: 61 of 200 after 0 min, loss 1"
    monkeypatch.setattr("bench.progress._LINE_SECONDS", 60)
    capsys.readouterr()
    with progress_bar("training x") as progress:
        progress(61, 200, "loss 1")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("spec", ["dcvc:preset=official", "spikecodec:preset=full"])
def test_a_preset_without_a_recipe_is_not_trained_under_its_name(spec, refused):
    name, _, preset = spec.partition(":preset=")
    words = f"{name}: there is no training for the preset {preset}; `bench train {name}` trains the preset small"
    refused(["train", spec, "--steps", "1"], words)
    with pytest.raises(BenchError, match="there is no training"):
        create(Codec, spec).recipe()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dcvc:weights=x"], "training does not take dcvc's option weights; use --begin FILE"),
        (["dcvc:device=cuda"], "training does not take dcvc's option device; use --device"),
        (["classifier:stage=3"], "training does not take classifier's option stage; use --stage"),
        (["classifier", "--samples", "8"], "classifier is trained on its own dataset: leave out --data"),
        (["spikecodec", "--precision", "bf16"], "this training leaves no choice of precision: leave out --precision"),
        (["dcvc:metric=msssim"], "chooses among the checkpoints of the preset official"),
    ],
)
def test_options_that_training_would_drop_are_refused(arguments, words, refused):
    refused(["train", *arguments], words)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """See the verb end with one line, and leave nothing behind."""

    def check(arguments, words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr().err
        assert end.value.code == 2 and said.startswith("bench: ") and said.count("\n") == 1, said
        assert words in said
        assert list(tmp_path.iterdir()) == []

    return check


def test_minutes_plan_steps_and_limit_them(shards, tmp_path, monkeypatch, one_thread):
    """A run that goes on keeps its plan, whatever its minutes now are; validation is short where training is."""
    monkeypatch.setattr(DcvcRecipe, "pace", 105.0)
    calls = []

    def train(recipe, settings, shards, held_out, folder, group, resume, progress, limit, **further):
        calls.append((settings.steps, limit, recipe.checked))
        return {"steps": settings.steps, "minutes": 0, "validation": []}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "train_codec", train)
    monkeypatch.setattr("bench.train.shards.open_shards", lambda *_: shards)
    for arguments in (["--minutes", "2"], ["--steps", "7"], ["--steps", "7", "--minutes", "0.5"], ["--resume"]):
        if "--resume" in arguments:
            monkeypatch.setattr(loop, "planned_steps", lambda folder: 9)
        monkeypatch.setattr("sys.argv", ["bench", "train", "dcvc", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
    assert calls == [(210, 120, 13), (7, math.inf, 2), (7, 30, 2), (9, 3600, 2)]


@pytest.mark.parametrize("kind", [DcvcRecipe, SpikeCodecRecipe])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(kind, short, shards):
    """Also where the values inside frames are computed again."""
    recipe, gradients = _recipe(kind), []
    recipe.batch = 3
    batch = recipe.draw(shards if kind is SpikeCodecRecipe else short, 0, 0)
    for parts in (1, 2):
        recipe.network.zero_grad()
        facts = 0.0
        for share in shares(3, parts):
            torch.manual_seed(7)
            recipe.share = share
            loss, _ = recipe.loss(tuple(share.of(tensor) for tensor in batch), 0.0)
            (loss * share.weight).backward()
            facts += share.weight * loss.item()
        used = [parameter.grad for parameter in recipe.network.parameters() if parameter.grad is not None]
        gradients.append((facts, torch.cat([gradient.flatten() for gradient in used])))
        recipe.use_checkpointing()
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    assert float((gradients[0][1] - gradients[1][1]).norm() / gradients[0][1].norm()) < 1e-4


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_two(bench, tmp_path, monkeypatch, one_thread):
    """A step draws the same batch and noise, whatever processes share it: log and weights are those of one process."""
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    options = {"steps": 20, "samples": 8, "batch": 3, "crop": 32}
    whole, broken = (TrainingOptions(**options, out=tmp_path / name) for name in ("whole", "broken"))
    train_component("spikecodec", whole)
    monkeypatch.setattr(Log, "every", 4)

    def kill(done, total, label):
        if (done, total) == (10, 20):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_component("spikecodec", broken, bar=lambda title: nullcontext(kill))
    (tmp_path / "broken" / "log.csv").unlink()
    said = bench("train", "spikecodec", *replace(broken, resume=True, devices=2).arguments()).stdout
    assert said.count("training spikecodec: 20 steps on 2 devices") == 1
    states = [torch.load(path / "checkpoint.pt", weights_only=True) for path in (whole.out, broken.out)]
    assert [state["step"] for state in states] == [20, 20]
    for name, value in states[0]["averaged"].items():
        torch.testing.assert_close(states[1]["averaged"][name], value, atol=2e-4, rtol=1e-3)
    assert json.loads((broken.out / "card.json").read_text())["devices"] == 2


def test_options_become_the_command_that_says_the_same(tmp_path):
    options = TrainingOptions(steps=3, resume=True, precision="bf16", out=tmp_path, hours=0.5)
    assert options.arguments() == ["--hours=0.5", "--steps=3", f"--out={tmp_path}", "--resume", "--precision=bf16"]
    assert options.limit_minutes == 30
    with pytest.raises(BenchError, match="no option nonsense"):
        train_weights("dcvc", nonsense=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dcvc", "--precision", "16"], "--precision is 32 or bf16, not 16"),
        (["dcvc", "--crop", "40"], "--crop is a multiple of 16, not 40"),
        (["dcvc", "--minutes", "1", "--hours", "1"], "--minutes and --hours say the same: leave out one"),
        (["sci:preset=small", "--preset", "paper"], "sci:preset=small and --preset paper name two presets"),
        (["dcvc", "--checkpointing", "--device", "abacus"], "no device 'abacus'"),
        (["dcvc", "--nodes", "2"], "--nodes: no machine to meet at; set MASTER_ADDR"),
        (["classifier", "--crop", "32"], "classifier is trained on its own dataset: leave out --crop"),
    ],
)
def test_options_that_contradict_are_refused(arguments, words, refused, monkeypatch):
    for name in ("MASTER_ADDR", "SLURM_LAUNCH_NODE_IPADDR"):
        monkeypatch.delenv(name, raising=False)
    refused(["train", *arguments], words)


@pytest.mark.parametrize(
    ("separable", "accumulate", "words"),
    [(True, 3, "a batch of 2 cannot be shared"), (False, 2, "normalises over its")],
)
def test_a_batch_that_cannot_be_shared_is_refused(shards, tmp_path, separable, accumulate, words):
    recipe = _recipe(SpikeCodecRecipe)
    recipe.separable = separable
    with pytest.raises(BenchError, match=words):
        train_codec(
            recipe, Settings("test", "", 2, 0), shards, shards, tmp_path, Group(), False, silent, accumulate=accumulate
        )


def test_batches_made_ahead_and_events_change_no_weights(shards, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    settings, cards = Settings("test", shards.digest, 2, 0), []
    for number, further in enumerate(({}, {"workers": 1, "tensorboard": True})):
        folder = tmp_path / str(number)
        recipe = _recipe(SpikeCodecRecipe)
        cards.append(train_codec(recipe, settings, shards, shards, folder, Group(), False, silent, **further))
    assert cards[0]["sha256"] == cards[1]["sha256"]
    assert list((tmp_path / "1" / "tensorboard").iterdir())


def test_the_verb_says_what_is_wrong(bench, tmp_path):
    one_line_error(bench("train", "dcvc-dc", "--data", tmp_path, check=None), "no pictures, videos or septuplets")
    one_line_error(bench("train", "vvenc", check=None), "not a codec that is trained here")
