"""The paper's own figures, to stand beside measured ones."""

from __future__ import annotations

import csv
from importlib import resources


def published() -> list[dict[str, str]]:
    """The paper's own figures: table, row, column, value, unit, note. They never enter a computation."""
    with (resources.files("bench") / "published" / "sci.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stated(table: str) -> dict[tuple[str, str], str]:
    """One of the paper's tables: values as printed, by row and column."""
    return {(line["row"], line["column"]): line["value"] for line in published() if line["table"] == table}
