import csv
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.measure.iqa import IQA_FILE, IqaRow
from bench.measure.networks import NETWORKS_FILE, NetworkRow
from bench.measure.profile import PROFILE_FILE, ProfileRow
from bench.measure.recognition import RECOGNITION_FILE, RecognitionRow
from bench.measure.suite import SMOOTHNESS_FILE, SmoothnessRow
from bench.report.bd_table import bd_table, table_iv
from bench.report.iqa_table import table_v
from bench.report.rows import Runs
from bench.results.rows import (
    CLASSES_FILE,
    COLUMNS,
    MEASURES_FILE,
    RD_FILE,
    ClassRow,
    MeasureRow,
    RDRow,
    RowLog,
    rd_frame,
    read_rows,
    write_rows,
)
from bench.results.tables import TableRow, row_line, write_table

DOCS = Path(__file__).parents[1] / "docs" / "results.md"


def _row(job="a" * 12, **changes):
    values = {
        "schema_version": 2, "job": job, "dataset": "s-motion", "sequence": "low, 1", "speed_class": "low",
        "segment": 0, "task": "reconstruction", "paradigm": "caas", "extractor": "tfp", "analyzer": "identity",
        "codec": "vvenc", "options": "preset=slow,threads=2", "preset": "slow", "codec_version": "1",
        "codec_sha256": "", "weights_sha256": "", "chroma": "400", "rate_point": "37", "condition": "c" * 12,
        "height": 8, "width": 8, "num_spikes": 49, "num_frames": 2, "evaluated": "all", "bits": 800,
        "bpp": 800 / (49 * 64),
        "psnr": 30.123456789012345, "ssim": None, "status": "ok", "seed": 0,
    }  # fmt: skip
    return RDRow(**{**values, **changes})


def _runs(rows, folder="here"):
    table = pd.DataFrame([row.model_dump() for row in rows]).assign(label=[f"{row.codec} (small)" for row in rows])
    card = {"num_frames": 2, "stride": 8, "margin": 20, "coding": {"intra_period": 16, "structure": "low_delay"}}
    document = {"conditions": {"c" * 12: card}, "origins": {}, "grids": [{"segments": 1}]}
    return Runs(table.assign(run=str(folder)), {str(folder): document})


def test_rows_reverse_exactly(tmp_path):
    path = tmp_path / "rd.csv"
    rows = [_row(), _row("b" * 12, psnr=math.inf, reason='says "no", twice', status="failed", bits=None)]
    write_rows(path, rows)
    assert read_rows(path) == rows


def test_missing_values_are_empty_cells():
    cells = dict(zip(COLUMNS, row_line(_row(ssim=math.nan, psnr=None)).rstrip("\n").split(","), strict=False))
    assert "nan" not in row_line(_row(ssim=math.nan))
    assert cells["job"] == "a" * 12


def test_a_line_cut_off_by_a_kill_is_no_row(tmp_path):
    path = tmp_path / "rd.csv"
    write_rows(path, [_row(), _row("b" * 12)])
    whole = path.read_bytes()
    for cut in range(1, len(row_line(_row()))):
        path.write_bytes(whole[:-cut])
        assert [row.job for row in read_rows(path)] == ["a" * 12]
    log = RowLog(path)
    log.append(_row("c" * 12))
    assert [row.job for row in read_rows(path)] == ["a" * 12, "c" * 12]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema_version,", "schema,", "its columns differ"),
        (",caas,", ",caas,extra,", "cells expected"),
        (",800,", ",many,", "line 2, column bits"),
        (",ok,", ",fine,", "line 2, column status"),
        ("\n2,", "\n3,", "column schema_version"),
        ("\n2,", "\ntwo,", "column schema_version"),
    ],
)
def test_wrong_tables_are_named_by_line_and_column(tmp_path, old, new, message):
    path = tmp_path / "rd.csv"
    write_rows(path, [_row()])
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BenchError, match=message):
        read_rows(path)


def test_tables_of_version_1_are_read(tmp_path):
    """By both readers: what version 1 lacks is empty."""
    path = tmp_path / "rd.csv"
    write_rows(path, [_row(psnr_of_mse=29.0, capped_frames=1)])
    head, line = (text.split(",") for text in path.read_text().splitlines())
    line = next(csv.reader([",".join(line)]))
    cells = {name: cell for name, cell in zip(head, line, strict=True) if name not in RDRow.later}
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([cells, [*cells.values()]])
    path.write_text(path.read_text().replace("\n2,", "\n1,"))
    (row,) = read_rows(path)
    assert row == _row(schema_version=1, evaluated="")
    (line,) = rd_frame(path).to_dict("records")
    assert (line["psnr"], line["evaluated"]) == (row.psnr, "")
    assert math.isnan(line["psnr_of_mse"]) and math.isnan(line["capped_frames"])


def test_one_job_with_two_results_is_refused(tmp_path):
    path = tmp_path / "rd.csv"
    write_rows(path, [_row(), _row(bits=8)])
    with pytest.raises(BenchError, match="job aaaaaaaaaaaa stands twice with different values"):
        read_rows(path)


def test_files_that_are_no_tables_are_refused(tmp_path):
    path = tmp_path / "rd.csv"
    for data in (b"", b"\xff\xfe\x00binary", b"<html>\n</html>\n"):
        path.write_bytes(data)
        with pytest.raises(BenchError, match=r"rd\.csv"):
            read_rows(path)
    with pytest.raises(BenchError, match="No such file"):
        read_rows(tmp_path / "absent.csv")


TABLES = {
    RD_FILE: RDRow, IQA_FILE: IqaRow, CLASSES_FILE: ClassRow, MEASURES_FILE: MeasureRow, SMOOTHNESS_FILE: SmoothnessRow,
    RECOGNITION_FILE: RecognitionRow, NETWORKS_FILE: NetworkRow, PROFILE_FILE: ProfileRow,
}  # fmt: skip


def test_every_table_is_documented():
    assert set(TABLES.values()) == set(TableRow.__subclasses__())


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_documented(name):
    section = DOCS.read_text().split(f"\n## {name}, schema version ")[1].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    fields = [(f"`{column}`", field.description) for column, field in TABLES[name].model_fields.items()]
    assert [(column, description) for column, _, description in cells] == fields


def test_table_iv_stands_beside_the_published_one():
    """SCI at half of DCVC's bits is at -50 %; codecs that the paper does not name are left out."""
    rows = [
        _row(codec=codec, options="", preset="small", rate_point=str(point), psnr=25.0 + 2 * point, bpp=bpp * 2**point)
        for codec, bpp in (("sci", 0.01), ("dcvc", 0.02), ("x265", 0.03))
        for point in range(4)
    ]
    runs = _runs(rows)
    (line,) = table_iv(runs, bd_table(runs.points)).to_dict("records")
    assert line["against"] == "CAAS dcvc (small)"
    assert line["measured [%]"].startswith("-50.0")
    assert (line["published [%]"], line["published against"]) == ("-63.38", "DCVC")
    first, second, report = line["command"].split(" && ")
    assert "--codec sci --" in first and "--rates 0,1,2,3 " in first
    assert "--codec dcvc --" in second
    assert report == "bench report RUN RUN"


def test_table_v_names_the_commands_of_all_curves_that_its_rate_is_matched_to(tmp_path):
    """Both codecs' scores are those at 0.02 bits a spike, the middle of what both cover, so either takes both runs."""
    rows, scores = [], []
    for codec, lowest in (("sci", 0.01), ("dcvc", 0.02)):
        for point, bpp in enumerate((lowest, 2 * lowest)):
            job = f"{codec}{point}".encode().hex().ljust(12, "0")[:12]
            rows.append(_row(job, codec=codec, options="", preset="small", rate_point=str(point), bpp=bpp))
            scores.append(IqaRow(schema_version=1, job=job, metric="niqe", value=5.0 + point, status="ok"))
    write_table(tmp_path / "iqa.csv", IqaRow, scores)
    lines = table_v(_runs(rows, tmp_path)).to_dict("records")
    assert [(line["codec"], line["measured"], line["at bpp"]) for line in lines] == [
        ("CAAS sci (small)", "6.00", "0.02000"), ("CAAS dcvc (small)", "5.00", "0.02000"),
    ]  # fmt: skip
    for line in lines:
        first, second, score, report = line["command"].split(" && ")
        assert "--codec sci --" in first and "--codec dcvc --" in second
        assert (score, report) == ("bench iqa RUN --metrics niqe", "bench report RUN RUN")


def test_the_documented_way_to_read_rows_keeps_their_text(tmp_path, monkeypatch):
    """Names that look like numbers or like nothing, and values that do not exist."""
    (snippet,) = re.findall(r"## Using the rows\n\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    names, psnr = ["00001", "NA", "1e5", "", "None", "1.50"], [30.5, None, 1.0, 2.0, 3.0, 4.0]
    rows = [
        _row(f"00000000000{index}", sequence=name, options=name, psnr=value)
        for index, (name, value) in enumerate(zip(names, psnr, strict=True))
    ]
    write_rows(tmp_path / "results" / "conventional" / "rd.csv", rows)
    monkeypatch.chdir(tmp_path)
    told = {}
    exec(snippet, told)  # noqa: S102
    done = told["done"]
    assert done.sequence.tolist() == names and done.job.tolist() == [row.job for row in rows]
    assert [None if math.isnan(value) else value for value in done.psnr] == psnr
    assert told["means"].index.get_level_values("options").tolist() == sorted(names)
