import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.dcvc.image import Cheng2020Anchor, ScaleHyperprior
from baselines.dcvc.video import VideoNetwork as DcvcVideo
from baselines.dcvc_dc.codec import DcvcDc
from baselines.dcvc_dc.image import ImageNetwork as DcImage
from baselines.dcvc_dc.video import State as DcState
from baselines.dcvc_dc.video import VideoNetwork as DcVideo
from baselines.neural.autoregressive import code_autoregressive, on_places
from baselines.neural.coding import StreamDecoder, StreamEncoder
from baselines.neural.entropy import GAUSSIAN, LAPLACE, FactorizedPrior
from baselines.neural.fixed import STEP, FixedConv, FixedGdn, freeze, round_weights, warp_cubic, warp_fixed
from baselines.neural.latents import Estimator, symbols_of
from baselines.neural.layers import MaskedConv, warp
from baselines.neural.motion import quartered_latent, search_motion, search_quarters
from baselines.neural.published import _SIGNS
from baselines.neural.small import SCALES, motion_surface, quarter_latent, quarter_motion, scale_of, stream_bits
from baselines.neural.spectral import SpectralConv
from bench.cli.program import main
from bench.errors import BenchError, StreamError
from bench.weights import load_into, read_weights

# SHA-256 over the "name shape" lines of the authors' state dicts, with their number of entries.
PUBLISHED = [
    (DcImage, {}, 333, "2678611f13874fdc"),
    (DcVideo, {}, 702, "e032b33a1582ff61"),
    (DcvcVideo, {}, 228, "520d4f8efd3ecbc0"),
    (Cheng2020Anchor, {"n": 192}, 160, "ec1f8170081e98f9"),
    (Cheng2020Anchor, {"n": 128}, 160, "94692e3e6db334ba"),
    (ScaleHyperprior, {"n": 128, "m": 192}, 91, "915aea47497fb665"),
    (ScaleHyperprior, {"n": 192, "m": 320}, 91, "ac4fa1d5a2be59d4"),
]


@pytest.mark.parametrize(("network", "sizes", "count", "digest"), PUBLISHED)
def test_state_dicts_have_the_authors_names_and_shapes(network, sizes, count, digest):
    state = network(**sizes).state_dict()
    lines = sorted(f"{name} {'x'.join(map(str, value.shape))}" for name, value in state.items())
    assert len(lines) == count
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("family", [LAPLACE, GAUSSIAN, SCALES])
def test_tables_hold_the_density(family):
    sigma = torch.tensor(family.scales, dtype=torch.float64)
    assert family.tables.index(sigma.numpy()).tolist() == list(range(len(sigma)))
    for scale, frequencies, offset in zip(sigma, family.tables.frequencies, family.tables.offsets, strict=True):
        symbols = torch.arange(offset, offset + len(frequencies) - 1, dtype=torch.float64)
        share = torch.from_numpy(frequencies[:-1] / frequencies.sum())
        # Neighbouring tables differ by a few percent; a frequency is off by one at most.
        assert torch.allclose(share, family.probability(symbols, scale), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.floats(-300, 300) | st.sampled_from([0.5, -0.5, 5e5, -5e5]), min_size=1, max_size=40),
    seed=st.integers(0, 2**31),
)
def test_what_is_written_is_read(values, seed):
    generator = torch.Generator().manual_seed(seed)
    residual = torch.tensor(values).view(1, -1, 1, 1)
    sigma = torch.rand(residual.shape, generator=generator) * 20
    torch.manual_seed(seed)
    prior = FactorizedPrior(3)
    z = 5 * torch.randn((1, 3, 2, 2), generator=generator)
    encoder = StreamEncoder()
    z_hat = encoder.factorized("z", prior, z, z.shape)
    symbols = encoder.conditional("y", LAPLACE, residual, sigma)
    encoder.end_frame()
    decoder = StreamDecoder(encoder.payload())
    assert torch.equal(decoder.factorized("z", prior, None, z.shape), z_hat)
    assert torch.equal(decoder.conditional("y", LAPLACE, None, sigma), symbols)
    decoder.end_frame()


@pytest.mark.parametrize("count", [None, stream_bits()])
def test_real_bits_are_the_estimated_ones(count):
    generator = torch.Generator().manual_seed(0)
    position = torch.rand((1, 64, 32, 32), generator=generator) * 12 - 6
    sigma = scale_of(position, frozen=True)
    uniform = torch.rand(sigma.shape, generator=generator) - 0.5
    residual = -sigma * uniform.sign() * torch.log1p(-2 * uniform.abs())
    encoder = StreamEncoder()
    encoder.count = count
    encoder.conditional("y", SCALES, residual, sigma)
    encoder.end_frame()
    assert 8 * len(encoder.payload()) == pytest.approx(float(encoder.bits["y"]), rel=0.002)


def test_symbols_are_smaller_where_their_bits_cost_more_than_the_error():
    random = torch.Generator().manual_seed(3)
    residual = 3 * torch.randn(2, 8, 5, 7, generator=random)
    sigma = 0.05 + torch.rand(residual.shape, generator=random)
    nearest = torch.round(residual)
    assert torch.equal(symbols_of(residual, SCALES, sigma), nearest)
    assert torch.equal(symbols_of(residual, SCALES, sigma, torch.tensor(1e9)), nearest)
    worth = torch.rand(1, 8, 1, 1, generator=random) * 20
    symbols = symbols_of(residual, SCALES, sigma, worth)

    def cost(values):
        bits = -torch.log2(SCALES.probability(values, sigma).clamp_min(2.0**-23))
        return bits + worth * (residual - values).square()

    smaller = nearest - nearest.sign()
    assert set((nearest - symbols).abs().unique().tolist()) == {0.0, 1.0}
    assert torch.equal(symbols, torch.where(cost(smaller) < cost(nearest), smaller, nearest))
    # What is coded is what is counted: streams hold these symbols.
    encoder = StreamEncoder()
    assert torch.equal(encoder.conditional("y", SCALES, residual, sigma, worth), symbols)
    encoder.end_frame()
    assert torch.equal(StreamDecoder(encoder.payload()).conditional("y", SCALES, None, sigma), symbols)


def test_other_probabilities_are_noticed_and_the_frame_is_named():
    encoder = StreamEncoder()
    sigma = torch.full((1, 1, 1, 200), 3.0)
    for frame in range(3):
        encoder.conditional("y", LAPLACE, 4 * torch.sin(torch.arange(200.0) + frame).view(sigma.shape), sigma)
        encoder.end_frame()
    decoder = StreamDecoder(encoder.payload())
    decoder.conditional("y", LAPLACE, None, sigma)
    decoder.end_frame()
    other = sigma.clone()
    other[..., 7] = 4.0
    with pytest.raises(StreamError, match="frame 1"):
        for _ in range(2):
            decoder.conditional("y", LAPLACE, None, other)
            decoder.end_frame()


def test_latents_that_are_not_finite_are_refused():
    encoder = StreamEncoder()
    encoder.conditional("y", LAPLACE, torch.tensor([[[[float("nan")]]]]), torch.ones(1, 1, 1, 1))
    with pytest.raises(StreamError, match="not finite"):
        encoder.end_frame()


def test_wavefronts_give_what_the_serial_scan_gives():
    torch.manual_seed(0)
    context, mix = MaskedConv(4, 8).double(), torch.nn.Conv2d(14, 8, 1).double()
    latent, hints = 4 * torch.randn(1, 4, 5, 7).double(), torch.randn(1, 6, 5, 7).double()

    def parameters(x):
        scales, means = (mix if x.ndim == 4 else on_places(mix))(x).chunk(2, 1)
        return scales.abs() + 0.1, means

    with torch.no_grad():
        decoded = code_autoregressive(Estimator(), "y", LAPLACE, latent, hints, context, parameters)
        serial = torch.zeros_like(latent)
        for row in range(5):
            for column in range(7):
                _, means = parameters(torch.cat((hints, context(serial)), 1))
                place = (0, slice(None), row, column)
                serial[place] = torch.round(latent[place] - means[place]) + means[place]
    assert torch.allclose(decoded, serial, atol=1e-12)


def _grid(shape, generator, limit=16.0):
    return (torch.rand(shape, generator=generator) * 2 * limit - limit).div(STEP).round().mul(STEP)


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "groups"), [(64, 32, 3, 1), (288, 96, 1, 1), (24, 24, 3, 24)])
def test_fixed_convolutions_are_exact(inputs, outputs, kernel, groups):
    generator = torch.Generator().manual_seed(1)
    layer = FixedConv(inputs, outputs, kernel, groups=groups, activation="leaky")
    freeze(layer)
    # The worst case: every input at the end of the range.
    for x in (
        _grid((2, inputs, 17, 19), generator),
        16 * torch.sign(torch.randn(2, inputs, 17, 19, generator=generator)),
    ):
        with torch.no_grad():
            single = layer(x)
            double = layer.double()(x.double()).float()
            layer.float()
            with torch.backends.mkldnn.flags(enabled=False):
                plain = layer(x)
        assert torch.equal(single, double)
        assert torch.equal(single, plain)
        assert torch.equal(single, single.div(STEP).round() * STEP)


def test_rounded_weights_stay_close_and_rounding_again_changes_nothing():
    torch.manual_seed(0)
    weight, bias = torch.randn(16, 288) / 17, torch.randn(16)
    rounded, rounded_bias = round_weights(weight, bias)
    assert (rounded - weight).abs().max() < 0.002
    again, again_bias = round_weights(rounded, rounded_bias)
    assert torch.equal(again, rounded)
    assert torch.equal(again_bias, rounded_bias)


def test_fixed_normalisation_is_on_the_grid():
    layer = FixedGdn(8, inverse=True)
    freeze(layer)
    out = layer(_grid((1, 8, 5, 6), torch.Generator().manual_seed(0), 4.0))
    assert torch.equal(out, out.div(STEP).round() * STEP)


def test_the_fixed_warp_is_the_bilinear_one():
    generator = torch.Generator().manual_seed(2)
    image = _grid((2, 3, 24, 40), generator)
    motion = (torch.rand((2, 2, 24, 40), generator=generator) * 30 - 15).mul(16).round().div(16)
    exact = warp_fixed(image, motion, frozen=True)
    assert (exact - warp(image, motion)).abs().max() < STEP / 2 + 1e-3
    assert torch.equal(warp_fixed(image, torch.zeros_like(motion), frozen=True), image)


def test_the_fixed_cubic_warp_is_the_cubic_one():
    generator = torch.Generator().manual_seed(2)
    image = _grid((2, 3, 24, 40), generator)
    motion = (torch.rand((2, 2, 24, 40), generator=generator) * 30 - 15).mul(16).round().div(16)
    exact = warp_cubic(image, motion, frozen=True)
    assert torch.equal(exact, exact.div(STEP).round() * STEP)
    # Weights are of six bits.
    assert (exact - warp(image, motion, "bicubic")).abs().max() < STEP / 2 + image.abs().max() / 16
    assert torch.equal(warp_cubic(image.double(), motion, frozen=True), exact.double())
    assert torch.equal(warp_cubic(image, torch.zeros_like(motion), frozen=True), image)
    # Where pixels lie on a parabola, so does what is between them.
    column = torch.arange(40.0)
    bent = (column**2 / 64).div(STEP).round().mul(STEP).expand(1, 1, 24, 40)
    half = torch.zeros(1, 2, 24, 40)
    half[:, 0] = 0.5
    assert (warp_cubic(bent, half, frozen=True)[..., 8:32] - (column + 0.5)[8:32] ** 2 / 64).abs().max() < 2 * STEP


@pytest.mark.parametrize("kernel, size", [(7, (64, 5)), (7, (100, 150)), (5, (97, 33)), (4 + 5, (128, 64))])
def test_the_spectral_convolution_is_the_plain_one(kernel, size):
    layer = SpectralConv(9, 5, kernel).double()
    x = torch.randn(2, 9, *size, dtype=torch.float64)
    for _ in range(2):
        with torch.inference_mode():
            torch.testing.assert_close(layer(x), torch.nn.Conv2d.forward(layer, x), atol=1e-12, rtol=1e-12)
        # Changed weights are noticed, and with gradients it is the plain one.
        torch.nn.functional.mse_loss(layer(x), x[:, :5]).backward()
        with torch.no_grad():
            layer.weight -= layer.weight.grad


def test_the_fast_form_of_a_published_network_is_the_plain_one():
    torch.manual_seed(0)
    network = DcVideo().double().requires_grad_(False).eval()
    frames = torch.rand(3, 1, 3, 64, 48, dtype=torch.float64)
    scales = {name: value[:1] for name, value in network.named_parameters() if "q_scale" in name}
    states = []
    for fast in (True, False):
        with torch.inference_mode(fast):
            state = DcState(frames[0])
            for index in (1, 2):
                state = network.code(Estimator(), frames[index], state, scales, index)
            states.append(state)
    for name in ("frame", "feature", "y"):
        fast, plain = (getattr(state, name) for state in states)
        assert fast.is_inference() and not plain.is_inference()
        torch.testing.assert_close(fast, plain, atol=1e-10, rtol=1e-10)


def test_weight_files(tmp_path):
    network = torch.nn.Linear(2, 3)
    good = tmp_path / "good.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, good)
    load_into(torch.nn.Linear(2, 3), read_weights(good), good)

    page = tmp_path / "page.pth"
    page.write_text("<!DOCTYPE html><html></html>")
    code = tmp_path / "code.pth"
    code.write_bytes(pickle.dumps({"weight": np.ones(3), "run": print}))
    cut = tmp_path / "cut.pth"
    cut.write_bytes(good.read_bytes()[:200])
    torch.save({"weight": torch.full((3, 2), float("nan")), "bias": torch.zeros(3)}, tmp_path / "nan.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"12345678abc")
    (tmp_path / "empty.pth").touch()
    for name, words in (
        ("page.pth", "web page"), ("code.pth", "refused|not a checkpoint"), ("cut.pth", "cut off|not a checkpoint"),
        ("nan.pth", "not finite"), ("list.pth", "no parameters"), ("bad.safetensors", "not a safetensors"),
        ("empty.pth", "empty"), ("none.pth", "No such file"),
    ):  # fmt: skip
        with pytest.raises(BenchError, match=words):
            read_weights(tmp_path / name)
    with pytest.raises(BenchError, match="missing bias"):
        load_into(network, {"weight": torch.zeros(3, 2)}, "file")
    with pytest.raises(BenchError, match=r"weight \(2, 2\) instead of \(3, 2\)"):
        load_into(network, {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, "file")


def test_each_published_network_has_a_tensor_that_tells_it_from_the_others():
    networks = (Cheng2020Anchor, ScaleHyperprior, DcvcVideo, DcImage, DcVideo)
    tensors = {network.published_name: set(network().state_dict()) for network in networks}
    assert set(tensors) == set(_SIGNS)
    for name, sign in _SIGNS.items():
        assert [other for other, names in tensors.items() if sign in names] == [name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["parity", "vvenc", "--weights", "x", "--case", "y"], "no published networks"),
        (["parity", "dcvc", "--weights", ".", "--case", "nowhere_float64.npz"], "not a case"),
        (["train", "vvenc"], "not a codec that is trained"),
        (["train", "dcvc", "--data", "nowhere"], "no folder"),
    ],
)
def test_mistakes_are_one_line(arguments, words, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("dcvc-dc", {"metric": "psnr"}),
        ("dcvc-dc:metric=ssim", {"metric": "ssim"}),
        ("dcvc-dc:metric=ssim,preset=official,weights=a", {"metric": "ssim"}),
        ("mine.py:Mine:metric=ssim", {"metric": "ssim"}),
        ("dcvc-dc:weights=b", "parity compares with weights=a, not b; leave out the option"),
        ("dcvc-dc:preset=small", "parity compares with preset=official, not small"),
        ("dcvc-dc:device=cuda", "parity compares with device=cpu, not cuda"),
        ("dcvc-dc:metric=best", "option metric"),
        ("dcvc-dc --rate-point best", "no rate point 'best' (a number, or levelN)"),
    ],
)
def test_parity_takes_the_codecs_options(spec, options, tmp_path, monkeypatch, capsys):
    case = tmp_path / "level3_float64.npz"
    np.savez(case, frames_u8=np.zeros((1, 3, 8, 8), np.uint8))
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from baselines.dcvc_dc.codec import DcvcDc\n\n\nclass Mine(DcvcDc):\n    name = 'mine'\n"
    )
    compared = []
    monkeypatch.setattr(DcvcDc, "parity", lambda codec, case: compared.append(codec.options) or [])
    monkeypatch.setattr("sys.argv", ["bench", "parity", *spec.split(), "--weights", "a", "--case", str(case)])
    with pytest.raises(SystemExit) as end:
        main()
    if isinstance(options, str):
        assert (end.value.code, compared) == (2, [])
        assert options in capsys.readouterr().err
    else:
        assert not end.value.code
        expected = {"preset": "official", "weights": "a", "device": "cpu", **options}
        assert [dict(values) for values in compared] == [expected]


def test_motion_search_finds_what_moved_and_smooths_what_is_unsure(one_thread):
    """A textured picture moves by a fraction of a pixel, an object before it elsewhere; noise does not rule."""
    random = torch.Generator().manual_seed(3)
    picture = F.interpolate(torch.rand(1, 1, 32, 32, generator=random), (160, 160), mode="bicubic")
    place = torch.zeros(1, 2, 160, 160)
    place[:, 0], place[:, 1] = 2.5, -1.25
    past = picture
    now = warp(past, place)
    now[:, :, 48:112, 48:112] = past[:, :, 48:112, 54:118]  # the object came from six pixels to the right
    motion = search_motion(now, past, 0.0)
    assert (motion[:, :, 4:6, 4:6] - torch.tensor([6.0, 0.0]).view(1, 2, 1, 1)).abs().max() < 0.5
    assert (motion[:, :, 1:9, 1] - torch.tensor([2.5, -1.25]).view(1, 2, 1)).abs().max() < 0.5

    noisy = torch.rand(now.shape, generator=random) * 0.15
    rough = search_motion(now + noisy, past, 0.0)
    smooth = search_motion(now + noisy, past, torch.tensor([1e-3]))
    assert smooth.diff(dim=3).abs().median() < 0.7 * rough.diff(dim=3).abs().median()
    assert (smooth[:, :, 4:6, 4:6] - torch.tensor([6.0, 0.0]).view(1, 2, 1, 1)).abs().max() < 1.0


def test_quarters_move_unlike_their_block_where_an_object_ends(one_thread):
    """An object whose border halves a block: its quarters take part in either motion, and the prediction gains."""
    random = torch.Generator().manual_seed(5)
    past = F.interpolate(torch.rand(1, 1, 48, 48, generator=random), (192, 192), mode="bicubic")
    now = past.clone()
    now[:, :, 56:120, 56:120] = past[:, :, 56:120, 62:126]  # 56 and 120 are no multiples of 16
    blocks, quarters = search_motion(now, past, 1e-4), search_quarters(now, past, 1e-4)
    assert quarters.shape == (1, 2, 24, 24)
    assert (quarters[:, :, 8:14, 8:14] - torch.tensor([6.0, 0.0]).view(1, 2, 1, 1)).abs().max() < 1.0
    assert quarters[:, :, 8:14, 3:6].abs().max() < 0.5
    error = [
        float((warp(past, motion_surface(motion, False, side)) - now).square().mean())
        for motion, side in ((blocks, 16), (quarters, 8))
    ]
    assert error[1] < 0.7 * error[0]


def test_what_motion_is_at_stake_of_is_what_its_error_costs():
    """On a smooth pattern: half the second derivative of a block's squared error along each channel of its motion."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")

    def pattern(x):
        return (0.5 + 0.2 * torch.sin((columns + x) / 6) + 0.1 * torch.sin(rows / 9))[None, None]

    encoder = torch.nn.Conv2d(2, 16, 16, 16)
    latent, stake = quartered_latent(pattern(1.0), pattern(0.0), torch.tensor([6]), encoder, 16)
    assert latent.shape == stake.shape == (1, 16, 4, 4)
    assert (stake[:, 8:] == 1e9).all()
    inside = stake[0, :8, 1:3, 1:3].mean((1, 2))
    slope = (0.2 / 6 * torch.cos(columns / 6)).square().mean()  # squared error a pixel of a shift by one pixel
    assert inside[::2].tolist() == pytest.approx([256 * float(slope)] * 4, rel=0.15)
    assert (inside[1::2] < inside[::2] / 2).all()  # the pattern is flatter from top to bottom


def test_motion_of_quarters_and_its_latent_are_inverse():
    latent = torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(quarter_latent(quarter_motion(latent)), latent, atol=1e-6)
    only = torch.zeros(1, 8, 1, 1)
    only[:, 0], only[:, 2] = 1.0, 0.5  # x: the mean, and how left differs from right
    assert quarter_motion(only)[0, 0].tolist() == [[1.5, 0.5], [1.5, 0.5]]
