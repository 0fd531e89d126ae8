import builtins
import math

import matplotlib as mpl
import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from bench.errors import BenchError
from bench.interfaces import Dataset
from bench.metrics.bd import Curve, Verdict, bd_quality, bd_rate, mean_verdict
from bench.metrics.quality import evaluate_frames, psnr_per_frame
from bench.metrics.spikes import RATE_CEILING, evaluate_rates, evaluate_spikes, firing_rates
from bench.registry import create

ANCHOR = Curve((0.01, 0.02, 0.045, 0.09), (28.1, 30.9, 33.2, 35.8))
TEST = Curve((0.008, 0.017, 0.04, 0.085), (28.0, 31.0, 33.9, 36.4))


@pytest.fixture
def backend():
    """A backend of matplotlib's that the suite would not choose."""
    before = mpl.get_backend()
    mpl.use("svg")
    yield "svg"
    mpl.use(before)


def test_a_notebooks_backend_stays_as_it_is(backend):
    bd_rate(Curve((0.01, 0.02, 0.04, 0.08), (28.1, 30.9, 33.2, 35.8)), TEST)
    assert mpl.get_backend() == backend


def test_psnr_is_per_frame_then_mean():
    truth = np.zeros((2, 16, 16), np.float32)
    result = truth.copy()
    result[0] += 0.1
    result[1] += 0.01
    assert psnr_per_frame(result, truth) == pytest.approx([20, 40], abs=1e-4)
    assert evaluate_frames(result, truth)["psnr"] == pytest.approx(30, abs=1e-4)


def test_a_frame_that_equals_its_truth_counts_as_the_ceiling():
    truth = np.zeros((4, 16, 16), np.float32)
    result = truth.copy()
    result[2] += 0.1  # 20 dB
    result[3] += 0.0005  # 66 dB, of which 60 count
    assert psnr_per_frame(result, truth) == pytest.approx([60, 60, 20, 60], abs=1e-4)
    measured = evaluate_frames(result, truth)
    assert measured["psnr"] == pytest.approx(50, abs=1e-4)
    assert measured["capped_frames"] == 3
    assert measured["psnr_of_mse"] == pytest.approx(-10 * math.log10(0.1**2 / 4), abs=1e-3)
    exact = evaluate_frames(truth, truth)
    assert (exact["psnr"], exact["psnr_of_mse"], exact["capped_frames"]) == (60, 60, 4)
    # Nothing changes where no frame comes near the ceiling.
    assert evaluate_frames(result[2:3], truth[2:3])["capped_frames"] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_results_that_are_not_finite_have_no_quality(value):
    result = np.zeros((2, 16, 16), np.float32)
    result[1, 3, 3] = value
    with pytest.raises(BenchError, match="not finite"):
        evaluate_frames(result, np.zeros_like(result))


def test_ssim_agrees_with_another_implementation(moving):
    from skimage.metrics import structural_similarity

    truth = moving(2, 176, 184)
    result = np.clip(truth + np.random.default_rng(0).normal(0, 0.05, truth.shape), 0, 1).astype(np.float32)
    measured = evaluate_frames(result, truth)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    other = np.mean([structural_similarity(a, b, **options) for a, b in zip(result, truth, strict=True)])
    assert measured["ssim"] == pytest.approx(other, abs=2e-3)
    assert measured["ssim"] < measured["ms_ssim"] < 1
    same = evaluate_frames(truth, truth)
    assert same["ssim"] == pytest.approx(1) and same["ms_ssim"] == pytest.approx(1)


def test_frames_too_small_give_no_number():
    small = evaluate_frames(np.zeros((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32))
    assert math.isnan(small["ssim"]) and math.isnan(small["ms_ssim"]) and small["psnr"] == 0
    largest_without = np.random.default_rng(0).random((2, 1, 175, 200)).astype(np.float32)
    assert math.isnan(evaluate_frames(*largest_without)["ms_ssim"])
    medium = evaluate_frames(*np.random.default_rng(0).random((2, 1, 64, 64)).astype(np.float32))
    assert math.isfinite(medium["ssim"]) and math.isnan(medium["ms_ssim"])


def test_a_torchvision_of_another_torch_is_named(monkeypatch):
    # What torchvision raises then, wherever it is imported first.
    def broken(name, *arguments, **options):
        if name.startswith("torchmetrics"):
            raise RuntimeError("operator torchvision::nms does not exist")
        return imported(name, *arguments, **options)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", broken)
    frames = np.zeros((1, 16, 16), np.float32)
    with pytest.raises(BenchError, match=r"nms does not exist.*do these versions fit\? torch \d.*, torchvision \d"):
        evaluate_frames(frames, frames)


def test_spike_distortion():
    original = np.zeros((4, 2, 2), np.uint8)
    decoded = original.copy()
    decoded[0, 0, 0] = decoded[1, 0, 0] = 1
    assert evaluate_spikes(decoded, original) == {"spike_error": 2 / 16, "rate_error": 0.5 / 4}


def test_luminance_agrees_with_the_recording_that_it_is_of():
    dataset = create(Dataset, "s-motion")
    info = dataset.sequences()[0]
    recording, instants = dataset.open(info.name), np.arange(20, 84, 8)
    spikes, truth = recording.spikes(0, 104), recording.truth(list(instants))
    rates = firing_rates(spikes, instants, info.rate)
    same = evaluate_rates(truth, rates)
    assert same["rate_psnr"] > 34 and abs(same["brightness"]) < 1e-3
    brighter = evaluate_rates(np.minimum(truth + 0.02, 1), rates)
    assert brighter["rate_psnr"] < same["rate_psnr"] - 3 and brighter["brightness"] == pytest.approx(0.02, abs=2e-3)
    assert evaluate_rates(truth[::-1], rates)["rate_psnr"] < same["rate_psnr"] - 10
    assert evaluate_rates(truth[:1], firing_rates(spikes, instants[:1], info.rate))["rate_psnr"] is None


def test_firing_rates_are_means_of_linear_change():
    # One spike a frame from frame 8 on: half a frame belongs to the first step, where the ends count half.
    spikes = np.repeat((np.arange(17) >= 8)[:, None, None], 2, axis=2).astype(np.uint8)
    rates = firing_rates(spikes, np.array([0, 8, 16]), 0.5)
    assert rates.tolist() == [[[0.125, 0.125]], [[2.0, 2.0]]]
    assert evaluate_rates(np.zeros((3, 1, 2)), np.zeros((2, 1, 2)))["rate_psnr"] == RATE_CEILING


def _bd_rate_by_hand(anchor, test):
    """The definition, integrated numerically over the common qualities."""
    low = max(anchor.qualities[0], test.qualities[0])
    high = min(anchor.qualities[-1], test.qualities[-1])
    grid = np.linspace(low, high, 20001)
    curves = [PchipInterpolator(c.qualities, np.log(c.rates))(grid) for c in (anchor, test)]
    return 100 * (np.exp(np.mean(curves[1] - curves[0])) - 1)


def test_bd_rate_is_its_definition():
    verdict = bd_rate(ANCHOR, TEST)
    assert verdict.value == pytest.approx(_bd_rate_by_hand(ANCHOR, TEST), abs=0.01)
    assert verdict.overlap == pytest.approx((35.8 - 28.1) / (36.4 - 28.0))
    assert set(verdict.others) == {"akima", "cubic"}
    assert bd_quality(ANCHOR, TEST).value > 0


def test_figures_are_those_of_the_package_to_the_last_digit():
    """Kept interpolations and integrals of either direction change nothing."""
    import bjontegaard

    random = np.random.default_rng(0)
    for _ in range(50):
        points = [(np.cumsum(random.uniform(0.01, 0.1, 5)), 30 + np.cumsum(random.uniform(1, 2, 5))) for _ in range(2)]
        curves = [Curve(tuple(rates), tuple(qualities)) for rates, qualities in points]
        for anchor, test in ((0, 1), (1, 0)):
            for figure, function in ((bd_rate, bjontegaard.bd_rate), (bd_quality, bjontegaard.bd_psnr)):
                verdict = figure(curves[anchor], curves[test])
                if verdict.value is None:
                    continue
                for method, value in {"pchip": verdict.value, **verdict.others}.items():
                    expected = function(*points[anchor], *points[test], method=method, min_overlap=0)
                    assert value == float(expected)


def test_order_of_points_does_not_matter():
    shuffled = Curve(TEST.rates[::-1], TEST.qualities[::-1])
    assert bd_rate(ANCHOR, shuffled) == bd_rate(ANCHOR, TEST)


def test_lower_is_better_metrics():
    falling = [Curve(c.rates, tuple(50 - q for q in c.qualities)) for c in (ANCHOR, TEST)]
    assert bd_rate(*falling, lower_is_better=True).value == pytest.approx(bd_rate(ANCHOR, TEST).value)
    assert bd_quality(*falling, lower_is_better=True).value == pytest.approx(-bd_quality(ANCHOR, TEST).value)
    assert bd_rate(*falling).value is None


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (Curve(ANCHOR.rates, ANCHOR.qualities, "another"), "different condition cards"),
        (Curve(ANCHOR.rates[:3], ANCHOR.qualities[:3]), "3 points of 4"),
        (Curve(ANCHOR.rates, (28, 30, 29.5, 31)), "falls as rate rises"),
        (Curve(ANCHOR.rates, (28, 30, 30, 31)), "test: two points have the same quality"),
        (Curve(ANCHOR.rates, (28, 30, 31, 31)), "test: two points have the same quality"),
        (Curve(ANCHOR.rates, (30, 30, 29, 31)), "falls as rate rises"),
        (Curve(ANCHOR.rates, (math.nan,) * 4), "no quality was measured"),
        (Curve(ANCHOR.rates, ANCHOR.qualities, "", "3 4"), "qualities of different instants (- and 3 4)"),
        (Curve(ANCHOR.rates, (28, 30, 31, math.inf)), "not finite"),
        (Curve((0.01, 0.01, 0.02, 0.03), ANCHOR.qualities), "same rate"),
        (Curve((0, 0.01, 0.02, 0.03), ANCHOR.qualities), "not positive"),
        (Curve(ANCHOR.rates, (35, 40, 45, 50)), "overlap 4%"),
        (Curve(ANCHOR.rates, (40, 45, 50, 55)), "overlap 0%"),
    ],
)
def test_refusals_have_reasons(curve, reason):
    verdict = bd_rate(ANCHOR, curve)
    assert verdict.value is None
    assert reason in verdict.reason
    assert verdict.text().startswith("(")


def test_a_figure_that_no_two_points_are_apart_has_a_remark():
    """A cubic through points of a measure that saturates; no rate of one curve is three times one of the other."""
    anchor = Curve((2000, 3000, 4000, 5000), (96.6, 99.5, 99.92, 99.98))
    test = Curve((2050, 3070, 4000, 5100), (97.1, 99.66, 99.95, 99.981))
    verdict = bd_rate(anchor, test)
    assert -10 < verdict.value < 0 and verdict.others["cubic"] > 1000
    assert (
        "cubic gives +109235 %, out of all bounds: points of the two curves are -59 % to +155 % apart" in verdict.remark
    )
    assert "akima" not in verdict.remark and "pchip" not in verdict.remark
    assert bd_rate(ANCHOR, TEST).remark == "" == bd_quality(ANCHOR, TEST).remark
    mean = mean_verdict({"a": bd_rate(ANCHOR, TEST), "b": verdict, "c": verdict})
    assert mean.remark.startswith("b: cubic gives") and mean.remark.endswith("(and 1 more)")
    # Where less is better, the sign turns with the figure.
    falling = [Curve(c.rates, tuple(-q for q in c.qualities)) for c in (ANCHOR, TEST)]
    assert bd_quality(*falling, lower_is_better=True).remark == ""


def test_mean_over_sequences_says_what_is_missing():
    verdicts = {"a": Verdict(-10.0), "b": Verdict(-20.0), "c": Verdict(-30.0), "d": Verdict(None, "too short")}
    mean = mean_verdict(verdicts)
    assert mean.value == pytest.approx(-20)
    assert mean.count == (3, 4)
    assert "d: too short" in mean.reason
    # Student's t for two degrees of freedom is 4.3027; the standard error is 10 / sqrt(3).
    assert mean.interval == pytest.approx((-20 - 24.841, -20 + 24.841), abs=1e-3)
    assert mean_verdict(verdicts, least=-40.0).interval[0] == -40
    assert not mean.ranked and mean_verdict({**verdicts, "d": Verdict(-20.0)}).ranked
    assert mean.text() == "-20.00 [3 of 4]"
    assert mean_verdict({"a": Verdict(1.0)}).interval is None
    assert mean_verdict({"a": Verdict(None, "why")}).value is None
