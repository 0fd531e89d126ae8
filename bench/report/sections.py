"""Sections of a report: each lies in a module that an entry point of the group ``bench.sections`` names.

Such a module has a tuple SECTIONS of `TableSection` and `PlotSection`; a package adds a table to every report with one
function and one line::

    SECTIONS = (TableSection("my_table", "My table", "How to read it.", 100, lambda given: my_cells(given.runs)),)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

import pandas as pd

from bench.errors import BenchError
from bench.report.pictures import Sheet
from bench.report.rows import Runs
from bench.report.table import Table

_GROUP = "bench.sections"
S = TypeVar("S")


@dataclass(frozen=True)
class Material:
    """What sections are made of.

    Attributes
    ----------
    every, runs
        All rows, and those whose codecs are compared (`Runs.compared`).
    bd
        BD figures of all pairs of curves, the columns of bd.csv.
    tables
        The report's tables, once they are made: what plots may be drawn from.
    """

    every: Runs
    runs: Runs
    bd: pd.DataFrame
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class TableSection:
    """A table.

    Attributes
    ----------
    name, title, note
        See `bench.report.table.Table`.
    place
        Where it stands among the others: tables are shown in the order of these numbers.
    make
        Its cells, with a column ``command``; without lines it is left out.
    """

    name: str
    title: str
    note: str
    place: int
    make: Callable[[Material], pd.DataFrame]

    def table(self, given: Material) -> Table:
        """The table itself."""
        return Table(self.name, self.title, self.note, self.make(given))


@dataclass(frozen=True)
class PlotSection:
    """One plot or several.

    Attributes
    ----------
    draw
        Writes them into a folder, and gives their files.
    in_run
        Whether a run draws them too when it ends.
    """

    draw: Callable[[Material, Path], Iterable[Path]]
    in_run: bool = False


@dataclass(frozen=True)
class SheetSection:
    """Sheets of pictures, and what cannot be drawn, each with the reason."""

    make: Callable[[Material], tuple[list[Sheet], list[tuple[str, str]]]]


def tables(given: Material) -> list[Table]:
    """The tables that have lines, in order."""
    found = sorted(_sections(TableSection), key=lambda section: section.place)
    return [table for table in (section.table(given) for section in found) if not table.cells.empty]


def plots(given: Material, folder: Path, in_run: bool = False) -> list[Path]:
    """Draw plots into a folder: all, or those of a run alone."""
    wanted = (section for section in _sections(PlotSection) if section.in_run or not in_run)
    return [path for section in wanted for path in section.draw(given, folder)]


def sheets(given: Material) -> tuple[list[Sheet], list[tuple[str, str]]]:
    """Sheets of pictures, and what cannot be drawn."""
    made = [section.make(given) for section in _sections(SheetSection)]
    return [sheet for part, _ in made for sheet in part], [reason for _, part in made for reason in part]


def _sections(kind: type[S]) -> Iterator[S]:
    for entry in sorted(entry_points(group=_GROUP), key=lambda entry: entry.name):
        try:
            found = entry.load().SECTIONS
        except Exception as error:  # another package's module may fail in any way
            raise BenchError(f"the report's section '{entry.name}' cannot be loaded: {error}") from error
        yield from (section for section in found if isinstance(section, kind))
