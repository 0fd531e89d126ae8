"""Loading the authors' checkpoints; an error says which network a wrong file belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from torch import nn

from baselines.neural.memory import keep_freed
from bench.errors import BenchError
from bench.weights import load_into, read_weights

# By network, the name of a tensor that only its checkpoints have.
_SIGNS = {
    "DCVC's inter network": "opticFlow.moduleBasic.0.conv1.weight",
    "DCVC-DC's intra network": "enc.enc_1.0.conv1.weight",
    "DCVC-DC's inter network": "optic_flow.moduleBasic.0.conv1.weight",
    "CompressAI's cheng2020-anchor": "g_a.0.conv1.weight",
    "CompressAI's bmshj2018-hyperprior": "g_a.0.weight",
}
N = TypeVar("N", bound=nn.Module)
# Tables and constants in CompressAI's checkpoints. They may be missing or of any size, since they are computed here.
_COMPUTED = (
    "_offset",
    "_quantized_cdf",
    "_cdf_length",
    "scale_table",
    ".target",
    ".bound",
    ".pedestal",
    ".scale_bound",
)


def load_published(network: N, path: Path) -> N:
    """Load a checkpoint into a network, in evaluation mode.

    Raises
    ------
    BenchError
        If the file is not a checkpoint of this network; the message names the known network that its tensors fit.
    """
    tensors = read_weights(path)
    try:
        load_into(network, tensors, path, optional=_COMPUTED)
    except BenchError as error:
        looks = next((name for name, sign in _SIGNS.items() if sign in tensors), "")
        hint = f"; its names are those of {looks}" if looks not in ("", getattr(network, "published_name", "")) else ""
        raise BenchError(f"{error}{hint}") from None
    keep_freed()
    return network.eval()
