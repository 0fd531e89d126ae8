import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.ops import deform_conv2d

import baselines.dcvc.codec
import bench.cli.program
import bench.weights
from baselines.neural.coding import StreamDecoder, StreamEncoder
from baselines.neural.latents import Estimator
from baselines.neural.layers import warp
from baselines.neural.small import SCALES
from baselines.neural.training import finish_small, spread_rates
from baselines.sci import global_motion
from baselines.sci.analysis import OFFSETS, Analysis, chain, deform
from baselines.sci.analyzer import SciAnalyzer
from baselines.sci.codec import Sci
from baselines.sci.extraction import REACH, BinaryConv, Extraction
from baselines.sci.extractor import SciExtractor
from baselines.sci.global_motion import MotionKind
from baselines.sci.inter import SciModel, State, VideoNetwork
from baselines.sci.intra import ImageNetwork
from baselines.sci.part import ABLATIONS, EXTRACTIONS, Variant
from baselines.sci.presets import ANALYSIS, CODEC, EXTRACTION, extraction_size
from baselines.sci.sizes import IntraSize
from baselines.sci.training import _ENCODER, CodecRecipe
from bench.conform import conform
from bench.errors import BenchError, StreamError
from bench.interfaces import Analyzer, Codec, CodingCondition, Content, Extractor
from bench.interfaces.recipe import Share
from bench.registry import create
from bench.runner.plan import default_analyzer
from bench.spikes import firing_rate
from bench.train import loop
from bench.train.devices import Group
from bench.train.log import Log
from bench.train.loop import Settings, train_codec
from bench.train.shards import open_shards

RATE = 0.6
STAGES = ("1", "2", "intra", "codec", "3")
FILES = {
    "1": ["extraction.safetensors"],
    "2": ["analysis.safetensors"],
    "intra": ["intra.safetensors"],
    "codec": ["small.safetensors"],
    "3": ["small.safetensors", "analysis.safetensors"],
}


def quiet(done, total, label):
    pass


def filled(network, scale=0.1, seed=0):
    """The network with every weight drawn anew: none of those that start at zero hides what comes before it."""
    torch.manual_seed(seed)
    for value in network.parameters():
        nn.init.normal_(value, std=scale)
    return network.eval()


def saved(network, path):
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def random_spikes(count, height, width, seed=0):
    return (np.random.default_rng(seed).random((count, height, width)) < 0.4).astype(np.uint8)


# Extraction.


def extraction(fusions=None, **changes):
    torch.manual_seed(0)
    return Extraction(replace(extraction_size("small", fusions), **changes))


@pytest.mark.parametrize("fusions", [None, 0])
def test_extraction_starts_as_the_firing_rate(fusions):
    spikes = random_spikes(2 * REACH, 16, 24)
    feature = extraction(fusions)(torch.from_numpy(spikes)[None].float(), RATE)
    assert feature.shape == (1, 1, 16, 24)
    expected = firing_rate(spikes, np.array([REACH]), 13) / np.float32(RATE)
    assert np.allclose(feature[0].detach(), expected, atol=1e-6)


def test_the_ventral_pathway_alone_has_no_dorsal_weights():
    alone, dual = extraction(0).state_dict(), extraction().state_dict()
    behind = ("dorsal.", "fusions.", "into.", "back.")
    assert {name for name in dual if name.startswith(behind)} == set(dual) - set(alone)
    assert any(name.startswith("dorsal.filters.3.") for name in dual)
    assert set(alone) < set(dual)


def seen_by(network):
    """By filter, and for the whole, the spike frames that change what comes out."""
    frames, outputs = {}, {}
    for pathway in ("ventral", "dorsal"):
        for i, layer in enumerate(getattr(network, pathway).filters if hasattr(network, pathway) else ()):
            layer.register_forward_hook(lambda _m, _i, out, key=(pathway, i): outputs.__setitem__(key, out))
    spikes = torch.from_numpy(random_spikes(2 * REACH, 8, 8))[None].float()
    with torch.inference_mode():
        outputs["all"] = network(spikes)
        before = dict(outputs)
        for frame in range(2 * REACH):
            changed = spikes.clone()
            changed[:, frame] = 1 - changed[:, frame]
            outputs["all"] = network(changed)
            for key, out in outputs.items():
                if not torch.equal(out, before[key]):
                    frames.setdefault(key, []).append(frame)
    return frames


def test_each_filter_sees_its_own_frames():
    frames = seen_by(filled(extraction()))
    for i, span in enumerate((7, 9, 11, 13)):
        assert frames["ventral", i] == list(range(20 - span // 2, 20 + span // 2 + 1))
    # The windows slide backward: the first has the latest frames, and none is left out.
    assert [frames["dorsal", i] for i in range(4)] == [list(range(start, start + 10)) for start in (30, 20, 10, 0)]
    assert frames["all"] == list(range(40))
    alone = seen_by(filled(extraction(0)))
    assert alone["all"] == list(range(14, 27))
    assert ("dorsal", 0) not in alone


def test_weights_of_one_bit():
    torch.manual_seed(0)
    layer, taps = BinaryConv(3, 5, 4), torch.eye(48).view(48, 3, 4, 4)
    for trained in (True, False):
        layer.requires_grad_(trained)
        weights = (layer(taps)[:, :, 0, 0] - layer.bias).T
        real = layer.weight.flatten(1)
        scale = real.abs().mean(1, keepdim=True)
        assert len(scale.unique()) == 5
        assert torch.allclose(weights, scale * torch.where(real >= 0, 1.0, -1.0), atol=1e-6)


def test_gradients_pass_straight_through_the_sign():
    torch.manual_seed(0)
    layer, x, weights = BinaryConv(3, 5, 4, 2, 1), torch.rand(2, 3, 8, 8), torch.randn(2, 5, 4, 4)
    (layer(x) * weights).sum().backward()
    plain = layer.weight.detach().clone().requires_grad_()
    (F.conv2d(x, plain, None, 2, 1) * weights).sum().backward()
    assert torch.allclose(layer.weight.grad, plain.grad, atol=1e-5)
    assert layer.weight.grad.abs().min() > 0


def test_every_weight_of_extraction_learns():
    network = filled(extraction()).train()
    spikes = torch.from_numpy(random_spikes(2 * REACH, 16, 16))[None].float()
    network(spikes, RATE).square().mean().backward()
    assert [name for name, value in network.named_parameters() if not value.grad.abs().sum() > 0] == []


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    path = saved(filled(extraction()), tmp_path_factory.mktemp("extraction") / "extraction.safetensors")
    return create(Extractor, f"sci:weights={path}")


def test_an_instant_sees_twenty_frames_before_and_nineteen_after(extractor):
    spikes, instants = random_spikes(60, 8, 8), np.array([25])
    before = extractor.extract(spikes, instants, RATE)
    for frame, counts in ((4, False), (5, True), (44, True), (45, False)):
        changed = spikes.copy()
        changed[frame] = 1 - changed[frame]
        assert np.array_equal(extractor.extract(changed, instants, RATE), before) != counts, frame


@pytest.mark.parametrize("count", [1, 2, 7, 21, 60])
def test_spikes_are_mirrored_at_the_ends(extractor, count):
    spikes, instants = random_spikes(count, 8, 12), np.unique([0, count // 2, count - 1])
    features = extractor.extract(spikes, instants, RATE)
    assert features.shape == (len(instants), 8, 12)
    whole = np.pad(spikes, ((REACH, REACH), (0, 0), (0, 0)), "reflect")
    assert np.array_equal(features, extractor.extract(whole, instants + REACH, RATE))


@pytest.mark.parametrize("size", [(7, 13), (1, 1), (25, 42)])
def test_extraction_of_odd_sizes(extractor, size):
    spikes, instants = random_spikes(30, *size), np.array([2, 28])
    features = extractor.extract(spikes, instants, RATE)
    assert features.shape == (2, *size)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert features.min() >= 0
    assert features.max() <= 1
    assert size == (1, 1) or features.std() > 0.01
    whole = np.pad(spikes, ((0, 0), (0, -size[0] % 4), (0, -size[1] % 4)), "edge")
    assert np.array_equal(features, extractor.extract(whole, instants, RATE)[:, : size[0], : size[1]])


# Analysis.


def analysis(align="afr", refine=True):
    torch.manual_seed(0)
    return Analysis(ANALYSIS["small"], align, refine)


def constant_motion(*vectors, size=(16, 32)):
    return torch.tensor(vectors)[None, :, :, None, None].float().expand(1, -1, -1, *size)


def test_a_chain_of_constant_motion_is_a_sum():
    motion = constant_motion((9, 9), (1, 2), (3, -1), (0.5, 4), (-2, 0.25))
    for offset, expected in {-1: (3.0, -1.0), -2: (4.0, 1.0), 1: (-0.5, -4.0), 2: (1.5, -4.25)}.items():
        path = chain(motion, 2, offset)
        assert path.shape == (1, 2, 16, 32)
        assert torch.allclose(path, torch.tensor(expected)[None, :, None, None].expand_as(path), atol=1e-5), offset


def test_a_chain_takes_each_step_where_the_last_one_ended():
    x = torch.arange(32).float()
    motion = constant_motion((0, 0), (0, 0), (2, 0), (-4, 0), (0, 0)).clone()
    motion[0, 1, 0], motion[0, 4, 0] = x / 10, x / 10
    # Back: two pixels to the right, and there the motion of the feature before. Forward: four, and
    # against it, from where one step of the inversion comes to lie.
    assert torch.allclose(chain(motion, 2, -2)[0, 0, :, :30], 2 + (x[:30] + 2) / 10, atol=1e-5)
    assert torch.allclose(chain(motion, 2, 2)[0, 0, :, :28], 4 - 0.9 * (x[:28] + 4) / 10, atol=1e-5)


def panning(count=5, height=32, width=48):
    """Features of a texture that moves by (2, 1) pixels from one to the next, and their motion."""
    torch.manual_seed(0)
    texture = torch.rand(1, height, width)
    features = torch.stack([texture.roll((k, 2 * k), (1, 2)) for k in range(count)], 1)
    return features, constant_motion(*(((0, 0), *[(-2, -1)] * (count - 1))), size=(height, width))


@pytest.mark.parametrize("align", ["afr", "warp"])
def test_neighbours_are_brought_to_the_instant(align):
    (features, motion), network = panning(), analysis(align)
    for offset in OFFSETS:
        neighbour = network._neighbour(features, motion, 2, offset)
        inside = (..., slice(4, -4), slice(6, -6))
        assert torch.allclose(neighbour[inside], features[:, 2:3][inside], atol=1e-4), offset
        assert not torch.allclose(features[:, 2 + offset][:, 4:-4, 6:-6], features[:, 2][:, 4:-4, 6:-6], atol=0.1)
    assert torch.equal(analysis("dcn")._neighbour(features, motion, 2, -1), features[:, 1:2])


def test_missing_neighbours_are_the_instant_itself():
    (features, motion), network = panning(), analysis()
    for k, offset in ((0, -1), (0, -2), (1, -2), (3, 2), (4, 1), (4, 2)):
        assert torch.equal(network._neighbour(features, motion, k, offset), features[:, k : k + 1])


@pytest.mark.parametrize(("align", "refine"), [("afr", True), ("afr", False), ("dcn", True), ("warp", True)])
def test_analysis_starts_by_giving_the_feature_back(align, refine):
    (features, motion), network = panning(), analysis(align, refine).eval()
    with torch.inference_mode():
        for k in range(5):
            assert torch.equal(network(features, motion, k), features[:, k : k + 1])
        assert torch.equal(network(features[:, :1], motion[:, :1], 0), features[:, :1])


@pytest.mark.parametrize("align", ["afr", "dcn", "warp"])
def test_analysis_sees_two_neighbours_on_either_side(align):
    (features, motion), network = panning(7), filled(analysis(align))
    with torch.inference_mode():
        for k, reached in ((0, [0, 1, 2]), (3, [1, 2, 3, 4, 5]), (6, [4, 5, 6])):
            before = network(features, motion, k)
            changed = []
            for other in range(7):
                darker = features.clone()
                darker[:, other] /= 2
                changed += [other] if not torch.equal(network(darker, motion, k), before) else []
            assert changed == reached


def test_only_what_aligns_has_weights():
    modules = {align: {name.split(".")[1] for name in names} for align, names in _alignment_names().items()}
    assert modules == {
        "afr": {"hints", "offsets", "deform", "warped", "fuse"}, "dcn": {"hints", "offsets", "deform"}, "warp": set(),
    }  # fmt: skip


def _alignment_names():
    return {
        align: [name for name in analysis(align).state_dict() if name.startswith("alignment.")]
        for align in ("afr", "dcn", "warp")
    }


def test_motion_refinement_starts_as_identity_and_can_be_left_out():
    features, motion = panning()
    assert torch.equal(analysis().refined(features, motion), motion)
    other = filled(analysis()).refined(features, motion)
    assert torch.equal(other[:, 0], motion[:, 0])
    assert ((other - motion)[:, 1:].abs().amax((2, 3, 4)) > 0.01).all()
    without = analysis(refine=False)
    assert not any(name.startswith("fmvr") for name in without.state_dict())
    assert torch.equal(without.refined(features, motion), motion)


def test_estimated_motion_is_from_the_feature_before():
    (features, _), network = panning(3), analysis()
    motion = network.estimate(features)
    assert motion.shape == (1, 3, 2, 32, 48)
    assert not motion[:, 0].any()
    # Each pair alone gives the same.
    assert torch.allclose(network.estimate(features[:, 1:])[:, 1], motion[:, 2], atol=1e-5)
    assert network.estimate(features[:, :1]).shape == (1, 1, 2, 32, 48)


@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolution_is_that_of_torchvision(groups):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, padding=1).double()
    x, offsets, mask = torch.rand(2, 4, 5, 7), 3 * torch.randn(2, 18 * groups, 5, 7), torch.rand(2, 9 * groups, 5, 7)
    inputs = [part.double().requires_grad_() for part in (x, offsets, mask)]
    weights = torch.randn(2, 6, 5, 7).double()
    leaves = (*inputs, layer.weight, layer.bias)
    result = deform(*inputs, layer)
    expected = deform_conv2d(*inputs[:2], layer.weight, layer.bias, padding=1, mask=inputs[2])
    assert (result - expected).abs().max() < 1e-12
    gradients = (torch.autograd.grad((out * weights).sum(), leaves) for out in (result, expected))
    for one, other in zip(*gradients, strict=True):
        assert other.abs().max() > 0.1
        assert (one - other).abs().max() < 1e-12


@pytest.fixture(scope="module")
def analyzer_network():
    return filled(analysis())


@pytest.fixture(scope="module")
def analyzer(analyzer_network, tmp_path_factory):
    path = saved(analyzer_network, tmp_path_factory.mktemp("analysis") / "analysis.safetensors")
    return create(Analyzer, f"sci:weights={path}")


def test_given_motion_is_used_and_missing_motion_estimated(analyzer, analyzer_network, moving):
    features = moving(4, 32, 48)
    with torch.inference_mode():
        estimated = analyzer_network.estimate(torch.from_numpy(features)[None])[0].numpy()
    missing = np.full((4, 2, 32, 48), np.nan, np.float32)
    without = analyzer.analyze(features)
    assert without.shape == features.shape
    assert without.dtype == np.float32
    assert np.isfinite(without).all()
    assert without.min() >= 0
    assert without.max() <= 1
    assert without.std() > 0.01
    assert np.array_equal(analyzer.analyze(features, missing), without)
    # As from a codec, frame 2 intra.
    motion = np.random.default_rng(0).normal(0, 3, missing.shape).astype(np.float32)
    motion[[0, 2]] = np.nan
    results = analyzer.analyze(features, motion)
    assert not np.array_equal(results, without)
    assert np.array_equal(results, analyzer.analyze(features, np.where(np.isnan(motion), estimated, motion)))


@pytest.mark.parametrize("size", [(19, 37), (7, 13)])
def test_analysis_of_sizes_that_are_no_multiples(analyzer, moving, size):
    features = moving(3, *size)
    motion = np.random.default_rng(0).normal(0, 2, (3, 2, *size)).astype(np.float32)
    motion[0] = np.nan
    result = analyzer.analyze(features, motion)
    assert result.shape == (3, *size)
    edge = ((0, -size[0] % 16), (0, -size[1] % 16))
    whole = analyzer.analyze(np.pad(features, ((0, 0), *edge), "edge"), np.pad(motion, ((0, 0), (0, 0), *edge), "edge"))
    assert np.array_equal(result, whole[:, : size[0], : size[1]])


def test_one_feature_alone_is_analysed(analyzer, moving):
    feature = moving(1, 16, 16)
    result = analyzer.analyze(feature, np.full((1, 2, 16, 16), np.nan, np.float32))
    assert result.shape == (1, 16, 16)
    assert np.isfinite(result).all()


# Training.


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return open_shards(None, tmp_path_factory.mktemp("shards"), 4, 0, quiet)


def small_recipe(stage, folder, checked=0, **variant):
    """A stage's recipe cut short; nothing is evaluated where nothing is to be checked."""
    torch.manual_seed(0)
    recipe = Sci().stage_recipe(stage, folder, Variant(**variant))
    recipe.batch, recipe.crop, recipe.side, recipe.checked = 3, 32, 64, checked
    if not checked:
        recipe.evaluate = lambda network, shards, progress: []
    return recipe


def run_stage(recipe, shards, folder, steps=2, resume=False, progress=quiet):
    prepared = recipe.prepare(shards)
    settings = Settings("sci", prepared.digest, steps, 0)
    return train_codec(recipe, settings, prepared, prepared, folder, Group(), resume, progress)


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    """Folder of all stages, two steps each, and their cards; the codec is not evaluated by itself, but in stage 3."""
    folder = tmp_path_factory.mktemp("sci")
    cards = {}
    for stage in STAGES:
        recipe = small_recipe(stage, folder, checked=0 if stage == "codec" else 1)
        cards[stage] = run_stage(recipe, shards, folder / stage)
    return folder, cards


def test_every_stage_writes_its_weights(trained):
    folder, cards = trained
    for stage in STAGES:
        assert list(cards[stage]["sha256"]) == FILES[stage]
        assert {path.name for path in (folder / stage).glob("*.safetensors")} == set(FILES[stage])
        for figures in cards[stage]["validation"]:
            assert figures["psnr"] > 8
    assert [point["rate_point"] for point in cards["3"]["validation"]] == list(range(7))
    # Later stages see the features of the first one's weights, not TFP's.
    assert len({cards[stage]["data"] for stage in STAGES[1:]}) == 1
    assert cards["2"]["data"] != cards["1"]["data"]
    assert [point["rate_point"] for point in cards["intra"]["validation"]] == list(range(9))
    assert not equal_files(folder / "3" / "analysis.safetensors", folder / "2" / "analysis.safetensors")


def equal_files(one, other):
    one, other = load_file(one), load_file(other)
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("encoder", [False, True])
def test_stage_three_leaves_the_encoder_alone(trained, shards, tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(loop, "_AVERAGING", 0.0)
    monkeypatch.setattr(loop, "_WARMUP_STEPS", 1)
    recipe = small_recipe("3", trained[0], encoder=encoder)
    before = {name: value.clone() for name, value in recipe.network.state_dict().items()}
    run_stage(recipe, shards, tmp_path / "3")
    changed = {name for name, value in recipe.network.state_dict().items() if not torch.equal(value, before[name])}
    sent = {name for name, _ in recipe.network.named_parameters() if _ENCODER.search(name)}
    assert {name.split(".", 2)[1] for name in sent} == {
        "transform", "encoder", "mv_encoder", "rates", "motion_rates", "prior", "mv_prior",
    }  # fmt: skip
    received = {f"{part}.refine.last.conv.weight" for part in ("image", "video")}
    received |= {"image.transform.synthesis", "video.prior.head.conv.weight", "video.mv_decoder.3.conv.weight"}
    received |= {"analysis.last.weight", "analysis.fmvr.layers.4.weight"}
    assert received <= changed
    if encoder:
        assert {"image.transform.analysis", "video.transform.analysis", "video.rates.scale"} <= changed
        assert {"image.encoder.2.weight", "image.encoder.2.bias"} & changed
    else:
        assert not sent & changed


@pytest.mark.slow
def test_a_killed_stage_three_ends_with_the_weights_of_an_unbroken_one(trained, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(Log, "every", 2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    card = run_stage(small_recipe("3", trained[0]), shards, whole, 4)

    def kill(done, total, label):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(small_recipe("3", trained[0]), shards, broken, 4, progress=kill)
    seen = []
    resumed = run_stage(small_recipe("3", trained[0]), shards, broken, 4, True, lambda done, *_: seen.append(done))
    assert seen == [3, 4]
    assert resumed["sha256"] == card["sha256"]


def test_variants_train(trained, shards, tmp_path):
    run_stage(small_recipe("1", tmp_path, fusions=0, smooth=0, anchor=0), shards, tmp_path / "1", 1)
    run_stage(small_recipe("2", tmp_path, fusions=0, align="dcn"), shards, tmp_path / "2", 1)
    assert not any("dorsal" in name for name in load_file(tmp_path / "1" / "extraction.safetensors"))
    assert not any("fuse" in name for name in load_file(tmp_path / "2" / "analysis.safetensors"))
    # They are run with the options that they were trained with.
    weights = tmp_path / "1" / "extraction.safetensors"
    spikes, instants = random_spikes(40, 8, 8), np.array([20])
    create(Extractor, f"sci:fusions=0,weights={weights}").extract(spikes, instants, RATE)
    with pytest.raises(BenchError, match="not a checkpoint of this network: missing back"):
        create(Extractor, f"sci:weights={weights}").extract(spikes, instants, RATE)


def test_motion_refinement_is_left_out_of_both_stages(trained, shards, tmp_path):
    folder = trained[0]
    for stage in ("1", "codec"):
        (tmp_path / stage).symlink_to(folder / stage)
    for stage in ("2", "3"):
        run_stage(small_recipe(stage, tmp_path, refine=False), shards, tmp_path / stage, 1)
        assert not any("fmvr" in name for name in load_file(tmp_path / stage / "analysis.safetensors"))


def test_a_stage_says_which_one_it_starts_from(tmp_path, trained, monkeypatch):
    monkeypatch.setattr("baselines.sci.codec.WEIGHTS", tmp_path)
    with pytest.raises(BenchError, match="train stage 1 first"):
        Sci().stage_recipe("codec", tmp_path)
    (tmp_path / "1").symlink_to(trained[0] / "1")
    with pytest.raises(BenchError, match="train stage codec first"):
        Sci().stage_recipe("3", tmp_path)


@pytest.mark.parametrize("plain", [0, 1])
def test_a_sequence_of_luminance_reaches_analysis_uncoded(trained, monkeypatch, plain):
    recipe = small_recipe("3", trained[0])
    features, seen = torch.rand(3, 4, 64, 64), []
    monkeypatch.setattr(recipe.analysis, "refined", lambda received, motion: seen.append((received, motion)) or motion)
    counts = torch.tensor([1.5, 1.5, 0.0]) if plain else torch.ones(3)
    instants = torch.tensor([0, 2, 3]).repeat(3, 1)
    batch = features, torch.rand_like(features), instants, torch.stack((torch.arange(3.0), counts), 1)
    loss, facts = recipe.loss(batch, 0.0)
    assert torch.isfinite(loss) and facts["bpp"] > 0
    assert [received.shape[1] for received, _ in seen] == [3, 4, 3]  # neighbours that there are not are left out
    received, motion = seen[1]
    assert torch.equal(received[-1], features[-1]) == bool(plain)
    assert not torch.equal(received[:-1], features[:-1])
    # Every other sequence, and each uncoded one, comes with motion that was searched.
    searched = recipe.analysis.estimate(received)
    same = [torch.equal(field, estimate) for field, estimate in zip(motion, searched, strict=True)]
    assert same == [True, False, True]
    received, motion = seen[0]
    searched = recipe.analysis.estimate(received)
    same = [torch.equal(field, estimate) for field, estimate in zip(motion, searched, strict=True)]
    assert same == [False, True, bool(plain)]
    assert len(spread_rates(Share(0, 3, 3)).unique()) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sci", "--stage", "9"), "sci has no stage '9' (it has: 1, 2, intra, codec, 3)"),
        (("sci", "--variant", "nonsense=1"), "option nonsense: unknown option (options: fusions"),
        (("sci", "--variant", "nonsense"), "'nonsense' is not of the form key=value"),
        (("sci", "--variant", "align=flow"), "option align"),
        (("dcvc", "--variant", "a=b"), "dcvc has no variants"),
        (("dcvc", "--stage", "1"), "dcvc has no stage '1' (it has: none)"),
    ],
)
def test_the_verb_says_what_is_wrong(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", "train", *arguments])
    with pytest.raises(SystemExit) as end:
        bench.cli.program.main()
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("bench: ") and captured.err.count("\n") == 1, captured.err
    assert words in captured.err
    assert list(tmp_path.iterdir()) == []


# The codec and the other components, with weights of two steps.


@pytest.fixture(scope="module")
def codec(trained):
    return create(Codec, f"sci:weights={trained[0] / '3' / 'small.safetensors'}")


def test_the_codec_conforms(codec):
    assert [result for result in conform(codec) if result.problem] == []


PARTS = {"long_term": True, "places": 2, "cubic": True, "finest": 2, "global_motion": True}
PLAIN = {"long_term": False, "places": 1, "cubic": False, "finest": 0, "global_motion": False}
INTRA = IntraSize(width=16, reconstruct=1, encoder=16, hidden=16, hyper=8)


@pytest.mark.parametrize("part", ["none", *PARTS, "all"])
def test_every_part_of_the_codec_decodes_what_was_encoded(part, moving):
    """Networks whose every weight counts, over two key frames; motion and memory differ from one frame to the next."""
    flags = {name: value for name, value in PARTS.items() if part in ("all", name)}
    intra = replace(INTRA, lift=8) if part == "all" else INTRA
    size = replace(CODEC["small"], width=16, maps=8, encoder=16, hidden=16, hyper=8, motion=16, intra=intra)
    size = replace(size, latent=100, **(PLAIN | flags))
    network = filled(nn.ModuleDict({"image": ImageNetwork(size), "video": VideoNetwork(size)}), 0.05)
    finish_small(network)
    model, frames, coder = SciModel(network, torch.tensor([6])), moving(18, 32, 48), StreamEncoder()
    with torch.inference_mode():
        encoded, state = [], None
        for k, frame in enumerate(torch.from_numpy(frames)[:, None, None]):
            picture, state = model.code(coder, frame, k, (32, 48), state)
            coder.end_frame()
            encoded.append(picture)
            assert state.place == k % 8
            assert (state.long_term is None) == (k % 8 == 0 or "long_term" not in flags)
        reader, state = StreamDecoder(coder.payload()), None
        for k, picture in enumerate(encoded):
            again, state = model.code(reader, None, k, (32, 48), state)
            reader.end_frame()
            assert torch.equal(again, picture)


def shaken(count, height, width, still=False):
    """K x H x W float32 frames of one picture that turns and shifts at random; `still` from the third frame on."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    random = np.random.default_rng(3)
    picture = gaussian_filter(random.random((height + 40, width + 40)), 2)
    picture = (picture - picture.min()) / np.ptp(picture)
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    frames = []
    for k in range(count):
        if not (still and k > 1):
            x, y, turn = *random.uniform(-4, 4, 2), random.uniform(-0.02, 0.02)
        places = [20 + y + rows + turn * (columns - width / 2), 20 + x + columns - turn * (rows - height / 2)]
        frames.append(map_coordinates(picture, places, order=3))
    return np.clip(frames, 0, 1).astype(np.float32)


class KindsCoder(StreamEncoder):
    """Keeps the kinds of motion that are written."""

    def __init__(self):
        super().__init__()
        self.kinds = []

    def conditional(self, name, family, residual, sigma, worth=None):
        symbols = super().conditional(name, family, residual, sigma, worth)
        if name == "mv_whole" and symbols.numel() == 1:
            self.kinds.append(MotionKind(int(symbols)))
        return symbols


def test_a_camera_that_shakes_is_said_in_six_numbers():
    frames, codec = shaken(8, 64, 80), create(Codec, "sci")
    coder = KindsCoder()
    for _ in codec._walk(codec._model([2]), [coder], frames.shape, 16, frames[None]):
        pass
    assert coder.kinds.count(MotionKind.AFFINE) >= 6
    without = create(Codec, "sci:global_motion=false")
    sizes, errors = [], []
    for one in (codec, without):
        sent = one.encode(frames, 2, CodingCondition(), Content.FEATURES)
        decoded = one.decode(sent.stream)
        sizes.append(len(sent.stream))
        errors.append(float(np.square(decoded.frames - frames).mean()))
    assert sizes[0] < 0.8 * sizes[1]
    assert errors[0] < 1.1 * errors[1]
    with pytest.raises(BenchError):
        without.decode(codec.encode(frames, 2, CodingCondition(), Content.FEATURES).stream)


def test_a_scene_that_goes_on_as_before_says_next_to_no_motion():
    """Whether it is that of the last frame or of blocks that stand still is a matter of few bits, and of weights."""
    frames, codec = shaken(8, 64, 80, still=True), create(Codec, "sci")
    coder, bits = KindsCoder(), []
    for _ in codec._walk(codec._model([2]), [coder], frames.shape, 16, frames[None]):
        bits.append(sum(float(value) for name, value in coder.bits.items() if name.startswith("mv")))
    assert MotionKind.CARRIED in coder.kinds
    assert bits[1] > 30
    assert bits[-1] - bits[2] < 24 * len(frames[3:])


@pytest.mark.parametrize(("height", "width"), [(16, 16), (250, 400), (48, 112)])
def test_motion_of_a_whole_frame_is_whole_numbers_of_a_sixteenth(height, width):
    numbers = np.array([[5, 7, -3], [-20, 0, 160]])
    field = global_motion.affine_field(torch.from_numpy(numbers)[None], (height, width))
    across = (2 * np.arange(width) - (width - 1)) / width
    down = (2 * np.arange(height) - (height - 1)) / height
    shift = numbers[:, 0, None, None] + numbers[:, 1, None, None] * across + numbers[:, 2, None, None] * down[:, None]
    assert field.shape == (1, 2, height, width)
    assert torch.equal(field * 16, (field * 16).round())
    assert np.abs(16 * field[0].numpy() - shift).max() <= 0.5 + 1e-6


def test_the_fit_of_a_whole_frame_finds_its_shift_and_turn():
    frames = torch.from_numpy(shaken(2, 128, 128))[:, None, None]
    whole = global_motion.fitted(frames[1], frames[0], torch.zeros(1, 2))
    moved = warp(frames[0], whole.field(torch.zeros(1, 2, 128, 128)))
    inside = (..., slice(12, -12), slice(12, -12))
    before, after = (float((frame - frames[1])[inside].square().mean()) for frame in (frames[0], moved))
    assert after < before / 50


def test_a_kind_of_motion_that_does_not_exist_is_a_damaged_stream():
    coder = StreamEncoder()
    coder.conditional("mv_whole", SCALES, torch.tensor([7.0]), torch.tensor([0.6]))
    coder.end_frame()
    with pytest.raises(StreamError, match="kind of motion"):
        global_motion.code_kind(StreamDecoder(coder.payload()), None, torch.zeros(1))


def test_decoded_motion_is_missing_on_intra_frames_alone(codec, moving):
    frames = moving(6, 24, 40)
    encoded = codec.encode(frames, 4, CodingCondition(intra_period=4), Content.FEATURES)
    decoded = codec.decode(encoded.stream)
    assert decoded.motion.shape == (6, 2, 24, 40)
    assert decoded.motion.dtype == np.float32
    missing = np.isnan(decoded.motion)
    assert missing[[0, 4]].all()
    assert not missing[[1, 2, 3, 5]].any()
    assert np.abs(decoded.frames - frames).mean() < 0.05
    again = codec.decode(encoded.stream)
    assert np.array_equal(again.frames, decoded.frames)
    assert np.array_equal(again.motion, decoded.motion, equal_nan=True)
    damaged = bytearray(encoded.stream)
    damaged[-len(damaged) // 3] ^= 1
    with pytest.raises(BenchError):
        codec.decode(bytes(damaged))
    every = codec.encode(frames, 4, CodingCondition(intra_period=1), Content.FEATURES)
    assert codec.decode(every.stream).motion is None


def test_codec_and_analysis_mean_the_same_by_motion():
    """Before training the prediction is the last frame, moved: to where analysis would bring it."""
    features, motion = panning(2)
    with torch.inference_mode():
        video = Sci().untrained().get_submodule("video")
        predicted, _ = video._predict(State(features[:, :1]), motion[:, 1], motion[:, 1], torch.tensor([0]))
    inside = (..., slice(4, -4), slice(6, -6))
    assert torch.allclose(predicted[inside], features[:, 1:][inside], atol=1e-4)


def test_components_are_made_for_each_other():
    assert default_analyzer("sci", "reconstruction") == "sci"
    assert default_analyzer("sci:fusions=0", "reconstruction") == "sci"
    assert default_analyzer("tfp", "reconstruction") == "identity"


@pytest.mark.parametrize("kind", [Extractor, Analyzer, Codec])
def test_the_papers_size_has_no_weights(kind):
    state = create(kind, "sci:preset=paper").available()
    assert not state.ok
    assert "no weights of the paper's size were published" in state.reason
    assert "\n" not in state.reason


def test_parts_that_are_not_shipped_need_weights(codec, tmp_path):
    state = create(Codec, "sci:long_term=false,places=1").available()
    assert not state.ok
    assert "no weights with these parts are shipped" in state.reason
    other = create(Codec, f"sci:long_term=false,weights={codec.options.weights}")
    with pytest.raises(BenchError, match="the small preset's weights"):
        other.encode(np.zeros((1, 16, 16), np.float32), 0, CodingCondition(), Content.FEATURES)


def codec_recipe(size):
    torch.manual_seed(0)
    return CodecRecipe("small", Variant().options, size, SciExtractor().weight_file())


@pytest.fixture(scope="module")
def smaller(tmp_path_factory):
    """Weights of a network with fewer parts, every one of which counts, and its size."""
    size = replace(
        CODEC["small"], intra=INTRA, width=16, maps=8, encoder=16, hidden=16, hyper=8, motion=16, lift=0, **PLAIN
    )
    network = filled(codec_recipe(size).network, 0.05)
    return saved(network, tmp_path_factory.mktemp("smaller") / "small.safetensors"), size


def test_networks_with_more_parts_begin_from_those_with_fewer(smaller, shards):
    """Tables of rate points are repeated; what is new has no effect but for the long-term reference's share."""
    weights, size = smaller
    grown = codec_recipe(replace(size, **PARTS))
    fitting, every = grown.begin_from(weights)
    tables = sum(name.endswith(".steps") for name in grown.network.state_dict())
    assert every - fitting == 2 + tables  # the layer of the share, and what is written when training ends
    nn.init.zeros_(grown.video.share.conv.bias)
    grown.video.size = replace(grown.video.size, cubic=False)
    old = codec_recipe(size)
    old.begin_from(weights)
    features = torch.from_numpy(shards.held_out(1)[0][:, :3, :64, :64])
    decoded = []
    for recipe in (old, grown):
        recipe.network.eval()
        model, states = SciModel(recipe.network, torch.tensor([2])), [None]
        with torch.inference_mode():
            for k in range(3):
                states.append(model.code(Estimator(), features[:, k : k + 1], k, (64, 64), states[-1])[1])
        decoded.append([state.frame for state in states[1:]])
    # The first two are the same; from the third on motion is searched with what is known.
    assert all(torch.allclose(*pair, atol=1e-5) for pair in list(zip(*decoded, strict=True))[:2])


def test_priors_with_more_maps_begin_from_those_with_fewer(smaller):
    """A prior joins its own maps with others: what follows them keeps its weights, and streams are as before."""
    weights, size = smaller
    old, wide = codec_recipe(size), codec_recipe(replace(size, width=24, hidden=32, lift=8))
    old.begin_from(weights)
    wide.begin_from(weights)
    frames, decoded = torch.rand(3, 1, 1, 64, 64), []
    for recipe in (old, wide):
        recipe.network.eval()
        coder, state = Estimator(), None
        with torch.inference_mode():
            for k, frame in enumerate(frames):
                model = SciModel(recipe.network, torch.tensor([2]))
                picture, state = model.code(coder, frame, k, (64, 64), state)
        decoded.append((picture, coder.total_bits))
    assert torch.allclose(decoded[0][0], decoded[1][0], atol=1e-4)
    assert decoded[0][1] == pytest.approx(decoded[1][1], rel=1e-4)


def test_wider_networks_begin_from_narrower_ones(smaller):
    """What is new among the inputs has no effect, and every output of a prior's heads is one of its own channel."""
    weights, size = smaller
    old, wide = codec_recipe(size), codec_recipe(replace(size, latent=256, width=24))
    old.begin_from(weights)
    wide.begin_from(weights)
    hidden = torch.rand(1, 16, 4, 4)
    for head, outputs in (("head", 3), ("trunk_head", 2)):
        old_output, wide_output = (getattr(recipe.video.prior, head)(hidden) for recipe in (old, wide))
        parts = zip(old_output.chunk(outputs, 1), wide_output.chunk(outputs, 1), strict=True)
        assert all(torch.equal(part[:, :192] if part.shape[1] > 192 else part, own) for own, part in parts)
    biases = wide.video.prior.rate_bias[:, :256]
    assert torch.equal(biases[:, :192], old.video.prior.rate_bias[:, :192])
    assert torch.equal(biases[:, 192:], biases[:, 191:192].expand(-1, 64, -1, -1))
    maps = torch.rand(1, 24, 8, 8)
    block = wide.video.refine.blocks[0](maps)
    assert torch.allclose(block[:, :16], old.video.refine.blocks[0](maps[:, :16]), atol=1e-6)
    assert not torch.allclose(block[:, 16:], maps[:, 16:])


def test_intra_frames_of_their_own_stage_stay_where_training_begins_from_others(trained):
    recipe = Sci().stage_recipe("codec", trained[0])
    own = load_file(trained[0] / "intra" / "intra.safetensors")
    recipe.begin_from(trained[0] / "codec" / "small.safetensors")
    state = recipe.network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in own.items())
    assert [path.name for path in recipe.basis] == ["extraction.safetensors", "intra.safetensors", "small.safetensors"]


def test_missing_weights_are_named_with_the_stage_that_makes_them():
    for part, stage in ((SciExtractor, "1"), (SciAnalyzer, "2")):
        state = part(weights="/nowhere/x.safetensors").available()
        assert not state.ok
        assert f"no weights /nowhere/x.safetensors (`bench train sci --stage {stage}`" in state.reason
    assert "no weights /nowhere" in Sci(weights="/nowhere/x.safetensors").available().reason


def test_foreign_weights_are_refused(moving):
    foreign = baselines.dcvc.codec.Dcvc().network_preset.weight_files(0)[0]
    frames = moving(2, 16, 16)
    components = {kind: create(kind, f"sci:weights={foreign}") for kind in (Extractor, Analyzer, Codec)}
    calls = {
        Extractor: lambda part: part.extract(random_spikes(40, 16, 16), np.array([20]), RATE),
        Analyzer: lambda part: part.analyze(frames),
        Codec: lambda part: part.encode(frames, 0, CodingCondition(), Content.FEATURES),
    }
    for kind, call in calls.items():
        with pytest.raises(BenchError, match="not a checkpoint of this network"):
            call(components[kind])


def test_trained_weights_run_from_spikes_to_luminance(trained, codec, spikes, moving):
    folder = trained[0]
    parts = {"1": (Extractor, "extraction"), "3": (Analyzer, "analysis")}
    extractor, analyzer = (
        create(kind, f"sci:weights={folder / stage / name}.safetensors") for stage, (kind, name) in parts.items()
    )
    features = extractor.extract(spikes(57, 24, 40), np.array([20, 28, 36]), RATE)
    decoded = codec.decode(codec.encode(features, 6, CodingCondition(), Content.FEATURES).stream)
    results = analyzer.analyze(decoded.frames, decoded.motion)
    # Two steps change next to nothing: the result is still the firing rate, and the scene stands still.
    assert np.abs(results - moving(1, 24, 40)).mean() < 0.06


@pytest.mark.parametrize("kind", [Extractor, Analyzer, Codec])
def test_a_file_of_weights_is_read_once_in_a_process(kind, tmp_path, monkeypatch, moving):
    """Whatever objects, instants and rate points there are; a file that changed is read again."""
    shipped = {Extractor: SciExtractor().weight_file(), Analyzer: SciAnalyzer().weight_file()}
    path = tmp_path / "own.safetensors"
    weights = load_file(shipped.get(kind) or Sci().network_preset.weight_files(0)[0])
    calls = {
        Extractor: lambda part: part.extract(random_spikes(40, 16, 16), np.array([20]), RATE),
        Analyzer: lambda part: part.analyze(moving(2, 16, 16)),
        Codec: lambda part: [part.encode(moving(2, 16, 16), p, CodingCondition(), Content.FEATURES) for p in (0, 6)],
    }
    read = []
    reader = bench.weights.read_weights
    monkeypatch.setattr(bench.weights, "read_weights", lambda path: read.append(path) or reader(path))
    for changes in (0, 1):
        name = next(name for name, tensor in weights.items() if tensor.is_floating_point())
        save_file({**weights, name: weights[name] + changes}, path)
        for _ in range(2):
            calls[kind](create(kind, f"sci:weights={path}"))
        assert len(read) == 1 + changes


def test_paper_sizes_have_the_papers_fusion_units():
    assert EXTRACTION["paper"].fusions == 10
    assert extraction_size("paper", 3).fusions == 3


@pytest.mark.parametrize("name", ABLATIONS)
def test_variants_for_ablation_are_shipped_whole(name, moving):
    spec = f"sci:ablation={name}"
    if name in EXTRACTIONS:
        extractor = create(Extractor, spec)
        assert default_analyzer(spec, "reconstruction") == spec
        features = extractor.extract(random_spikes(57, 16, 16), np.array([20, 28]), RATE)
        assert features.shape == (2, 16, 16)
        assert extractor.weights_sha256 != SciExtractor().weights_sha256
    analyzer = create(Analyzer, spec)
    assert (analyzer.spec, analyzer.available().ok) == (spec, True)
    frames = moving(3, 16, 24)
    assert np.abs(analyzer.analyze(frames) - SciAnalyzer().analyze(frames)).max() > 1e-3
    before, refined = analyzer.motion(frames)
    assert before.shape == refined.shape == (3, 2, 16, 24)
    assert np.array_equal(before, refined) == (name in ("nofmvr", "dcn"))
    assert analyzer.warped(frames, 1, 1).shape == (16, 24)


def test_a_variant_for_ablation_takes_no_other_choices():
    with pytest.raises(BenchError, match="ablation=dual is a whole variant; leave out fusions"):
        create(Extractor, "sci:ablation=dual,fusions=2")
    with pytest.raises(BenchError, match="ablation=dcn is a whole variant; leave out weights"):
        create(Analyzer, "sci:ablation=dcn,weights=x.safetensors")
    with pytest.raises(BenchError, match="option ablation"):
        create(Extractor, "sci:ablation=dcn")  # it has no extraction of its own
    with pytest.raises(BenchError, match="option ablation: unknown option"):
        create(Codec, "sci:ablation=dual")
