"""The paper's own figures, to stand beside measured ones."""

from __future__ import annotations

import csv
from importlib import resources


def published() -> list[dict[str, str]]:
    """The paper's own figures: table, row, column, value, unit, note. They never enter a computation."""
    with (resources.files("bench") / "published" / "sci.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
