"""Tables of a report, and the files that they are written to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
# What a document needs for the tables.
_PREAMBLE = r"""% \usepackage{booktabs, siunitx, etoolbox}
% \robustify\bfseries \sisetup{retain-explicit-plus, detect-weight, mode=text}"""


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
    higher, lower
        Columns whose highest or lowest figure among the lines of a dataset is the best: in LaTeX it is bold, and the
        second underlined.
    """

    name: str
    title: str
    note: str
    cells: pd.DataFrame
    leading: bool = False
    higher: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()

    @property
    def reader_cells(self) -> pd.DataFrame:
        """The columns for readers: all but ``command``."""
        return self.cells.drop(columns="command", errors="ignore")

    def write(self, folder: Path) -> list[Path]:
        """Write the table as CSV, Markdown and LaTeX; only the CSV file has the commands. Returns the files."""
        paths = [folder / f"{self.name}{suffix}" for suffix in (".csv", ".md", ".tex")]
        self.cells.to_csv(paths[0], index=False)
        head = [f"# {markdown_text(self.title)}", *([self.note] if self.note else []), markdown(self.reader_cells)]
        paths[1].write_text("\n\n".join(head) + "\n", encoding="utf-8")
        paths[2].write_text(latex(self.reader_cells, self.higher, self.lower), encoding="utf-8")
        return paths


def markdown(cells: pd.DataFrame, index: bool = False) -> str:
    """A Markdown table that shows every cell literally (`markdown_text`), with the index as first column if asked."""
    texts = cells.rename(columns=markdown_text, index=markdown_text).map(markdown_text)
    return str(texts.to_markdown(index=index, disable_numparse=True))


def latex(cells: pd.DataFrame, higher: Sequence[str] = (), lower: Sequence[str] = ()) -> str:
    """A LaTeX table for booktabs and siunitx: numbers stand in S columns, below one another at the decimal point.

    Parameters
    ----------
    higher, lower
        See `Table`.
    """
    texts = cells.astype(object).where(cells.notna(), "").astype(str).reset_index(drop=True)
    columns = [_number_column(texts[name]) for name in texts]
    styler = texts.style.hide(axis="index").format_index(escape="latex", axis=1)
    for name, number in zip(texts, columns, strict=True):
        styler.format(_in_number_column if number else _minus, escape="latex", subset=[name])
    groups = texts.get("dataset", pd.Series("", texts.index))
    for name in texts.columns.intersection([*higher, *lower]):
        styler.apply(_marks, groups=groups, sign=-1.0 if name in higher else 1.0, subset=[name])
    text = styler.to_latex(hrules=True, siunitx=True, column_format=" ".join(number or "l" for number in columns))
    # siunitx reads no number within \underline; \num sets it as the column would.
    text = re.sub(rf"\\underline{{({_NUMBER.pattern})}}", r"{\\underline{\\num{\1}}}", text)
    return f"{_PREAMBLE}\n{text}"


def _number_column(column: pd.Series) -> str:
    """The siunitx column for a column's numbers; empty where most of its cells are no numbers."""
    filled = column[column.ne("")]
    numbers = [text for text in filled if _NUMBER.fullmatch(text)]
    if not numbers or 2 * len(numbers) < len(filled):
        return ""
    whole = max(len(text.lstrip("+-").partition(".")[0]) for text in numbers)
    decimals = max(len(text.partition(".")[2]) for text in numbers)
    sign = next((sign for sign in "+-" if any(text.startswith(sign) for text in numbers)), "")
    return f"S[table-format={sign}{whole}.{decimals}]"


def _in_number_column(text: str) -> str:
    """A number as it is; siunitx shows any other text that is in braces."""
    return text if _NUMBER.fullmatch(text) or not text else f"{{{_minus(text)}}}"


def _minus(text: str) -> str:
    """A text with the sign for minus in place of a hyphen before a number."""
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", text)


def _marks(column: pd.Series, groups: pd.Series, sign: float) -> list[str]:
    """The marks of a column's cells: the best of each group of several is bold, the second underlined."""
    figures = sign * pd.to_numeric(column, errors="coerce")
    ranks = figures.groupby(groups).rank(method="dense").where(figures.groupby(groups).transform("count") > 1)
    return [{1.0: "bfseries: ;", 2.0: "underline: --rwrap;"}.get(rank, "") for rank in ranks]


def markdown_text(value: object) -> object:
    """Escape a text so that Markdown makes no HTML, link, picture or cell border of it; values of other types stay."""
    if not isinstance(value, str):
        return value
    return value.replace("<", "&lt;").replace("](", "]\\(").replace("|", "\\|")
