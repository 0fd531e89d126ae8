"""Conversion of values that components return to plain Python and NumPy types, with errors for their authors."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.interfaces.component import Component


def plain(value: Any) -> Any:
    """Convert a NumPy scalar or an array without dimensions to a Python number or text; return others as they are."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def stated(component: Component, attribute: str) -> str:
    """Read an attribute of a component that must be text; None becomes empty."""
    value = getattr(component, attribute)
    if value is not None and not isinstance(value, str):
        raise wrong(component, attribute, "text", value)
    return str(value or "")


def stated_weights(component: Component) -> str:
    """Read a component's `weights_sha256`: hex digits, or empty."""
    text = stated(component, "weights_sha256")
    try:
        bytes.fromhex(text)
    except ValueError:
        raise wrong(component, "weights_sha256", "digits in hex", text) from None
    return text


def as_bytes(component: Component, method: str, value: object) -> bytes:
    """Convert bytes, a bytearray, a memoryview or a uint8 array to bytes."""
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.tobytes()
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong(component, method, "bytes", value)
    return bytes(value)


def as_number(component: Component, method: str, value: Any) -> float:
    """Convert anything that `float` takes, such as a tensor of one value, to a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise wrong(component, method, "a number", value) from None


def as_array(component: Component, method: str, value: object) -> np.ndarray:
    """Convert an array, a tensor or a list to an array of real numbers that is not empty."""
    try:
        array = np.asarray(value)
    except Exception:  # rows of different lengths, a tensor on another device, or anything else
        array = np.array(None)
    if array.dtype.kind not in "fiub" or 0 in array.shape:
        raise wrong(component, method, "an array of numbers", value)
    return array


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as text, such as ``2 x 64 x 64``."""
    return " x ".join(map(str, shape)) or "a single value"


def wrong(component: Component, method: str, requirement: str, value: object) -> BenchError:
    """The error that tells a component's author what a method returned and what it must return."""
    description = f"{value!r:.60}" if isinstance(value, str | int | float) else type(value).__name__
    if isinstance(value, np.ndarray):
        description = f"{shape_text(value.shape)} of {value.dtype}"
    return BenchError(f"{component.name}: {method} must give {requirement}, not {description}")
