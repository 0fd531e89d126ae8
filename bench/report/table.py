"""A table of a report, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes
    ----------
    name
        Of its files, without suffix.
    title, note
        What it shows, and how to read it.
    cells
        With a column ``command``, which measures a line's figures again.
    """

    name: str
    title: str
    note: str
    cells: pd.DataFrame

    @property
    def shown(self) -> pd.DataFrame:
        """What a reader sees."""
        return self.cells.drop(columns="command")

    def write(self, folder: Path) -> list[Path]:
        """Write it as CSV, with the commands, and as Markdown and LaTeX, without."""
        return write_table(self.cells, self.shown, folder / self.name)


def write_table(cells: pd.DataFrame, shown: pd.DataFrame, target: Path) -> list[Path]:
    """Write cells as CSV, and what is shown of them as Markdown and LaTeX."""
    paths = [target.with_suffix(suffix) for suffix in (".csv", ".md", ".tex")]
    cells.to_csv(paths[0], index=False)
    paths[1].write_text(markdown(shown) + "\n", encoding="utf-8")
    paths[2].write_text(shown.to_latex(index=False, escape=True), encoding="utf-8")
    return paths


def markdown(cells: pd.DataFrame, index: bool = False) -> str:
    """Cells as they are, as a Markdown table."""
    shown = cells.rename(columns=markdown_text, index=markdown_text).map(markdown_text)
    return str(shown.to_markdown(index=index, disable_numparse=True))


def markdown_text(value: object) -> object:
    """A text that Markdown shows as it is: no HTML, no link, no picture, no other cell; other values are left alone."""
    if not isinstance(value, str):
        return value
    return value.replace("<", "&lt;").replace("](", "]\\(").replace("|", "\\|")
