"""A measure of a task: its name, how tables print it, and whether RD curves are drawn over it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# A measure's name is a column of tables.
MEASURE_NAME = r"^[a-z][a-z0-9_]{0,39}$"
_Words = Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z%][^\x00-\x1f\x7f]*$")]


class Measure(BaseModel):
    """A figure that results are judged by.

    Attributes
    ----------
    name
        Name of its column: lower-case letters, digits and ``_``, at most 40.
    heading, unit
        Text above its column and beside its axis, and the unit there.
    digits
        Number of decimals in tables.
    quality
        Whether RD curves and BD-rates use it. A larger value must then be better: turn an error into its negative, or
        into dB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=MEASURE_NAME)
    heading: _Words
    unit: _Words | None = None
    digits: int = Field(default=4, ge=0, le=9)
    quality: bool = False

    @property
    def title(self) -> str:
        """The heading with the unit in brackets."""
        return f"{self.heading} [{self.unit}]" if self.unit else self.heading
