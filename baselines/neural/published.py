"""Loading the authors' checkpoints; a file of another network is named for what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from baselines.neural.memory import keep_freed
from baselines.neural.weights import load_into, nearest_network, read_weights
from bench.errors import BenchError

N = TypeVar("N", bound=nn.Module)
# Tables of CompressAI's checkpoints, which have any size and are computed here, and its constants.
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
        If the file is not a checkpoint of this network, saying of which known one it looks to be.
    """
    tensors = read_weights(path)
    try:
        load_into(network, tensors, path, optional=_COMPUTED)
    except BenchError as error:
        nearest = nearest_network(tensors, {name: list(make().state_dict()) for name, make in _known().items()})
        hint = f"; its names are those of {nearest}" if nearest and nearest != _name(network) else ""
        raise BenchError(f"{error}{hint}") from None
    keep_freed()
    return network.eval()


def _known() -> dict[str, Callable[[], nn.Module]]:
    from baselines.dcvc import image as dcvc_image
    from baselines.dcvc import video as dcvc_video
    from baselines.dcvc_dc import image as dc_image
    from baselines.dcvc_dc import video as dc_video

    networks = (
        dc_image.ImageNetwork, dc_video.VideoNetwork, dcvc_video.VideoNetwork, dcvc_image.Cheng2020Anchor,
        dcvc_image.ScaleHyperprior,
    )  # fmt: skip
    return {_name(network): network for network in networks}


def _name(network: nn.Module | type[nn.Module]) -> str:
    return str(getattr(network, "published_name", ""))
