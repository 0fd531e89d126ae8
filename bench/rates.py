"""Rate points between what a user writes, what a codec has and what a row says."""

from __future__ import annotations

import re

from bench.interfaces import Codec, Content, RatePoint, checked
from bench.interfaces.values import plain

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def written_point(text: str) -> RatePoint:
    """A rate point as a user wrote it: a number where the same text comes of it, else text (``01``, ``1e1``)."""
    if _NUMBER.fullmatch(text):
        for kind in (int, float):
            try:
                if str(number := kind(text)) == text:
                    return number
            except ValueError:  # no whole number, or more digits than Python reads
                continue
    return text


def own_point(codec: Codec, content: Content, written: RatePoint) -> RatePoint:
    """The codec's own rate point that was meant: the one of the same text, else of the same number.

    ``37.0`` and ``"37"`` are the quantiser 37, and ``1`` is the point ``"1"`` of a codec whose points are texts. Where
    the codec lists no such point, whole numbers are whole; the codec says whether it takes them.
    """
    text, number = str(written), _number(written)
    points = (*checked.rate_points(codec, content), *map(plain, getattr(codec, "rate_points", ())))
    for own in points:
        if str(own) == text:
            return own
    if number is None:
        return written
    for own in points:
        if _number(own) == number:
            return own
    whole = any(isinstance(own, int) for own in points) and number.is_integer()
    return int(number) if whole else written


def _number(point: RatePoint) -> float | None:
    return float(point) if _NUMBER.fullmatch(str(point)) else None
