"""What components return, as plain values; what cannot be turned into them is refused in their author's words."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.interfaces.component import Component


def plain(value: Any) -> Any:
    """A NumPy scalar, or an array of one value, as Python's own number or text; anything else as it is."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def stated(component: Component, attribute: str) -> str:
    """A text that a component states of itself; empty for None."""
    value = getattr(component, attribute)
    if value is not None and not isinstance(value, str):
        raise wrong(component, attribute, "text", value)
    return str(value or "")


def stated_weights(component: Component) -> str:
    """A component's `weights_sha256`, in hex or empty."""
    text = stated(component, "weights_sha256")
    try:
        bytes.fromhex(text)
    except ValueError:
        raise wrong(component, "weights_sha256", "digits in hex", text) from None
    return text


def as_bytes(component: Component, method: str, value: object) -> bytes:
    """Bytes from whatever holds bytes."""
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.tobytes()
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong(component, method, "bytes", value)
    return bytes(value)


def as_number(component: Component, method: str, value: Any) -> float:
    """A number from whatever is one, such as a tensor of one value."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise wrong(component, method, "a number", value) from None


def as_array(component: Component, method: str, value: object) -> np.ndarray:
    """An array of real numbers, not empty, from an array, a tensor or a list."""
    try:
        array = np.asarray(value)
    except Exception:  # rows of different lengths, a tensor of another device, anything
        array = np.array(None)
    if array.dtype.kind not in "fiub" or 0 in array.shape:
        raise wrong(component, method, "an array of numbers", value)
    return array


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as it is read."""
    return " x ".join(map(str, shape)) or "a single value"


def wrong(component: Component, method: str, wanted: str, value: object) -> BenchError:
    """The line for a component's author: what a method gave, and what it must give."""
    given = f"{value!r:.60}" if isinstance(value, str | int | float) else type(value).__name__
    if isinstance(value, np.ndarray):
        given = f"{shape_text(value.shape)} of {value.dtype}"
    return BenchError(f"{component.name}: {method} must give {wanted}, not {given}")
