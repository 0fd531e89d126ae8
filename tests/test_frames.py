"""Tables as columns: read by either reader, beside as Parquet, put in order."""

import math
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.results.dataframes import read_frame, write_parquet
from bench.results.rows import COLUMNS, ClassRow, RDRow, order_rows, rd_frame, read_rows, write_rows
from bench.results.tables import read_table
from tests.test_results import _row


def _written(path, rows):
    """A table of these rows, some of whose texts need quotes."""
    write_rows(path, rows)
    return path


ROWS = [
    _row(),
    _row("b" * 12, ssim=None, psnr=math.inf, reason='said "no", twice\nand left', options="gop=8,preset=fast"),
    _row("c" * 12, status="failed", bits=None, bpp=None, psnr=None, reason="é, ü"),
]


def _both(path):
    """What either reader makes of a table: values, or the error's words."""
    outcomes = []
    for read in (lambda: [row.model_dump() for _, row in read_table(path, RDRow)], lambda: read_frame(path, RDRow)):
        try:
            frame = pd.DataFrame(read(), columns=list(COLUMNS)).astype(object)
            lines = frame.where(frame.notna(), None).to_numpy().tolist()
            outcomes.append([[float(cell) if isinstance(cell, int) else cell for cell in line] for line in lines])
        except BenchError as error:
            outcomes.append(str(error))
    return outcomes


def test_plain_tables_are_read_by_columns(tmp_path, monkeypatch):
    path = _written(tmp_path / "rd.csv", ROWS)
    by_rows, _ = _both(path)
    monkeypatch.setattr("bench.results.dataframes.read_table", None)
    frame = read_frame(path, RDRow, ["psnr", "bits", "reason", "codec"], ["codec"])
    assert list(frame) == ["psnr", "bits", "reason", "codec"]
    assert frame["codec"].dtype == "category"
    assert frame["psnr"].tolist()[:2] == [ROWS[0].psnr, math.inf] and math.isnan(frame["psnr"][2])
    assert frame["reason"].tolist() == [row.reason for row in ROWS]
    assert _both(path)[1] == by_rows


ODD = [
    b"", b",", b'"', b"\n", b"\r", b"\r\n", b" ", b"0", b"007", b"+1", b"1.0", b"1e999", b"0x1F", b"nan", b"inf", b"-",
    b"9" * 30, b"\x00", b"\xff", b"\xc3\xa9", b"#", b"'", b"1_0", b"\xef\xbb\xbf", b"ok", b"a" * 200_000,
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(ODD), st.integers(0, 3)), min_size=1, max_size=3
    )
)
def test_both_readers_take_the_same_files(changes):
    with tempfile.TemporaryDirectory() as name:
        path = _written(Path(name) / "rd.csv", ROWS)
        data = path.read_bytes()
        for place, piece, gone in changes:
            at = int(place * len(data))
            data = data[:at] + piece + data[at + gone :]
        path.write_bytes(data)
        by_rows, by_columns = _both(path)
        assert by_rows == by_columns


@pytest.mark.parametrize("piece", ODD, ids=repr)
@pytest.mark.parametrize("column", ["schema_version", "segment", "bits", "psnr", "reason", "status", "speed_class"])
def test_both_readers_take_the_same_cells(tmp_path, piece, column):
    path = _written(tmp_path / "rd.csv", ROWS[:1])
    head, line, _ = path.read_bytes().split(b"\n")
    cells = line.split(b",")
    cells[COLUMNS.index(column)] = piece
    path.write_bytes(head + b"\n" + b",".join(cells) + b"\n")
    by_rows, by_columns = _both(path)
    assert by_rows == by_columns


def test_blanks_are_read_alike(tmp_path):
    """Two blanks, and one at either end, in a text that is made one line."""
    path = _written(tmp_path / "rd.csv", ROWS)
    for odd in (b"twice  and", b" twice and", b"twice and left "):
        path.write_bytes(_written(tmp_path / "rd.csv", ROWS).read_bytes().replace(b"twice and", odd))
        by_rows, by_columns = _both(path)
        assert by_rows == by_columns


def test_bounds_hold_by_columns(tmp_path):
    path = tmp_path / "classification.csv"
    path.write_text("schema_version,job,label,predicted,probabilities\n1,0123456789ab,0,-1,0.5 0.5\n")
    with pytest.raises(BenchError, match="line 2, column predicted: Input should be greater than or equal to 0"):
        read_frame(path, ClassRow)
    path.write_text("schema_version,job,label,predicted,probabilities\n1,0123456789ab,0,1,0.5 0.5\n")
    assert read_frame(path, ClassRow)["predicted"].tolist() == [1]


def test_a_parquet_file_counts_while_it_is_of_this_table(tmp_path, monkeypatch):
    path = _written(tmp_path / "rd.csv", ROWS)
    assert write_parquet(path, RDRow) is None  # too few rows
    beside = write_parquet(path, RDRow, least=1)
    assert beside == tmp_path / "rd.parquet"
    frame = rd_frame(path)
    with monkeypatch.context() as patch:
        patch.setattr("bench.results.dataframes.read_text", None)  # the CSV is not parsed
        again = rd_frame(path)
        assert rd_frame(path, ["psnr"]).columns.tolist() == ["psnr"]
    # With a job that would be a path: no less foreign than the CSV, which counts.
    table = pq.read_table(beside)
    bad = pa.array(["../../evil", *table["job"].to_pylist()[1:]])
    forged = {"job": bad, "status": pa.array(["evil"] * 3), "psnr": pa.array(["x"] * 3)}
    for name, column in forged.items():
        pq.write_table(table.set_column(table.column_names.index(name), name, column), beside)
        pd.testing.assert_frame_equal(rd_frame(path), frame)
    beside.unlink()
    pd.testing.assert_frame_equal(rd_frame(path), frame)
    pd.testing.assert_frame_equal(again, frame)
    # Of another table, or damaged: the CSV counts.
    beside = write_parquet(path, RDRow, least=1)
    _written(path, ROWS[:1])
    assert len(rd_frame(path)) == 1
    beside = write_parquet(path, RDRow, least=1)
    for data in (beside.read_bytes()[:-9], b"", b"PAR1"):
        beside.write_bytes(data)
        assert len(rd_frame(path)) == 1


def test_rows_are_put_in_order_from_their_lines(tmp_path):
    path = _written(tmp_path / "rd.csv", [*ROWS, ROWS[0]])
    order_rows(path, ["c" * 12, "b" * 12, "absent", "a" * 12])
    assert read_rows(path) == ROWS[::-1]
    order_rows(path, ["b" * 12])
    assert read_rows(path) == [ROWS[1]]
    order_rows(path, [])
    assert read_rows(path) == []
    assert len(rd_frame(path)) == 0


def test_a_job_twice_is_one_row_where_it_says_the_same(tmp_path):
    path = _written(tmp_path / "rd.csv", [*ROWS, *ROWS])
    assert rd_frame(path, ["job"])["job"].tolist() == [row.job for row in ROWS]
    _written(path, [*ROWS, _row(bits=8)])
    with pytest.raises(BenchError, match=r"line \d: job aaaaaaaaaaaa stands twice with different values"):
        rd_frame(path, ["psnr"])
