"""SCI's preset `paper`: trained for a step in every stage, and run with the weights that this leaves."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from baselines.neural.fixed import FixedConv, freeze
from baselines.sci.codec import Sci
from bench.errors import BenchError
from bench.interfaces import Analyzer, Codec, CodingCondition, Content, Extractor
from bench.progress import silent
from bench.registry import create
from bench.train.devices import Group
from bench.train.loop import Settings, train_codec
from bench.train.shards import open_shards

STAGES = ("1", "2", "intra", "codec", "3")
CONDITION = CodingCondition(intra_period=2)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with the files of all stages, of one step each, on firing rates."""
    folder = tmp_path_factory.mktemp("paper")
    shards = open_shards(None, folder / "shards", 2, 0, silent)
    for stage in STAGES:
        torch.manual_seed(0)
        recipe = Sci(preset="paper").stage_recipe(stage, folder)
        assert recipe.pace is None and recipe.steps > 0
        recipe.batch, recipe.crop, recipe.side, recipe.checked = 2, 16, 16, 1
        if stage == "codec":  # the next stage validates it
            recipe.evaluate = lambda *_: []
        settings = Settings("sci:preset=paper", shards.digest, 1, 0)
        train_codec(recipe, settings, shards, shards, folder / stage, Group(), False, silent)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Weights of the codec's size in their exact form, drawn instead of trained: none of the layers is idle."""
    torch.manual_seed(1)
    network = Sci(preset="paper").untrained()
    for module in network.modules():
        if isinstance(module, FixedConv):
            nn.init.normal_(module.conv.weight, std=0.3 / module.conv.weight[0].numel() ** 0.5)
    freeze(network)
    for module in network.modules():
        if hasattr(module, "store"):
            module.store()
    path = tmp_path_factory.mktemp("drawn") / "paper.safetensors"
    save_file(network.state_dict(), path)
    return network, path


def test_no_partial_sum_leaves_the_range_of_exact_numbers(drawn):
    """Inputs are within 1,024 units; a row's weights are multiples of a power of two, 2^-20 at the finest."""
    layers = [module.conv for module in drawn[0].modules() if isinstance(module, FixedConv)]
    assert max(layer.weight[0].numel() for layer in layers) > 3000
    for layer in layers:
        rows, bias = (value.detach().double().numpy() * 2**20 for value in (layer.weight.flatten(1), layer.bias))
        whole = rows.astype(np.int64)
        assert (whole == rows).all()
        bits = np.bitwise_or.reduce(whole, axis=1)
        unit = np.where(bits, bits & -bits, 1)
        assert ((np.abs(whole).sum(1) * 1024 + np.abs(bias) * 64) / unit < 2**24).all()


def test_streams_decode_alike_in_other_ways_to_compute(drawn, moving):
    codec, frames = create(Codec, f"sci:preset=paper,weights={drawn[1]}"), moving(3, 24, 40)
    stream = codec.encode(frames, 6, CONDITION, Content.FEATURES).stream
    sha256 = codec.decode(stream).sha256
    torch.set_num_threads(2)
    with torch.backends.mkldnn.flags(enabled=False):
        assert codec.decode(stream).sha256 == sha256


@pytest.mark.slow
def test_every_stage_leaves_weights_that_run(trained, spikes, moving):
    names = {path.relative_to(trained).as_posix() for path in trained.rglob("*.safetensors")}
    assert names == {
        "1/extraction.safetensors", "2/analysis.safetensors", "intra/intra.safetensors", "codec/paper.safetensors",
        "3/paper.safetensors", "3/analysis.safetensors",
    }  # fmt: skip
    parameters = sum(tensor.numel() for tensor in load_file(trained / "codec" / "paper.safetensors").values())
    assert parameters > 20e6
    extractor = create(Extractor, f"sci:preset=paper,weights={trained / '1' / 'extraction.safetensors'}")
    codec = create(Codec, f"sci:preset=paper,weights={trained / '3' / 'paper.safetensors'}")
    analyzer = create(Analyzer, f"sci:preset=paper,weights={trained / '3' / 'analysis.safetensors'}")
    features = extractor.extract(spikes(49, 16, 32), np.array([20, 28]), 0.6)
    sizes, errors = [], []
    for point in codec.rate_points:
        stream = codec.encode(features, point, CONDITION, Content.FEATURES).stream
        decoded = codec.decode(stream)
        sizes.append(len(stream))
        errors.append(float(np.square(decoded.frames - features).mean()))
    assert len(sizes) == 7 and sizes == sorted(sizes) and errors == sorted(errors, reverse=True)
    results = analyzer.analyze(decoded.frames, decoded.motion)
    # One step changes next to nothing: the result is still the firing rate.
    assert np.abs(results - moving(1, 16, 32)).mean() < 0.08


def test_a_stage_of_the_papers_size_does_not_start_from_small_weights(tmp_path):
    with pytest.raises(BenchError, match="train stage 1 first"):
        Sci(preset="paper").stage_recipe("2", tmp_path)
