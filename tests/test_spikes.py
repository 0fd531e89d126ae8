import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.errors import BenchError
from bench.spikes import (
    PackedSpikes,
    SpikeCamera,
    dat,
    exposure,
    firing_rate,
    interval_rate,
    likeness_of_rows,
    read_dat,
    simulate,
    survey,
    write_dat,
)

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 10), st.integers(1, 24)).filter(lambda s: s[1] * s[2] % 8 == 0)


@given(SIZES.flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 1))))
def test_packing_is_the_format_and_reverses(frames):
    packed = PackedSpikes.pack(frames)
    reference = [np.packbits(frame[::-1], bitorder="little") for frame in frames]
    assert np.array_equal(packed.data, np.stack(reference).reshape(len(frames), -1))
    assert np.array_equal(packed[:], frames)
    assert np.array_equal(packed[1:3], frames[1:3])


@settings(max_examples=25)
@given(SIZES.flatmap(lambda size: arrays(np.bool_, size)))
def test_dat_files_reverse(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("dat") / "a.dat"
    write_dat(path, frames)
    assert path.stat().st_size == frames.size // 8
    assert np.array_equal(read_dat(path, *frames.shape[1:])[:], frames)


def test_dat_is_mapped_not_read(tmp_path):
    path = tmp_path / "a.dat"
    write_dat(path, np.eye(8, dtype=np.uint8)[None].repeat(5, 0))
    packed = read_dat(path, 8, 8)
    assert isinstance(packed.data, np.memmap)
    assert len(packed) == 5
    part = PackedSpikes(packed.data[2:4], 8, 8)  # a slice of a map starts elsewhere in the file
    assert np.array_equal(part[0:2], packed[2:4])
    assert np.array_equal(packed[0:5:2], packed[:][::2])


@pytest.mark.parametrize("part", [1, 16, 24, 1 << 19])
def test_dat_is_read_in_parts(tmp_path, monkeypatch, part):
    monkeypatch.setattr(dat, "_PART_BYTES", part)
    frames = np.random.default_rng(0).integers(0, 2, (7, 8, 16), np.uint8)
    write_dat(tmp_path / "a.dat", frames)
    packed = read_dat(tmp_path / "a.dat", 8, 16)
    assert np.array_equal(packed[:], frames)
    assert np.array_equal(packed[2:7], frames[2:7])


def test_dat_that_was_cut_after_opening_is_named(tmp_path):
    path = tmp_path / "a.dat"
    write_dat(path, np.zeros((5, 8, 8), np.uint8))
    packed = read_dat(path, 8, 8)
    path.write_bytes(bytes(20))
    with pytest.raises(BenchError, match=r"a\.dat: the file has become shorter"):
        packed[1:4]


@pytest.mark.parametrize("size", [0, 7, 9, 8 * 5 + 1])
def test_truncated_and_oversized_dat_are_named(tmp_path, size):
    path = tmp_path / "broken.dat"
    path.write_bytes(bytes(size))
    with pytest.raises(BenchError, match=rf"broken\.dat: found {size} bytes.*expected") as error:
        read_dat(path, 8, 8)
    assert str(size // 8 * 8) in str(error.value)


def test_frames_not_divisible_by_eight_are_refused(tmp_path):
    with pytest.raises(BenchError, match="7x3 pixels is not divisible by 8"):
        read_dat(tmp_path / "a.dat", 3, 7)
    with pytest.raises(BenchError, match="not divisible by 8"):
        PackedSpikes.pack(np.zeros((2, 3, 7), np.uint8))


def _slow_camera(luminance, alpha, theta, reset, initial):
    """Equations 3 to 5 of the paper, pixel by pixel."""
    spikes = np.zeros(luminance.shape, np.uint8)
    for row in range(luminance.shape[1]):
        for column in range(luminance.shape[2]):
            v = initial[row, column]
            for t in range(len(luminance)):
                v += alpha * luminance[t, row, column]
                if v >= theta:
                    spikes[t, row, column] = 1
                    v = 0.0 if reset == "hard" else v - theta
    return spikes


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize(("alpha", "theta"), [(1.0, 109225.0), (1.0, 70000.0)])
def test_simulator_follows_the_equations(reset, alpha, theta):
    random = np.random.default_rng(0)
    luminance = random.integers(0, 65536, (40, 5, 8)).astype(np.float32)
    initial = random.integers(0, int(theta), (5, 8)).astype(np.float64)
    camera = SpikeCamera(5, 8, alpha=alpha, theta=theta, reset=reset, initial=initial)
    expected = _slow_camera(luminance.astype(np.float64), alpha, theta, reset, initial)
    assert np.array_equal(camera.expose(luminance), expected)
    assert 0 < expected.sum() < expected.size


def test_alpha_scales_light():
    luminance = np.full((1000, 1, 8), 0.5, np.float32)
    assert simulate(luminance, rate=0.6).mean() == pytest.approx(0.3, abs=0.002)
    assert simulate(luminance * 0, rate=0.6).sum() == 0


def test_simulating_in_pieces_changes_nothing():
    luminance = np.random.default_rng(1).random((50, 6, 8)).astype(np.float32)
    options = {"theta": 2.0, "seed": 5, "noise": 0.1}
    whole = SpikeCamera(6, 8, **options).expose(luminance)
    camera = SpikeCamera(6, 8, **options)
    pieces = np.concatenate([camera.expose(luminance[:17]), camera.expose(luminance[17:])])
    assert np.array_equal(whole, pieces)


def test_noise_is_seeded_and_changes_spikes():
    luminance = np.full((60, 8, 8), 0.4, np.float32)
    first, again, other = (SpikeCamera(8, 8, seed=s, noise=0.3).expose(luminance) for s in (1, 1, 2))
    quiet = SpikeCamera(8, 8, seed=1).expose(luminance)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, quiet)


@pytest.mark.parametrize("window", [1, 4, 21, 300])
def test_tfp_is_the_mean_of_the_window(window):
    spikes = (np.random.default_rng(0).random((320, 3, 8)) < 0.3).astype(np.uint8)
    instants = np.array([0, 5, 160, 319])
    rates = firing_rate(spikes, instants, window)
    for rate, t in zip(rates, instants, strict=True):
        frames = [spikes[i] for i in range(t - window // 2, t - window // 2 + window) if 0 <= i < 320]
        assert np.allclose(rate, np.mean(frames, axis=0), atol=1e-6)


def test_tfi_is_one_over_the_interval():
    spikes = np.zeros((30, 1, 8), np.uint8)
    spikes[[4, 10, 13], 0, 0] = 1  # intervals 6 and 3
    spikes[7, 0, 1] = 1
    rates = interval_rate(spikes, np.array([4, 9, 10, 12, 8]), 32)
    assert np.allclose(rates[:4, 0, 0], [1 / 6, 1 / 6, 1 / 3, 1 / 3])
    assert rates[4, 0, 1] == pytest.approx(1 / (1 + 21 + 1))  # no later spike: at most that bright
    assert (rates[:, 0, 2] < 1 / 29).all()


def test_tfi_of_an_ideal_camera_is_its_rate():
    spikes = simulate(np.full((200, 4, 8), 0.5, np.float32), rate=0.5, seed=2)
    assert np.allclose(interval_rate(spikes, np.array([100]), 32), 0.25)


def test_rows_with_heads_are_read_in_any_place(tmp_path):
    random = np.random.default_rng(0)
    rows = random.integers(0, 2, (7, 8, 21), np.uint8)
    path = tmp_path / "raw.dat"
    np.packbits(rows[:, ::-1].reshape(7, -1), axis=1, bitorder="little").tofile(path)
    packed = read_dat(path, 8, 16, row_bits=21, first_bit=3)
    assert packed.shape == (7, 8, 16)
    assert np.array_equal(packed[2:6], rows[2:6, :, 3:19])
    write_dat(tmp_path / "plain.dat", packed)
    assert np.array_equal(read_dat(tmp_path / "plain.dat", 8, 16)[:], rows[:, :, 3:19])
    with pytest.raises(BenchError, match="do not fit into rows of 21 bits"):
        read_dat(path, 8, 16, row_bits=21, first_bit=6)


def test_a_survey_reads_a_part_of_a_long_recording(monkeypatch):
    monkeypatch.setattr(exposure, "_FRAMES", 64)
    monkeypatch.setattr(exposure, "_BYTES", 0)
    spikes = np.zeros((1000, 8, 16), np.uint8)
    spikes[::4] = 1  # every pixel fires a quarter of the frames
    spikes[:, 0, 0] = 1  # but for a hot one
    spikes[:, 1] = 0
    looked_at = survey(PackedSpikes.pack(spikes))
    assert looked_at.frames == 64
    assert looked_at.counts[2, 3] == 16 and looked_at.counts[0, 0] == 64
    assert not survey(PackedSpikes.pack(spikes[:50] * 0)).rate
    assert survey(PackedSpikes.pack(spikes[:50])).frames == 50


def test_the_brightest_pixels_are_neither_the_hot_ones_nor_the_dark(tmp_path):
    spikes = np.zeros((100, 64, 64), np.uint8)
    spikes[::10, :32] = 1
    spikes[::5, 0] = 1  # 64 of 2048 that fire
    spikes[:, 1, :5] = 1
    assert survey(PackedSpikes.pack(spikes)).rate == 0.2


def test_rows_are_alike_in_the_true_geometry_alone():
    rows, columns = np.mgrid[0:64, 0:48]
    level = 0.5 + 0.4 * np.sin(rows / 9) * np.cos(columns / 5)
    packed = PackedSpikes.pack(simulate(np.broadcast_to(level, (64, 64, 48)), rate=0.5))
    swapped = PackedSpikes(packed.data, 48, 64)
    assert likeness_of_rows(survey(packed).counts) > 0.8
    assert likeness_of_rows(survey(swapped).counts) < 0.3
    assert likeness_of_rows(np.ones((1, 8))) == likeness_of_rows(np.ones((8, 1))) == 0
