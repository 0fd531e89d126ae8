import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.errors import BenchError
from bench.metrics import iqa
from bench.report.iqa_table import _matched
from bench.runner.iqa import IqaRow, score_run
from bench.runner.tables import read_table
from tests.test_gate import CODECS, write_run

HEADER = ",".join(IqaRow.model_fields)


@pytest.fixture
def run_with_pictures(tmp_path):
    folder = write_run(tmp_path / "run", CODECS)
    (folder / "streams").mkdir()
    random = np.random.default_rng(0)
    for job in pd.read_csv(folder / "rd.csv")["job"]:
        Image.fromarray(random.integers(0, 256, (64, 64), np.uint8)).save(folder / "streams" / f"{job}.png")
    return folder


def quiet(done, total, label):
    pass


def test_every_picture_gets_a_row_and_a_metric_without_weights_its_reason(run_with_pictures, monkeypatch):
    def ready(name):
        if name == "musiq":
            raise BenchError("musiq: no weights")
        return iqa.Metric("test 1", "f" * 64, lambda x: x.mean() * 100)

    monkeypatch.setattr("bench.runner.iqa.load_metric", ready)
    rows = score_run(run_with_pictures, ["niqe", "musiq"], quiet)
    assert rows == [row for _, row in read_table(run_with_pictures / "iqa.csv", IqaRow)]
    assert [row.status for row in rows] == ["ok"] * 16 + ["skipped"] * 16
    assert {row.reason for row in rows[16:]} == {"musiq: no weights"}
    assert all(40 < row.value < 60 for row in rows[:16])
    # Another metric later leaves these rows alone.
    again = score_run(run_with_pictures, ["brisque"], quiet)
    assert again[:32] == rows
    assert len(again) == 48


def test_runs_without_pictures_and_unknown_metrics_are_refused(tmp_path):
    folder = write_run(tmp_path / "run", CODECS)
    with pytest.raises(BenchError, match="no pictures"):
        score_run(folder, ["niqe"], quiet)
    with pytest.raises(BenchError, match="no metric 'nique'"):
        score_run(folder, ["nique"], quiet)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "columns are not"),
        (HEADER + "\n1,job,niqe,many,pyiqa 1,ff,ok,\n", "line 2, column value"),
        (HEADER + "\nx,job,niqe,1,pyiqa 1,ff,ok,\n", "line 2, column schema_version"),
        ("\xff", "columns are not"),
    ],
)
def test_damaged_tables_are_named(tmp_path, text, words):
    path = tmp_path / "iqa.csv"
    path.write_text(text)
    with pytest.raises(BenchError, match=words):
        list(read_table(path, IqaRow))


def test_matched_rates_lie_where_all_curves_are():
    """Scores that are linear in the logarithm of the rate come out exactly, at one rate for all."""
    lines = [
        {"sequence": "a", "segment": 0, "curve": curve, "bpp": bpp, "value": slope * np.log2(bpp)}
        for curve, slope, rates in (("x", 1.0, (0.01, 0.02, 0.08)), ("y", 2.0, (0.02, 0.04, 0.08, 0.16)))
        for bpp in rates
    ]
    lines.append({"sequence": "b", "segment": 0, "curve": "x", "bpp": 0.01, "value": 100.0})  # y lacks b
    found, rate, count = _matched(pd.DataFrame(lines))
    assert (round(rate, 6), count) == (0.04, 1)
    assert found == pytest.approx({"x": np.log2(0.04), "y": 2 * np.log2(0.04)})


def test_parameters_come_from_checked_archives_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BenchError, match="run `bench data get iqa`"):
        iqa._parameters("niqe.mat", "niqe")
    with zipfile.ZipFile(tmp_path / iqa.SOURCES["niqe.mat"].archive, "w") as archive:
        archive.writestr(iqa.SOURCES["niqe.mat"].member, "not it")
    with pytest.raises(BenchError, match="SHA-256 is"):
        iqa.fetch_parameters(tmp_path)
    assert not (tmp_path / "cache/data/iqa/niqe.mat").exists()


def test_rows_say_what_they_hold():
    with pytest.raises(ValueError, match="status"):
        IqaRow(schema_version=1, job="a", metric="niqe", status="fine")
