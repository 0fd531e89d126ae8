from bench.measure.profile import ProfileRow
from bench.results.tables import read_table
from tests.conftest import one_line_error


def test_every_stage_of_a_chain_has_rows(bench, tmp_path):
    out = tmp_path / "profile.csv"
    flags = ["--dataset", "s-motion:size=32,num_spikes=121", "--extractor", "tfp", "--repeats", 1, "--out", out]
    text = bench("profile", "--paradigm", "cta", "--codec", "zstd", *flags).stdout
    rows = [row for _, row in read_table(out, ProfileRow)]
    stages = [(row.side, row.stage, row.frame) for row in rows]
    assert stages == [
        ("camera", "encode", "I"), ("camera", "encode", "P"), ("cloud", "decode", "I"), ("cloud", "decode", "P"),
        ("cloud", "extract", ""), ("cloud", "analyze", ""),
    ]  # fmt: skip
    assert all(row.status == "ok" and row.macs is None and row.peak_memory > 2**20 for row in rows)
    assert rows[0].bits > 0
    assert round(sum(row.frames_per_result for row in rows[:2]), 2) == 11.67  # all spike frames for nine results
    assert text.splitlines()[-1] == f"-> {out}"


BROKEN = """
from bench.interfaces import Codec


class Broken(Codec):
    name = "broken"
    rate_points = (1,)

    def compress(self, frames, rate_point, condition):
        return b"x" * len(frames)

    def decompress(self, payload, info):
        raise ValueError("cannot be decoded")
"""


def test_networks_are_counted_and_a_failing_stage_says_why(bench, tmp_path):
    out = tmp_path / "profile.csv"
    (tmp_path / "broken.py").write_text(BROKEN)
    flags = ["--dataset", "s-motion:size=32,num_spikes=121", "--repeats", 1, "--out", out]
    bench("profile", "--codec", "broken.py:Broken", *flags)
    *rows, last = [row for _, row in read_table(out, ProfileRow)]
    assert [(row.stage, row.status) for row in rows] == [("extract", "ok"), ("encode", "ok"), ("encode", "ok")]
    assert rows[0].macs > 1e7
    assert rows[0].parameters > 1e4
    assert (last.stage, last.status) == ("decode", "failed")
    assert "cannot be decoded" in last.reason


def test_what_cannot_be_profiled_is_said_before_anything_is(bench, tmp_path):
    flags = ["--dataset", "s-motion:size=32,num_spikes=121", "--out", tmp_path / "profile.csv"]
    one_line_error(bench("profile", "--codec", "x265", "--rate", "99", *flags, check=None), "99")
    one_line_error(bench("profile", "--codec", "x265", "--sequence", "low-9", *flags, check=None), "low-9")
    for rates in (",", "32,37"):
        done = bench("profile", "--codec", "x265", "--rate", rates, *flags, check=None)
        one_line_error(done, f"--rate takes one rate point, not '{rates}'")
    assert not (tmp_path / "profile.csv").exists()
