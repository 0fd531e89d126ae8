"""Tables that stand beside rd.csv: typed, versioned, checked when read, written whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bench.errors import BenchError
from bench.runner.store import disk_errors, write_atomic

Row = TypeVar("Row", bound=BaseModel)


def write_table(path: Path, model: type[Row], rows: Iterable[Row]) -> None:
    """Write rows with the model's fields as columns; None is an empty cell."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(model.model_fields)
    writer.writerows(["" if value is None else value for value in row.model_dump().values()] for row in rows)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue().encode())


def read_table(path: Path, model: type[Row]) -> list[Row]:
    """Read and check rows.

    Raises
    ------
    BenchError
        If the file is missing, has other columns, or a cell is wrong (named by line and column).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: {error}") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if list(reader.fieldnames or ()) != list(model.model_fields):
        raise BenchError(f"{path}: its columns are not those of this version of the suite (docs/results.md)")
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    rows = []
    for record in reader:
        values: dict[str, object] = {key: cell for key, cell in record.items() if cell != "" or key not in optional}
        version = str(values.get("schema_version"))
        values["schema_version"] = int(version) if version.isdecimal() else version
        try:
            rows.append(model.model_validate(values))
        except ValidationError as error:
            first = error.errors()[0]
            raise BenchError(f"{path}, line {reader.line_num}, column {first['loc'][0]}: {first['msg']}") from None
    return rows
