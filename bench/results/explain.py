"""``bench explain``: the command that measures a row, or a line of a report's table, again."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError, one_line
from bench.interfaces import RatePoint, join_names
from bench.paths import user_path
from bench.results.document import origin, read_run_file
from bench.results.rows import RD_FILE, RDRow, codec_spec, rd_frame
from bench.results.shell import commands, flag

# A command names at most this many sequences; more are given by their number where that selects the same ones.
_MANY = 20


def explain_row(name: str, results: Path) -> Iterator[str]:
    """Lines of text on a row: its values, its condition card, what made it, and the command that measures it again.

    Parameters
    ----------
    name, results
        See `find_row`.

    Raises
    ------
    BenchError
        If no run has such a row.
    """
    folder, row = find_row(name, results)
    document = read_run_file(folder)
    yield f"row {row.job} of {folder}"
    for column, value in row.model_dump().items():
        if value not in (None, ""):
            yield f"  {column} = {value}"
    yield f"condition {row.condition} = {json.dumps(document['conditions'].get(row.condition, {}))}"
    facts = document["provenance"][-1]
    yield f"made by suite {facts['suite']} at commit {facts['git_commit'] or 'unknown'}, {facts['processor']}"
    yield "command that makes it again:"
    yield "  " + command_for(row.model_dump(), document, [row.rate_point], [row.sequence])


def find_row(name: str, results: Path) -> tuple[Path, RDRow]:
    """Find a row by its job.

    Parameters
    ----------
    name
        A job's id, or RUN#ID with the folder of the run that has it.
    results
        Folder whose runs are searched where `name` has no RUN.

    Returns
    -------
    tuple
        The run's folder, and the row.

    Raises
    ------
    BenchError
        If no run has such a row, or the table of RUN cannot be read.
    """
    run, _, job = name.rpartition("#")
    folders = [user_path(run)] if run else sorted(path.parent for path in results.glob(f"*/{RD_FILE}"))
    for folder in folders:
        try:
            rows = rd_frame(folder / RD_FILE)
        except BenchError:
            if run:
                raise
            continue  # a damaged table of one run must not hide the row of another
        matches = rows[rows["job"] == job].astype(object)
        for row in matches.where(matches.notna(), None).to_dict("records"):
            return folder, RDRow(**row)
    where = run or f"{results}/*"
    raise BenchError(f"no row '{job}' in {where}; the column `job` of rd.csv names the rows")


def command_for(
    row: Mapping[str, Any], document: dict[str, Any], rates: Iterable[str], sequences: Iterable[str]
) -> str:
    """The shell command that measures a row again, at these rate points and with these sequences."""
    before, after = command_around(row, document)
    names = list(dict.fromkeys(sequences))
    flags = {"--rates": join_names(dict.fromkeys(rates)), **_sequence_flags(names, document)}
    return f"{before} {_flags(flags)} {after}"


def command_around(row: Mapping[str, Any], document: dict[str, Any]) -> tuple[str, str]:
    """The two parts of that command: the text before and the text after rate points and sequences.

    Raises
    ------
    BenchError
        If run.json has no condition card for the row.
    """
    if row["condition"] not in document["conditions"]:
        raise BenchError(f"run.json has no condition card {row['condition']}, which row {row['job']} names")
    card = document["conditions"][row["condition"]]
    before: dict[str, RatePoint] = {
        "--paradigm": origin(document, "paradigms", row["paradigm"]),
        "--codec": origin(document, "codecs", codec_spec(row["codec"], row["options"])),
        "--dataset": origin(document, "datasets", row["dataset"]),
        "--extractor": origin(document, "extractors", row["extractor"]),
        "--analyzer": origin(document, "analyzers", row["analyzer"]),
        "--task": origin(document, "tasks", row["task"]),
    }
    after: dict[str, RatePoint] = {
        "--segments": _segments(document),
        "--frames": card["num_frames"],
        "--stride": card["stride"],
        "--margin": card["margin"],
        "--intra-period": card["coding"]["intra_period"],
        "--structure": card["coding"]["structure"],
        "--seed": row["seed"],
    }
    return "bench run " + _flags(before), _flags(after)


def _flags(arguments: Mapping[str, RatePoint]) -> str:
    return " ".join(flag(key, value) for key, value in arguments.items())


def row_commands(name: str, results: Path) -> list[str]:
    """The one command that measures a row again; see `explain_row`."""
    folder, row = find_row(name, results)
    return [command_for(row.model_dump(), read_run_file(folder), [row.rate_point], [row.sequence])]


def explain_cell(place: str) -> Iterator[str]:
    """Lines of text on a line of a report's table: its cells, and the commands that measure its figures again.

    Parameters
    ----------
    place
        FILE.csv:LINE; the first line below the header is 1.

    Raises
    ------
    BenchError
        If there is no such table or line, or its command is not one of this suite.
    """
    cells, parts = _cell(place)
    name, _, number = place.rpartition(":")
    yield f"line {number} of {user_path(name)}"
    for column, value in cells.items():
        if value:
            yield f"  {one_line(str(column))} = {one_line(str(value))}"
    yield "commands that give its measured figures again:"
    yield from (f"  {part}" for part in parts)


def cell_commands(place: str) -> list[str]:
    """The commands that measure the figures of a line of a report's table again; see `explain_cell`."""
    return _cell(place)[1]


def _cell(place: str) -> tuple[dict[str, str], list[str]]:
    """The cells of a line of a report's table, and its commands."""
    name, _, number = place.rpartition(":")
    path = user_path(name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not number.isdecimal() or not 1 <= int(number) <= len(lines):
        raise BenchError(f"{path} has no line '{number}' (it has 1 to {len(lines)})")
    line = lines[int(number) - 1]
    command = line.pop("command", None)
    if not command:
        raise BenchError(f"{path} is not a report's table: it has no column `command`")
    try:
        return line, commands(command)
    except ValueError as error:
        raise BenchError(f"{path}, line {number}: its command is refused: {error}") from None


def _sequence_flags(names: Sequence[str], document: dict[str, Any]) -> dict[str, RatePoint]:
    """Flags that select the sequences: ``--limit N`` for many where a grid took the first N, else their names."""
    limits = {grid.get("limit") for grid in document["grids"] if not grid.get("sequences")}
    if len(names) > _MANY and len(names) in limits:
        return {"--limit": len(names)}
    return {"--sequences": join_names(names), "--limit": 0}


def _segments(document: dict[str, Any]) -> int:
    """The largest number of segments among the run's grids (0: all), with which every row's segment is measured."""
    counts = [int(grid["segments"]) for grid in document["grids"]]
    return 0 if 0 in counts else max(counts)
