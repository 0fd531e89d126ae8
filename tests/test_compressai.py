import numpy as np
import pytest

from bench.conform import _fresh_process, _payload
from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Content
from bench.registry import create


def test_without_compressai_the_reason_says_where_to_look(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    availability = create(Codec, "compressai").available()
    assert not availability.ok and "docs/learned.md" in availability.reason


@pytest.mark.parametrize("model", ["bmshj2018-factorized", "ssf2020"])
def test_models_of_the_zoo_are_codecs(model, tmp_path):
    models = pytest.importorskip("compressai.zoo", reason="CompressAI is not installed").models
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = models[model](1, pretrained=False)
    network.update()
    torch.save(network.state_dict(), tmp_path / f"{model}{'-mse' if model == 'ssf2020' else '-prior'}-1-0123.pth.tar")
    codec = create(Codec, f"compressai:model={model},weights={tmp_path}")
    assert codec.available().ok and codec.rate_points_for(Content.FEATURES) == (1,)
    frames = np.random.default_rng(0).random((3, 40, 56), np.float32)
    encoded = codec.encode(frames, 1, CodingCondition(intra_period=2), Content.FEATURES)
    assert codec.decode(encoded.stream).frames.shape == frames.shape
    assert _payload(codec) == ""
    assert _fresh_process(codec) == ""
    with pytest.raises(BenchError, match="no checkpoint"):
        codec.encode(frames, 2, CodingCondition(), Content.FEATURES)
