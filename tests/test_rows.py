"""Rows of several runs in one table, and the commands that measure them again."""

import pytest

from bench.errors import BenchError
from bench.fingerprint import digest
from bench.report.bd_table import bd_table
from bench.report.build import build_report
from bench.report.rows import average, judged, load_runs, mean_points, printed_mean
from bench.results.explain import command_for, explain_row
from bench.results.rows import read_rows, write_rows
from tests.test_gate import card, write_run


def test_two_runs_with_different_figures_are_refused(tmp_path):
    first = write_run(tmp_path / "a", {"x265": (1000, "")})
    same = write_run(tmp_path / "b", {"x265": (1000, "")})
    other = write_run(tmp_path / "c", {"x265": (1001, "")})
    assert len(load_runs([first, same]).table) == 8
    with pytest.raises(BenchError, match=r"job [0-9a-f]{12} has different figures in .*c and in another of the runs"):
        load_runs([first, same, other])


def test_evaluated_instants_of_version_1_are_those_of_the_card(tmp_path):
    condition = card(evaluated=(3, 17))
    folder = write_run(
        tmp_path / "a", {"x265": (1, "")}, condition, lambda row: row.model_copy(update={"evaluated": ""})
    )
    assert set(load_runs([folder]).table["evaluated"]) == {"3 17"}
    assert set(load_runs([write_run(tmp_path / "b", {"x265": (1, "")})]).table["evaluated"]) == {"all"}


def _means(tmp_path, rows):
    return average(load_runs([write_run(tmp_path / "a", {"x265": (1000, "")}, rows=rows)]).table)


def test_a_mean_over_fewer_sequences_says_so(tmp_path):
    """One of two sequences has no truth: its bits count, and the mean of PSNRs is the other's."""
    none = {"psnr": None, "ssim": None, "evaluated": ""}
    means = _means(tmp_path, lambda row: row.model_copy(update=none) if row.sequence == "low-1" else row)
    line = means.to_dict("records")[0]
    assert (line["sequences"], line["bpp_count"], line["psnr_count"], line["ms_ssim_count"]) == (2, 2, 1, 0)
    assert printed_mean(line, "psnr", 2) == "30.00 [1 of 2]"
    assert printed_mean(line, "bpf", 1) == "1.0"
    assert printed_mean(line, "ms_ssim", 4) == ""


def test_rate_and_quality_of_a_drawn_point_are_of_the_same_sequences(tmp_path):
    def one_without(row):
        changes = {"psnr": None, "bpp": 100 * row.bpp} if row.sequence == "low-1" else {}
        return row.model_copy(update=changes)

    folder = write_run(tmp_path / "a", {"x265": (1000, ""), "x264": (1100, "")}, rows=one_without)
    points = load_runs([folder]).points
    means = mean_points(judged(points))
    assert set(means["sequences"]) == {1}
    assert means["bpp"].max() < 1
    line = bd_table(points).query("quality == 'psnr'").iloc[0]
    assert (line["sequences"], line["asked"]) == (1, 2)
    assert "no quality was measured" in line["reason"]
    assert (line["quality_sequences"], line["pooled_points"]) == (1, "0 and 0")
    assert "0 points of 4" in line["pooled_reason"]


def test_segments_without_a_truth_count_their_bits_and_no_quality(tmp_path):
    """One sequence of two segments stays one curve; its bpp is that of all bits."""
    rows = read_rows(write_run(tmp_path / "a", {"x265": (1000, "")}) / "rd.csv")
    second = {"segment": 256, "psnr": None, "evaluated": ""}
    more = [
        row.model_copy(update={**second, "job": digest(["second", row.job])[:12], "bpp": 3 * row.bpp}) for row in rows
    ]
    write_rows(tmp_path / "a" / "rd.csv", [*rows, *more])
    line = average(load_runs([tmp_path / "a"]).table).to_dict("records")[0]
    assert (line["sequences"], line["psnr"], line["psnr_count"]) == (2, 30.0, 2)
    assert line["bpp"] == pytest.approx(2 * rows[0].bpp)


def test_frames_at_the_ceiling_are_counted_in_tables(tmp_path):
    def capped(row):
        return row.model_copy(update={"psnr_of_mse": 25.0, "capped_frames": 3 if row.sequence == "low-1" else 0})

    folder = write_run(tmp_path / "a", {"x265": (1000, "")}, rows=capped)
    build_report([folder], tmp_path / "report", lambda *_: None)
    table = (tmp_path / "report" / "table_caas.md").read_text()
    assert "PSNR of mean MSE [dB]" in table and "frames at 60 dB" in table and "card" in table
    assert "count as 60 dB" in (tmp_path / "report" / "README.md").read_text()
    plain = write_run(tmp_path / "b", {"x265": (1000, "")})
    build_report([plain], tmp_path / "plain", lambda *_: None)
    assert "60 dB" not in (tmp_path / "plain" / "README.md").read_text()


def test_a_point_that_failed_in_one_run_counts_in_the_other(tmp_path):
    def failed(row):
        gone = {"status": "failed", "reason": "oops", "bits": None, "psnr": None, "decoded_sha256": ""}
        return row.model_copy(update=gone) if row.rate_point == "8" else row

    first = write_run(tmp_path / "a", {"x265": (1000, "")}, rows=failed)
    second = write_run(tmp_path / "b", {"x265": (1000, ""), "zstd": (9, "")})
    table = load_runs([first, second]).table
    assert table["status"].eq("ok").all() and len(table) == 16
    assert set(table.loc[table["rate_point"] == "8", "run"]) == {str(second)}


def test_commands_of_curves_are_those_of_their_rows(tmp_path):
    folder = write_run(tmp_path / "a", {"x265": (1000, ""), "odd {name}": (1000, "")})
    runs = load_runs([folder])
    pairs, numbers = runs.commands(runs.table)
    assert len(pairs) == 2
    for row, number in zip(read_rows(folder / "rd.csv"), numbers, strict=True):
        before, after = pairs[number]
        command = f"{before} --rates {row.rate_point} --sequences {row.sequence} --limit 0 {after}"
        assert command == command_for(row.model_dump(), runs.documents[str(folder)], [row.rate_point], [row.sequence])
        assert command == runs.command(runs.table["job"].eq(row.job))
        assert command in "\n".join(explain_row(f"{folder}#{row.job}", tmp_path))
    lines = runs.command(runs.table["rate_point"].isin(["8", "16"])).split(" && ")
    assert ["--rates 8,16 --sequences low-1,high-1 --limit 0" in line for line in lines] == [True, True]
