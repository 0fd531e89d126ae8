"""The sections of a report: tables, plots, charts and sheets of pictures, which any package may add.

A module with sections has a tuple SECTIONS of `TableSection`, `PlotSection`, `ChartSection` and `SheetSection`; an
entry point of the group ``bench.sections`` names the module. A package adds a table to every report with one function
and one line::

    SECTIONS = (TableSection("my_table", "My table", "How to read it.", 100, lambda material: my_cells(material.runs)),)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

import pandas as pd

from bench.errors import BenchError
from bench.report.charts import Chart
from bench.report.pictures import Sheet
from bench.report.rows import Runs
from bench.report.table import Table

_GROUP = "bench.sections"
S = TypeVar("S")


@dataclass(frozen=True)
class Material:
    """The input of every section.

    Attributes
    ----------
    every, runs
        All rows, and the rows that codecs are compared by (`Runs.compared`).
    bd
        BD figures of all pairs of curves, with the columns of bd.csv.
    tables
        The report's tables, for what is made from them. While the tables are being built: those of a lower `place`.
    """

    every: Runs
    runs: Runs
    bd: pd.DataFrame
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class TableSection:
    """A section that is one table.

    Attributes
    ----------
    name, title, note
        See `bench.report.table.Table`.
    place
        Position in the report: tables are shown by rising `place`.
    make
        Function that returns the cells, with a column ``command`` (see `Table`). A table without lines is left out.
    leading, higher, lower
        See `bench.report.table.Table`.
    """

    name: str
    title: str
    note: str
    place: int
    make: Callable[[Material], pd.DataFrame]
    leading: bool = False
    higher: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()

    def table(self, material: Material) -> Table:
        """Build the table."""
        cells = self.make(material)
        return Table(self.name, self.title, self.note, cells, self.leading, self.higher, self.lower)


@dataclass(frozen=True)
class PlotSection:
    """A section of one or more plots.

    Attributes
    ----------
    draw
        Function that writes the plots into a folder and returns the paths of their files.
    in_run
        Whether the plots are also drawn at the end of a run, into the run's own folder.
    """

    draw: Callable[[Material, Path], Iterable[Path]]
    in_run: bool = False


@dataclass(frozen=True)
class ChartSection:
    """A section of charts, which the page draws.

    Attributes
    ----------
    make
        Function that returns the charts.
    """

    make: Callable[[Material], Iterable[Chart]]


@dataclass(frozen=True)
class SheetSection:
    """A section of picture sheets.

    Attributes
    ----------
    make
        Function that returns the sheets, and a pair (figure, reason) for each one that cannot be drawn.
    """

    make: Callable[[Material], tuple[list[Sheet], list[tuple[str, str]]]]


def tables(material: Material) -> list[Table]:
    """Build the tables of all sections by rising `place`; tables without lines are left out."""
    done: list[Table] = []
    for section in sorted(_sections(TableSection), key=lambda section: section.place):
        table = section.table(replace(material, tables=tuple(done)))
        done += [] if table.cells.empty else [table]
    return done


def plots(material: Material, folder: Path, in_run: bool = False) -> list[Path]:
    """Draw the plots of all sections into a folder, with `in_run` only those of a run; returns their files."""
    plot_sections = (section for section in _sections(PlotSection) if section.in_run or not in_run)
    return [path for section in plot_sections for path in section.draw(material, folder)]


def charts(material: Material) -> list[Chart]:
    """The charts of all sections."""
    return [chart for section in _sections(ChartSection) for chart in section.make(material)]


def sheets(material: Material) -> tuple[list[Sheet], list[tuple[str, str]]]:
    """The sheets of all sections, and a pair (figure, reason) for each one that cannot be drawn."""
    parts = [section.make(material) for section in _sections(SheetSection)]
    return [sheet for part, _ in parts for sheet in part], [reason for _, part in parts for reason in part]


def _sections(kind: type[S]) -> Iterator[S]:
    """The sections of one kind from all modules, in the order of the entry points' names."""
    for entry in sorted(entry_points(group=_GROUP), key=lambda entry: entry.name):
        try:
            sections = entry.load().SECTIONS
        except Exception as error:  # importing another package's module may raise anything
            raise BenchError(f"the report's section '{entry.name}' cannot be loaded: {error}") from error
        yield from (section for section in sections if isinstance(section, kind))
