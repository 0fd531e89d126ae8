from bench.runner.profile import ComplexityRow
from bench.runner.tables import read_table


def test_every_stage_of_a_chain_has_rows(bench, tmp_path):
    out = tmp_path / "complexity.csv"
    flags = ["--dataset", "s-motion:size=32,num_spikes=121", "--extractor", "tfp", "--repeats", 1, "--out", out]
    text = bench("profile", "--paradigm", "cta", "--codec", "zstd", *flags).stdout
    rows = [row for _, row in read_table(out, ComplexityRow)]
    stages = [(row.side, row.stage, row.frame) for row in rows]
    assert stages == [
        ("camera", "encode", "I"), ("camera", "encode", "P"), ("cloud", "decode", "I"), ("cloud", "decode", "P"),
        ("cloud", "extract", ""), ("cloud", "analyze", ""),
    ]  # fmt: skip
    assert all(row.status == "ok" and row.macs is None and row.peak_memory > 2**20 for row in rows)
    assert rows[0].bits > 0
    assert round(sum(row.frames_per_result for row in rows[:2]), 2) == 11.67  # all spike frames for nine results
    assert text.splitlines()[-1] == f"-> {out}"


def test_networks_are_counted_and_a_failing_stage_says_why(bench, tmp_path):
    out = tmp_path / "complexity.csv"
    flags = ["--dataset", "s-motion:size=32,num_spikes=121", "--repeats", 1, "--out", out]
    bench("profile", "--codec", "x265", "--rate", "99", *flags)
    (_, first), (_, last) = read_table(out, ComplexityRow)
    assert (first.stage, first.status) == ("extract", "ok")
    assert first.macs > 1e7
    assert first.parameters > 1e4
    assert (last.stage, last.status) == ("encode", "failed")
    assert "99" in last.reason
