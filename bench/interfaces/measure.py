"""What a measure is called, how it is printed, and whether curves are compared by it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Names of measures: columns of tables.
MEASURE_NAME = r"^[a-z][a-z0-9_]{0,39}$"
_Words = Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z%][^\x00-\x1f\x7f]*$")]


class Measure(BaseModel):
    """A figure that results are judged by.

    Attributes
    ----------
    name
        Its column: small letters, digits and ``_``.
    heading, unit
        What stands above its column and beside its axis.
    digits
        Decimals that tables print.
    quality
        Whether RD curves are drawn and BD-rates computed over it. More is then better; of an error, give its negative
        or a figure in dB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=MEASURE_NAME)
    heading: _Words
    unit: _Words | None = None
    digits: int = Field(default=4, ge=0, le=9)
    quality: bool = False

    @property
    def title(self) -> str:
        """The heading with the unit."""
        return f"{self.heading} [{self.unit}]" if self.unit else self.heading
