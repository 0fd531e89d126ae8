"""Rows of several runs in one table, and the commands that measure them again."""

import pytest

from bench.errors import BenchError
from bench.report.rows import load_runs
from bench.runner.explain import command_for, explain_row
from bench.runner.results import read_rows
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
