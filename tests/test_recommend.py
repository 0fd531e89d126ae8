"""What suits a camera and its link, from a recording."""

import re
import shlex

import pytest

from bench.errors import BenchError
from bench.recommend import quantity
from bench.spikes import write_dat
from tests.conftest import one_line_error


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("2Mbit/s", "bit/s", 2e6), ("10GMAC", "MAC", 1e10), ("20kHz", "Hz", 2e4), ("1.5 M", "bit/s", 1.5e6),
        ("300", "bit/s", 300), ("2e6bit/s", "bit/s", 2e6),
    ],
)  # fmt: skip
def test_quantities_have_prefixes_and_units(text, unit, value):
    assert quantity(text, unit) == value


@pytest.mark.parametrize("text", ["", "fast", "2Mbyte/s", "-3M", "0", "1.2.3M", "nan"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(BenchError, match=r"is no number of bit/s; write 2Mbit/s, say"):
        quantity(text, "bit/s")


def test_the_best_point_that_the_link_carries_is_recommended(bench, spikes, tmp_path):
    write_dat(tmp_path / "walk, 1.dat", spikes(97, 24, 32))
    flags = ["--size", "32x24", "--spike-rate", "0.6", "--codec", "x264,isi", "--extractor", "tfp", "--hertz", "8kHz"]
    done = bench("recommend", "walk, 1.dat", "--link", "1Gbit/s", *flags)
    assert "left out: caas isi: isi takes spikes only" in done.stdout
    lines = [re.split(r"  +", line.strip()) for line in done.stdout.splitlines() if line.startswith("fits ")]
    quality = [float(line[-1]) for line in lines]
    assert quality == sorted(quality, reverse=True)
    bits = {(*line[0].removeprefix("fits ").split(), line[1]): float(line[2]) for line in lines}
    # Spikes are sent all the time, so lossless ones cost what their bits a spike say.
    bench("encode", "walk, 1.dat", *flags[:4], "--codec", "isi", "--paradigm", "cta", "--frames", "8", "-o", "all.spk")
    size = 8 * (tmp_path / "all.spk").stat().st_size / 97 * 8000 / 1e6
    assert bits["CTA", "isi", "lossless"] == pytest.approx(size, rel=0.05)

    limit = sorted(bits.values())[2]
    done = bench("recommend", "walk, 1.dat", "--link", f"{limit:.3f}Mbit/s", *flags)
    fitting = [line for line in done.stdout.splitlines() if line.startswith("fits ")]
    assert 0 < len(fitting) < len(lines)
    command = shlex.split(done.stdout.splitlines()[-1])
    assert command[:3] == ["bench", "encode", "walk, 1.dat"]
    assert "stream.spk: " in bench(*command[1:]).stdout
    done = bench("recommend", "walk, 1.dat", "--link", "1bit/s", *flags, check=1)
    assert "nothing fits; the least is" in done.stdout
    assert "left out: caas x264 above its lowest rate point, which the link does not carry" in done.stdout
    assert len(re.findall("^ +CAAS x264 ", done.stdout, re.MULTILINE)) == 1
    one_line_error(bench("recommend", ".", "--link", "1M", check=2), "is a folder; name one .dat recording")
    one_line_error(bench("recommend", "walk, 1.dat", "--link", "fast", check=2), "is no number of bit/s")
    one_line_error(bench("recommend", "absent.dat", "--link", "1M", check=2), "absent.dat")


@pytest.mark.slow
def test_a_camera_that_cannot_pay_for_features_sends_spikes(bench, spikes, tmp_path):
    write_dat(tmp_path / "a.dat", spikes(97, 24, 32))
    flags = ["--size", "32x24", "--spike-rate", "0.6", "--codec", "isi,sci", "--link", "1Gbit/s"]
    done = bench("recommend", "a.dat", *flags, "--camera-macs", "1MAC")
    fitting = [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("fits ")]
    assert fitting == [["CTA", "isi"]]
    done = bench("recommend", "a.dat", *flags, "--camera-macs", "10GMAC")
    assert {tuple(line.split()[1:3]) for line in done.stdout.splitlines() if line.startswith("fits ")} >= {
        ("CAAS", "sci"), ("CTA", "isi"),
    }  # fmt: skip
