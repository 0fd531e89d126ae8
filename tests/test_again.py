"""Rows that `bench explain --run` measures again: equal, not equal, and what cannot be measured here."""

import json
import shutil

import pytest

from bench.results.rows import RD_FILE, read_rows, write_rows
from tests.conftest import one_line_error


@pytest.fixture
def row(reference):
    return next(row for row in read_rows(reference / RD_FILE) if row.codec == "x265" and row.paradigm == "caas")


@pytest.fixture
def altered(reference, tmp_path, row):
    """A copy of the run, in which `change` has altered the row's columns or run.json."""

    def altered(document=lambda document: None, **columns):
        folder = tmp_path / "results" / "altered"
        folder.mkdir(parents=True)
        rows = [old.model_copy(update=columns) if old.job == row.job else old for old in read_rows(reference / RD_FILE)]
        write_rows(folder / RD_FILE, rows)
        shutil.copy(reference / "run.json", folder)
        facts = json.loads((folder / "run.json").read_text())
        document(facts)
        (folder / "run.json").write_text(json.dumps(facts))
        return folder

    return altered


def test_a_row_that_comes_out_again_is_equal(bench, reference, row):
    said = bench("explain", f"{reference}#{row.job}", "--run").stdout.splitlines()
    assert said[0].startswith(f"caas x265 (medium) [tfp+identity] {row.rate_point} ")
    (bits,) = (line for line in said if line.startswith("  bits"))
    assert bits.split() == ["bits", str(row.bits), str(row.bits), "+0", "(+0.00", "%)"]
    assert said[-1] == "equal within the gate's tolerance: 1 row"


@pytest.mark.parametrize("columns", [{"bits": 8}, {"psnr": 20.0}, {"decoded_sha256": "0" * 64}])
def test_a_row_that_does_not_come_out_again_is_not_equal(bench, altered, row, columns):
    """Fewer bits and a better result are not equal either."""
    folder = altered(**columns)
    said = bench("explain", f"{folder}#{row.job}", "--run", check=1).stdout
    assert f"not equal: caas x265 (medium) [tfp+identity] {row.rate_point} " in said
    assert "equal within" not in said.replace("not equal", "")


def test_a_line_of_a_table_is_measured_again(bench, altered, tmp_path):
    folder = altered()
    bench("report", folder, "--out", "report")
    table = (tmp_path / "report" / "table_caas.csv").read_text().splitlines()
    number = next(number for number, line in enumerate(table) if ",x265 (medium)," in line)
    said = bench("explain", f"report/table_caas.csv:{number}", "--run").stdout
    assert said.endswith("equal within the gate's tolerance: 2 rows\n")
    shutil.rmtree(folder)
    refused = bench("explain", f"report/table_caas.csv:{number}", "--run", check=2)
    one_line_error(refused, "no run has these rows")


def test_what_cannot_be_measured_here_is_one_line(bench, altered, row, tmp_path):
    absent = {"origins": {"datasets": {row.dataset: "dat:root=absent"}}}
    folder = altered(lambda facts: facts.update(absent))
    one_line_error(bench("explain", f"{folder}#{row.job}", "--run", check=2), "absent")
    (tmp_path / "table.csv").write_text("a,command\n1,bench complexity sci\n2,bench run --suite quick\n")
    one_line_error(bench("explain", "table.csv:1", "--run", check=2), "no rows to measure again")
    one_line_error(bench("explain", "table.csv:2", "--run", check=2), "unrecognized arguments: --suite")


def test_files_that_a_run_names_are_run_only_if_trusted(bench, altered, row, plugin_path):
    marker = {"origins": {"codecs": {"x265": f"{plugin_path}:Deflate"}}}
    folder = altered(lambda facts: facts.update(marker))
    one_line_error(bench("explain", f"{folder}#{row.job}", "--run", check=2), "names code to be run", "--trust")
