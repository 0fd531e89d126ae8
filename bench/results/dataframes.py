"""Tables of results as data frames, read column by column, and Parquet copies of the large ones.

    rd.parquet, if it was made from this rd.csv ─────┐
    rd.csv ── if plain ── read by columns ───────────┼──> DataFrame
           └─ otherwise ── `tables.read_table` ──────┘

The fast reader by columns accepts only cells that are written as the suite writes them. Anything else it leaves to
the reader by rows, which decides whether the cell is valid and names line and column if not. So a file that the fast
reader accepts is one that the reader by rows accepts too, with the same values.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import pandas as pd
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench.errors import one_line
from bench.files import disk_errors, write_atomic
from bench.results.tables import FORMULA, check_text, earlier_columns, read_table, read_text, whole_lines

if TYPE_CHECKING:
    import pyarrow as pa

# Number of rows from which a run gets a Parquet file. Smaller CSV files are read in a fraction of a second.
PARQUET_ROWS = 50_000

_DIGEST = b"sha256 of the CSV"
_BLOCK = 1 << 24
_INTEGER = r"^-?[0-9]{1,18}$"
_NUMBER = r"^-?([0-9]{1,40}(\.[0-9]{1,40})?(e[-+]?[0-9]{1,3})?|inf)$"
_PLAIN = r"^([!-~]+( [!-~]+)*)?$"  # words with one blank between them


class _OddError(Exception):
    """The table has something that only the reader by rows can judge."""


def read_frame(
    path: Path, model: type[BaseModel], columns: Sequence[str] | None = None, repeated: Sequence[str] = ()
) -> pd.DataFrame:
    """Read and check a whole table.

    Parameters
    ----------
    path
        The CSV file; a Parquet file next to it that was made from it is read instead.
    model
        What a row of the table is.
    columns
        The columns to return; all by default. Read from CSV, the cells of all columns are checked nevertheless.
    repeated
        Text columns with few different values: they are returned as categoricals with sorted categories.

    Returns
    -------
    pandas.DataFrame
        One line per row. A missing number is NaN.

    Raises
    ------
    BenchError
        See `tables.read_table`.
    """
    import pyarrow as pa

    names = list(columns or model.model_fields)
    encoded = [name for name in names if name in repeated]
    table = _read_parquet(path, model, names, encoded)
    if table is None:
        try:
            table = _columns(read_text(path), model).select(names)
        except (_OddError, pa.ArrowException):
            frame = _from_rows(path, model)[names]
            return frame.assign(**{name: frame[name].astype("category") for name in encoded})
        for name in encoded:
            table = table.set_column(names.index(name), name, table[name].dictionary_encode())
    frame = table.unify_dictionaries().to_pandas()
    return frame.assign(**{name: _sorted(frame[name]) for name in encoded})


def parquet_path(path: Path) -> Path:
    """Path of the Parquet copy of a CSV table."""
    return path.with_suffix(".parquet")


def write_parquet(path: Path, model: type[BaseModel], least: int = PARQUET_ROWS) -> Path | None:
    """Write a Parquet copy of a finished CSV table next to it, which is read faster; the CSV file stays the reference.

    Parameters
    ----------
    path, model
        The CSV file, and what a row of it is.
    least
        Number of rows from which a copy is written.

    Returns
    -------
    The Parquet file; None where the table has fewer than `least` rows, or cells that only the reader by rows accepts.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_text(path)
    if data.count(b"\n") <= least:
        return None
    try:
        table = _columns(data, model)
    except (_OddError, pa.ArrowException):
        return None
    if table.num_rows < least:
        return None
    buffer = io.BytesIO()
    table = table.replace_schema_metadata(_facts(hashlib.sha256(data).hexdigest(), model))
    pq.write_table(table, buffer, compression="zstd")
    with disk_errors(path.parent):
        write_atomic(parquet_path(path), buffer.getvalue())
    return parquet_path(path)


def _facts(digest: str, model: type[BaseModel]) -> dict[bytes, bytes]:
    """Metadata of a Parquet copy: hashes of the CSV file and of the schema that it was checked against."""
    schema = json.dumps(model.model_json_schema(), sort_keys=True).encode()
    return {_DIGEST: digest.encode(), b"sha256 of the schema": hashlib.sha256(schema).hexdigest().encode()}


def _read_parquet(path: Path, model: type[BaseModel], names: list[str], encoded: list[str]) -> pa.Table | None:
    """Columns of the Parquet copy; None where there is none, or it was made from another CSV file or schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    beside = parquet_path(path)
    if not beside.exists():
        return None
    try:
        schema = pq.read_schema(beside)
        with path.open("rb") as csv_file, pq.ParquetFile(beside, read_dictionary=encoded) as file:
            facts = _facts(hashlib.file_digest(csv_file, "sha256").hexdigest(), model)
            row_schema = pa.schema([(name, _type(_kinds(field))) for name, field in model.model_fields.items()])
            if not facts.items() <= (schema.metadata or {}).items() or not schema.equals(row_schema):
                return None
            table = file.read(columns=names).select(names)
        for name in names:  # the file may come from someone else, as the CSV may: check it, too
            values = table[name].cast(_type(_kinds(model.model_fields[name])))  # texts in dictionary encoding
            _check_values(values, model.model_fields[name])
    except (OSError, _OddError, pa.ArrowException):
        return None
    return table


def _check_values(values: pa.ChunkedArray, field: FieldInfo) -> None:
    """Raise `_OddError` unless the validators of the model would accept all these typed values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = _kinds(field)
    if values.null_count and type(None) not in kinds:
        raise _OddError
    if get_origin(field.annotation) is Literal:
        _require(pc.is_in(pc.unique(values), value_set=pa.array(get_args(field.annotation))))
    if str in kinds:
        _check_texts(pc.unique(values), field)
    else:
        for limit in field.metadata:
            _require(_within(values, limit))


def _sorted(column: pd.Series) -> pd.Series:
    """A categorical column with sorted categories."""
    return column.cat.set_categories(sorted(column.cat.categories))


def _from_rows(path: Path, model: type[BaseModel]) -> pd.DataFrame:
    """Read the table with the reader by rows, into the same column types."""
    frame = pd.DataFrame([row.model_dump() for _, row in read_table(path, model)], columns=list(model.model_fields))
    kinds = {name: _kinds(field) for name, field in model.model_fields.items()}
    numbers = {name: "float64" for name, kind in kinds.items() if frame[name].dtype == object and float in kind}
    numbers |= {name: "float64" for name, kind in kinds.items() if frame[name].dtype == object and kind > {int}}
    return frame.astype(numbers)


def _kinds(field: FieldInfo) -> set[Any]:
    """The Python types of a field's values; for a Literal, the types of its values."""
    if get_origin(field.annotation) is Literal:
        return {type(value) for value in get_args(field.annotation)}
    return set(get_args(field.annotation)) or {field.annotation}


def _type(kinds: set[Any]) -> pa.DataType:
    """The Arrow type of a column whose values have these Python types."""
    import pyarrow as pa

    return pa.string() if str in kinds else pa.float64() if float in kinds else pa.int64()


def _columns(data: bytes, model: type[BaseModel]) -> pa.Table:
    """The typed columns of a plain CSV file; raises `_OddError` if the file is not plain."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    data = whole_lines(data)
    head, _, _ = data.partition(b"\n")
    names = next((names for names in earlier_columns(model) if head == ",".join(names).encode()), None)
    if names is None:
        raise _OddError
    texts = arrow_csv.read_csv(
        pa.BufferReader(pa.py_buffer(data).slice(len(head) + 1)),
        arrow_csv.ReadOptions(column_names=names, block_size=_BLOCK),
        arrow_csv.ParseOptions(newlines_in_values=True),
        arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    return pa.table(
        {
            name: _column(texts[name], field) if name in names else _absent(field, texts.num_rows)
            for name, field in model.model_fields.items()
        }
    )


def _absent(field: FieldInfo, count: int) -> pa.Array:
    """A column that the table's version does not have yet: filled with its default."""
    import pyarrow as pa

    return pa.array([field.default] * count, _type(_kinds(field)))


def _column(texts: pa.ChunkedArray, field: FieldInfo) -> pa.ChunkedArray:
    """A column of texts, converted to the type of its field."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = _kinds(field)
    missing = type(None) in kinds
    if kinds - {int, float, str, type(None)} or (missing and (field.default is not None or str in kinds)):
        raise _OddError
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > csv.field_size_limit():
        raise _OddError
    if str in kinds:
        if not (field.is_required() or field.default == ""):
            raise _OddError
        _check_values(texts, field)
        return texts
    if missing:
        texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    _require(pc.match_substring_regex(texts, _NUMBER if float in kinds else _INTEGER))
    values = texts.cast(_type(kinds))
    _check_values(values, field)
    return values


def _check_texts(texts: pa.Array, field: FieldInfo) -> None:
    """Raise `_OddError` unless the validators would accept all texts unchanged; unusual texts one by one."""
    import pyarrow.compute as pc

    for item in field.metadata:
        if not getattr(item, "pattern", None):
            raise _OddError
        _require(pc.match_substring_regex(texts, item.pattern))
    formula = pc.match_substring_regex(texts, f"^({FORMULA.pattern})")
    plain = pc.and_(pc.match_substring_regex(texts, _PLAIN), pc.invert(formula))
    try:
        for text in texts.filter(pc.invert(plain)).to_pylist():
            if check_text(text) != one_line(text):
                raise _OddError
    except ValueError:
        raise _OddError from None


def _within(values: pa.ChunkedArray, limit: object) -> pa.ChunkedArray:
    """Which values respect a limit of their field; raises `_OddError` for a limit of another kind."""
    import pyarrow.compute as pc

    match limit:
        case Ge(ge=bound):
            return pc.greater_equal(values, bound)
        case Gt(gt=bound):
            return pc.greater(values, bound)
        case Le(le=bound):
            return pc.less_equal(values, bound)
        case Lt(lt=bound):
            return pc.less(values, bound)
    raise _OddError


def _require(right: pa.ChunkedArray) -> None:
    """Raise `_OddError` if a value is false; missing values count as true."""
    import pyarrow.compute as pc

    if pc.all(right).as_py() is False:
        raise _OddError
