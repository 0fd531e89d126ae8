"""Tables of a report, and the files that they are written to."""

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
        Name of its files, without suffix.
    title, note
        Heading, and a sentence on how to read the table; the note may be empty.
    cells
        The table's content. The column ``command`` holds the shell command that measures a line's figures again.
    leading
        Whether the report's README.md shows the table itself; it links the others.
    """

    name: str
    title: str
    note: str
    cells: pd.DataFrame
    leading: bool = False

    @property
    def shown(self) -> pd.DataFrame:
        """The columns for readers: all but ``command``."""
        return self.cells.drop(columns="command", errors="ignore")

    def write(self, folder: Path) -> list[Path]:
        """Write the table as CSV, Markdown and LaTeX; only the CSV file has the commands. Returns the files."""
        paths = [folder / f"{self.name}{suffix}" for suffix in (".csv", ".md", ".tex")]
        self.cells.to_csv(paths[0], index=False)
        head = [f"# {markdown_text(self.title)}", *([self.note] if self.note else []), markdown(self.shown)]
        paths[1].write_text("\n\n".join(head) + "\n", encoding="utf-8")
        paths[2].write_text(self.shown.to_latex(index=False, escape=True), encoding="utf-8")
        return paths


def markdown(cells: pd.DataFrame, index: bool = False) -> str:
    """A Markdown table that shows every cell literally (`markdown_text`), with the index as first column if asked."""
    shown = cells.rename(columns=markdown_text, index=markdown_text).map(markdown_text)
    return str(shown.to_markdown(index=index, disable_numparse=True))


def markdown_text(value: object) -> object:
    """Escape a text so that Markdown makes no HTML, link, picture or cell border of it; values of other types stay."""
    if not isinstance(value, str):
        return value
    return value.replace("<", "&lt;").replace("](", "]\\(").replace("|", "\\|")
