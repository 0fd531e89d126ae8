"""Reads files of weights: safetensors, and PyTorch checkpoints, without executing code that they contain."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS = ("state_dict", "net", "model", "network")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file of weights.

    Returns
    -------
    dict
        Tensors by name, on the CPU. Enclosing dictionaries such as ``state_dict`` and the prefix ``module.`` of names
        are removed.

    Raises
    ------
    BenchError
        If the file is missing or not a checkpoint, or contains code or values that are not finite.
    """
    tensors = _unwrap(_read(path), path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise BenchError(f"{path}: '{name}' holds values that are not finite; the file is damaged")
    return tensors


def check_device(device: str) -> None:
    """Check that torch can use a device on this machine.

    Parameters
    ----------
    device
        ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    BenchError
        If it is another device, or CUDA is not available.
    """
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise BenchError(f"no device '{device}' (cpu, cuda or cuda:N)") from None
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise BenchError(f"no device '{device}' on this machine; leave out the option")


def load_into(
    network: nn.Module, tensors: Mapping[str, Tensor], path: Path | str, optional: Sequence[str] = ()
) -> None:
    """Copy tensors into all parameters and buffers of a network, in place.

    Parameters
    ----------
    path
        The file that the tensors are from, for messages.
    optional
        Suffixes of names that are not loaded: tables that the network computes itself.

    Raises
    ------
    BenchError
        If names or shapes differ; the message gives some of them.
    """
    import torch

    own = {name: value for name, value in network.state_dict().items() if not name.endswith(tuple(optional))}
    file_tensors = {name: value for name, value in tensors.items() if not name.endswith(tuple(optional))}
    missing, extra = sorted(set(own) - set(file_tensors)), sorted(set(file_tensors) - set(own))
    common = sorted(set(own) & set(file_tensors))
    shaped = [
        f"{name} {tuple(file_tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in common
        if file_tensors[name].shape != own[name].shape
    ]
    if missing or extra or shaped:
        raise BenchError(f"{path} is not a checkpoint of this network: {_differences(missing, extra, shaped)}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(file_tensors[name])


@functools.lru_cache(maxsize=8)
def restored(network: type[nn.Module], arguments: tuple[Hashable, ...], path: Path, device: str, sha256: str) -> Any:
    """Create a network with the weights of a file, in evaluation mode. The process keeps the last eight networks.

    Parameters
    ----------
    network, arguments
        Class of the network, and the arguments of its constructor.
    path
        File of the weights.
    device
        Device that the network runs on.
    sha256
        The file's hash, so that a file that changed is read again.
    """
    import torch

    restored_network = network(*arguments)
    load_into(restored_network, read_weights(path), path)
    # In channels-last order, convolutions of few channels take three quarters of the time.
    restored_network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return restored_network.eval()


def _read(path: Path) -> object:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise BenchError(f"{path} is a web page, not a checkpoint; download the file itself")
    if not start:
        raise BenchError(f"{path} is empty")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise BenchError(f"{path} is not a safetensors file: {error}") from None
    except pickle.UnpicklingError as error:
        first = " ".join(str(error).split())
        if "weights_only" in first or "Unsupported" in first:
            raise BenchError(
                f"{path} holds other objects than tensors, and loading them could run code: refused"
            ) from None
        raise BenchError(f"{path} is not a checkpoint: {first[:120]}") from None
    except Exception as error:  # torch raises many types for damaged files
        raise BenchError(f"{path} is not a checkpoint, or is cut off: {' '.join(str(error).split())[:120]}") from None


def _unwrap(loaded: object, path: Path) -> dict[str, Tensor]:
    import torch

    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise BenchError(f"{path} holds no parameters by name ({type(loaded).__name__})")
    return {str(name).removeprefix("module."): value for name, value in loaded.items()}


def _differences(missing: list[str], extra: list[str], shaped: list[str]) -> str:
    parts = []
    for label, names in (("missing", missing), ("extra", extra), ("of other shape", shaped)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{label} {', '.join(names[:3])}{more}")
    return "; ".join(parts)
