"""The learned codecs with the weights that come with them."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from baselines.dcvc.training import DcvcRecipe
from baselines.dcvc_dc.training import DcvcDcRecipe
from baselines.spikecodec.network import FULL, SceneNetwork
from bench.conform import conform
from bench.errors import BenchError, StreamError
from bench.interfaces import Codec, CodingCondition, Content, pack_stream, unpack_stream
from bench.registry import create
from bench.weights import check_device

FRAME_CODECS = ["dcvc", "dcvc-dc"]
CONDITION = CodingCondition()
pytestmark = pytest.mark.usefixtures("one_thread")


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in FRAME_CODECS]  # sci, of their kind, is tried in test_sci


@pytest.mark.parametrize("name", [*SLOW, "spikecodec"])
def test_conformance(name):
    codec = create(Codec, name)
    assert codec.available().ok
    assert [result for result in conform(codec) if result.problem] == []


@pytest.mark.parametrize("name", ["dcvc", "spikecodec", "compressai"])
def test_a_device_that_is_not_here_is_one_line(name):
    codec = create(Codec, f"{name}:device=abacus")
    content = Content.SPIKES if name == "spikecodec" else Content.FEATURES
    with pytest.raises(BenchError, match=r"^no device 'abacus' \(cpu, cuda or cuda:N\)$"):
        codec.encode(np.ones((8, 16, 16), np.float32), 1, codec.default_condition(), content)


def test_a_device_that_torch_knows_but_this_machine_lacks_is_one_line():
    with pytest.raises(BenchError, match="no device 'meta' on this machine; leave out the option"):
        check_device("meta")


@pytest.mark.parametrize("recipe", [DcvcRecipe, DcvcDcRecipe])
def test_small_networks_are_small(recipe):
    instance = recipe()
    intra, inter = (sum(p.numel() for p in part.parameters()) for part in (instance.image, instance.video))
    assert intra <= 1_500_000
    assert inter <= 1_700_000


def test_the_full_spikecodec_has_the_published_size():
    network = SceneNetwork(FULL)

    def count(*modules):
        return sum(p.numel() for module in modules for p in module.parameters())

    encoder = count(network.recovery, network.encoder, network.prior.hyper_encoder) + network.transform.analysis.numel()
    assert encoder == pytest.approx(6.11e6, rel=0.01)
    assert count(network) - encoder == pytest.approx(42.88e6, rel=0.01)


@pytest.mark.parametrize("name", FRAME_CODECS)
def test_real_bits_are_the_estimated_ones(name, moving):
    codec, frames = create(Codec, name), moving(4, 128, 128)
    for point in (0, 2, 6):
        encoded = codec.encode(frames, point, CONDITION, Content.FEATURES)
        _, payload = unpack_stream(encoded.stream)
        # Beside the symbols: the intra period, 16 bits of checksum a frame, and the coder's last words.
        real = 8 * len(payload) - 16 - 16 * len(frames) - 64
        assert real == pytest.approx(encoded.estimated_bits, rel=0.002, abs=64)


@pytest.mark.parametrize("name", ["sci", "dcvc-dc"])
def test_streams_of_a_batch_are_those_of_each_segment_alone(name, moving):
    """Motion of several kinds among them: of blocks, of a whole frame, and none that is new."""
    codec, points = create(Codec, name), [6, 0, 3, 3]
    still = np.repeat(moving(1, 40, 56, seed=9), 5, 0)
    segments = [moving(5, 40, 56, seed=0), still, moving(5, 40, 56, seed=2), np.roll(moving(5, 40, 56), 8, (0, 2))]
    alone = [codec.encode(*pair, CONDITION, Content.FEATURES) for pair in zip(segments, points, strict=True)]
    together = codec.encode_all(segments, points, CONDITION, Content.FEATURES)
    assert [encoded.stream for encoded in together] == [encoded.stream for encoded in alone]
    assert [encoded.estimated_bits for encoded in together] == [pytest.approx(e.estimated_bits) for e in alone]
    decoded = codec.decode_all([encoded.stream for encoded in together])
    assert [one.sha256 for one in decoded] == [codec.decode(encoded.stream).sha256 for encoded in alone]


def test_a_batch_with_a_damaged_stream_does_not_decode(moving):
    codec, frames = create(Codec, "dcvc-dc"), moving(2, 32, 32)
    stream = codec.encode(frames, 3, CONDITION, Content.FEATURES).stream
    info, payload = unpack_stream(stream)
    with pytest.raises(StreamError, match="checksum"):
        codec.decode_all([stream, pack_stream(info, payload[:20] + b"0000" + payload[24:])])


def test_a_codec_without_batches_takes_segments_one_after_another(moving):
    codec, segments = create(Codec, "dcvc"), [moving(2, 32, 32), moving(2, 32, 32, seed=1)]
    assert codec.together == 1
    encoded = codec.encode_all(segments, [0, 3], CONDITION, Content.FEATURES)
    decoded = codec.decode_all([one.stream for one in encoded])
    assert [one.frames.shape for one in decoded] == [(2, 32, 32)] * 2


@pytest.mark.parametrize("name", FRAME_CODECS)
def test_other_threads_and_kernels_give_the_same_bits(name, moving):
    codec, frames = create(Codec, name), moving(2, 40, 56)
    stream = codec.encode(frames, 3, CONDITION, Content.FEATURES).stream
    sha256 = codec.decode(stream).sha256
    torch.set_num_threads(2)
    assert codec.decode(stream).sha256 == sha256
    with torch.backends.mkldnn.flags(enabled=False):
        assert codec.decode(stream).sha256 == sha256
    torch.set_float32_matmul_precision("medium")
    try:
        assert codec.decode(stream).sha256 == sha256
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("name", FRAME_CODECS)
def test_rate_buys_quality(name, moving):
    codec, frames = create(Codec, name), moving(3, 64, 64)
    bits, errors = [], []
    for point in codec.rate_points_for(Content.FEATURES):
        stream = codec.encode(frames, point, CONDITION, Content.FEATURES).stream
        bits.append(len(stream))
        errors.append(float(np.square(codec.decode(stream).frames - frames).mean()))
    assert bits == sorted(bits)
    assert errors == sorted(errors, reverse=True)


def test_weights_of_others_and_damaged_ones_are_refused(tmp_path, moving):
    frames = moving(1, 32, 32)
    (own,) = create(Codec, "dcvc").network_preset.weight_files(3)
    weights = load_file(own)
    with pytest.raises(BenchError, match="not a checkpoint of this network: missing"):
        create(Codec, f"dcvc-dc:weights={own}").encode(frames, 3, CONDITION, Content.FEATURES)
    name = "image.encoder.0.weight"
    save_file({**weights, name: torch.full_like(weights[name], float("nan"))}, tmp_path / "nan.safetensors")
    with pytest.raises(BenchError, match="not finite"):
        create(Codec, f"dcvc:weights={tmp_path / 'nan.safetensors'}").encode(frames, 3, CONDITION, Content.FEATURES)
    save_file({**weights, name: weights[name] * 1.5}, tmp_path / "other.safetensors")
    other = create(Codec, f"dcvc:weights={tmp_path / 'other.safetensors'}")
    stream = create(Codec, "dcvc").encode(frames, 3, CONDITION, Content.FEATURES).stream
    with pytest.raises(StreamError, match="other weights"):
        other.decode(stream)
