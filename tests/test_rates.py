"""Rate points: what a user writes, what the codec has, and what comes back in rows and commands."""

import shlex

import pytest

from bench.cli._shared import rate_points
from bench.interfaces import Codec, Content
from bench.rates import own_point, written_point
from bench.registry import create
from bench.results.rows import read_rows
from bench.runner.plan import make_plan
from bench.runner.spec import make_spec
from tests.conftest import TINY

TEXTS = '''
import zlib

import numpy as np

from bench.interfaces import Codec, to_uint8


class Texts(Codec):
    """Rate points that are texts."""

    name = "texts"
    rate_points = ("01", "1", "a, b", "it's 5\\" wide", "1e1")

    def compress(self, frames, rate_point, condition):
        return zlib.compress(to_uint8(frames).tobytes())

    def decompress(self, payload, info):
        return np.frombuffer(zlib.decompress(payload), np.uint8).reshape(info.shape).astype(np.float32) / 255
'''


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("42,37", (42, 37)),
        (" 42 , 0.5 ", (42, 0.5)),
        ("01,1.50,1e1,+3", ("01", "1.50", "1e1", "+3")),
        ("nan,inf,1_0,\u0663", ("nan", "inf", "1_0", "\u0663")),
        ('lossless,"a, b"', ("lossless", "a, b")),
        ("-3,-0.5", (-3, -0.5)),
        ("9" * 5000, ("9" * 5000,)),
    ],
)
def test_a_written_point_stays_as_it_was_written(text, points):
    assert rate_points(text) == points
    assert [type(point) for point in rate_points(text)] == [type(point) for point in points]
    assert all(written_point(str(point)) == point for point in points)


@pytest.mark.parametrize("written", [37, 37.0, "37", "037", "37.0", "3.7e1"])
def test_every_way_to_write_a_quantiser_is_that_quantiser(written):
    for content in (Content.FEATURES, Content.SPIKES):
        point = own_point(create(Codec, "vvenc"), content, written)
        assert (point, type(point)) == (37, int)
    plan = make_plan(make_spec(datasets=(TINY,), frames=8, limit=1, codecs=("x265",), rates=(written, 37)))
    assert [job.rate_point for job in plan.jobs] == [37]


@pytest.mark.parametrize("written", ["nan", "inf", 36.5, "36.5", "x"])
def test_what_is_no_quantiser_stays_for_the_codec_to_refuse(written):
    assert own_point(create(Codec, "vvenc"), Content.FEATURES, written) == written


def test_points_that_are_texts_come_back_through_rows_and_commands(bench, tmp_path):
    (tmp_path / "texts.py").write_text(TEXTS)
    flags = ["--dataset", TINY, "--frames", "4", "--limit", "1", "--extractor", "tfp", "--no-figures", "--jobs", "1"]
    rates = '01,1,"a, b",it\'s 5" wide,1e1'
    bench("run", "--codec", "texts.py:Texts", *flags, "--rates", rates, "--out", "first")
    rows = read_rows(tmp_path / "first" / "rd.csv")
    assert [row.rate_point for row in rows] == ["01", "1", "a, b", "it's 5\" wide", "1e1"]
    bench("run", "--codec", "texts.py:Texts", *flags, "--out", "second")
    assert read_rows(tmp_path / "second" / "rd.csv") == rows
    for row in rows[1:4]:
        command = shlex.split(bench("explain", f"first#{row.job}").stdout.strip().splitlines()[-1])
        said = bench(*command[1:], "--dry-run").stdout.splitlines()
        assert len(said) == 3 and said[0].startswith(row.job)
