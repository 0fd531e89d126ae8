"""Matches rate points that a user writes with those that a codec has."""

from __future__ import annotations

import re

from bench.interfaces import Codec, Content, RatePoint, checked
from bench.interfaces.values import plain

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def written_point(text: str) -> RatePoint:
    """Convert text to a number if the number's text is the same; other text, such as ``01`` or ``1e1``, stays text."""
    if _NUMBER.fullmatch(text):
        for kind in (int, float):
            try:
                if str(number := kind(text)) == text:
                    return number
            except ValueError:  # not an integer, or more digits than Python converts
                continue
    return text


def own_point(codec: Codec, content: Content, written: RatePoint) -> RatePoint:
    """The codec's own rate point for what a user wrote: the one with the same text, else the one with the same number.

    So ``37.0`` and ``"37"`` mean the quantiser 37, and ``1`` means the point ``"1"`` of a codec whose points are texts.
    If the codec lists neither, the written point is returned, as an integer if the codec's points are integers;
    `Codec.check_rate_point` then decides.
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
