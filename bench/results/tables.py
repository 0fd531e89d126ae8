"""CSV tables of results: a model gives the types of the columns, every table has a version, every cell is checked."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import BenchError, one_line
from bench.files import disk_errors, write_atomic

Row = TypeVar("Row", bound=BaseModel)

# A job's id is part of file names, so only hexadecimal digits may stand in it.
JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
# Beginnings of a text that a spreadsheet would take for a formula.
FORMULA = re.compile(r"[=+@]|-.*[(|!]")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be printed")
    return text


def check_text(text: str) -> str:
    """Return the text if a table may hold it.

    Raises
    ------
    ValueError
        If it has characters that cannot be printed, or a spreadsheet would take it for a formula.
    """
    if FORMULA.match(_printable(text)):
        raise ValueError("a spreadsheet would take it for a formula")
    return text


Printable = Annotated[str, AfterValidator(_printable)]


class TableRow(BaseModel):
    """Base of the rows of all tables: it has their version, refuses unknown columns and checks texts (`check_text`).

    Attributes
    ----------
    later
        Columns that were added after version 1 of the table, each with the version that added it. Each has a default,
        which rows of earlier versions get.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    later: ClassVar[Mapping[str, int]] = {}

    schema_version: Literal[1] = Field(description="Version of this table; 1.")

    @field_validator("reason", mode="before", check_fields=False)
    @classmethod
    def _reason_is_one_line(cls, value: object) -> object:
        return one_line(value) if isinstance(value, str) else value

    @field_validator("*")
    @classmethod
    def _text_is_text(cls, value: object) -> object:
        return check_text(value) if isinstance(value, str) else value


def header(model: type[BaseModel]) -> str:
    """The first line of a table: the names of the model's fields."""
    return _line(model.model_fields)


def earlier_columns(model: type[BaseModel]) -> Iterator[list[str]]:
    """The columns of each version of a table that can be read, the newest version first."""
    later = model.later if issubclass(model, TableRow) else {}
    for version in range(max(later.values(), default=1), 0, -1):
        yield [name for name in model.model_fields if later.get(name, 1) <= version]


def row_line(row: BaseModel) -> str:
    """A row as one CSV line; None and NaN become empty cells, floats are written with all their digits."""
    return _line(_cell(value) for value in row.model_dump().values())


def write_table(path: Path, model: type[Row], rows: Iterable[Row]) -> None:
    """Write a whole table; its folder is created if need be.

    Raises
    ------
    FatalError
        If the disk is full or refuses the file.
    """
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, (header(model) + "".join(map(row_line, rows))).encode())


def read_table(path: Path, model: type[Row]) -> Iterator[tuple[int, Row]]:
    """Read and check rows one by one; gives pairs of line number and row.

    A last line without a line end, which a killed run may leave, is ignored.

    Raises
    ------
    BenchError
        If the file is missing, its columns are not those of the model, or a cell is wrong; the message names line and
        column.
    """
    try:
        text = whole_lines(read_text(path)).decode()
    except UnicodeDecodeError:
        raise BenchError(f"{path} is not a CSV file of this suite (not UTF-8 text)") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = list(reader.fieldnames or ())
        if columns not in earlier_columns(model):
            raise BenchError(f"{path}: its columns differ, and other columns are not read (see docs/results.md)")
        optional = {name for name, field in model.model_fields.items() if not field.is_required()}
        for record in reader:
            yield reader.line_num, _parse(f"{path}, line {reader.line_num}", model, optional, record)
    except csv.Error as error:
        raise BenchError(f"{path}, line {reader.line_num}: {error}") from None


def read_text(path: Path) -> bytes:
    """The bytes of a table's file, without a byte order mark.

    Raises
    ------
    BenchError
        If it is missing or unreadable.
    """
    try:
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)  # spreadsheets write one
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None


def whole_lines(data: bytes) -> bytes:
    """The complete lines of a table: line ends become line feeds, and a last line without one is dropped."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data[: data.rfind(b"\n") + 1]


def _parse(place: str, model: type[Row], optional: set[str], record: dict[str, Any]) -> Row:
    """The row of a CSV record; empty cells of optional columns get the default. Errors name the place."""
    values = {key: text for key, text in record.items() if text != "" or key not in optional}
    if None in values or None in values.values():
        raise BenchError(f"{place}: {len(record.keys() - {None})} cells expected")
    try:
        return model.model_validate({**values, "schema_version": int(values["schema_version"])})
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchError(f"{place}, column {first['loc'][0]}: {first['msg']}") from None
    except ValueError:
        raise BenchError(f"{place}, column schema_version: not a number") from None


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
