"""The models of CompressAI's zoo as codecs, with checkpoints that the user has.

Image models code every frame by itself; ``ssf2020`` codes each intra period as one sequence. Streams are CompressAI's
own strings. Its networks run in floating point: with another library version, device or number of threads a stream may
decode to other frames, and nothing notices. Its decoder crashes on damaged strings, so a checksum stands before them.
"""

from __future__ import annotations

import functools
import importlib.util
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgpack
import numpy as np
from pydantic import Field

from baselines.neural.codec import find_file, from_luma, to_luma
from bench.errors import BenchError, StreamError
from bench.fingerprint import digest, file_sha256
from bench.interfaces import (
    Availability,
    Codec,
    CodingCondition,
    ComponentOptions,
    Content,
    RatePoint,
    StreamInfo,
    from_uint8,
    to_uint8,
)
from bench.paths import user_path

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = struct.Struct("<I")
# Sides are padded to multiples of this, the largest factor by which a model of the zoo downsamples.
_MULTIPLE = 128


class CompressAi(Codec):
    """A model of CompressAI's zoo. Luma goes in as grey RGB; the output's BT.709 luma is kept.

    Rate points are the zoo's qualities::

        payload = u32 CRC-32 of what follows | msgpack of strings and shapes, one pair per image or intra period
    """

    name = "compressai"
    structures = frozenset({"low_delay"})
    rate_points = tuple(range(1, 10))

    class Options(ComponentOptions):
        """Options: the model and the metric it was trained for; the folder of its checkpoints, and the device.

        The files in `weights` have the names of CompressAI's downloads. By default it is the folder that CompressAI
        downloads to.
        """

        model: Literal[
            "bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020-anchor",
            "cheng2020-attn", "ssf2020",
        ] = "bmshj2018-hyperprior"  # fmt: skip
        """Model of the zoo."""
        metric: Literal["mse", "ms-ssim"] = "mse"
        """Metric that it was trained for."""
        weights: str = Field(default="", exclude=True)
        """Folder of the checkpoints; by default the one that CompressAI downloads to."""
        device: str = Field(default="cpu", exclude=True)
        """Device of PyTorch: cpu or cuda."""

    @property
    def preset(self) -> str:
        """Model and metric, for rows and reports."""
        return f"{self.options.model} {self.options.metric}"

    def available(self) -> Availability:
        """Whether CompressAI is installed and has a checkpoint of the model."""
        if importlib.util.find_spec("compressai") is None:
            return Availability(
                False, reason="CompressAI is not installed (see docs/learned.md: its numpy pin needs --no-deps)"
            )
        from importlib.metadata import version

        try:
            return Availability(True, f"CompressAI {version('compressai')}, {self.preset}", self.weights_sha256)
        except BenchError as error:
            return Availability(False, reason=str(error))

    @property
    def weights_sha256(self) -> str:
        """One SHA-256 over the checkpoints that are here."""
        return digest([file_sha256(self.weight_file(point)) for point in self.rate_points_for(Content.FEATURES)])

    def rate_points_for(self, content: Content) -> tuple[RatePoint, ...]:
        """The qualities whose checkpoints are here; raises `BenchError` if there are none."""
        qualities = tuple(point for point in self.rate_points if self._find(point) is not None)
        if not qualities:
            raise BenchError(f"{self.name}: no checkpoints of {self.preset} in {self._folder()}")
        return qualities

    def weight_file(self, rate_point: RatePoint) -> Path:
        """The checkpoint of a quality; raises `BenchError` if it is not here."""
        path = self._find(rate_point)
        if path is None:
            raise BenchError(f"{self.name}: no checkpoint of {self.preset}, quality {rate_point}, in {self._folder()}")
        return path

    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> bytes:
        """Code every frame by itself; ``ssf2020`` codes every intra period by itself."""
        import torch

        from baselines.neural.layers import pad_to

        network = self._network(rate_point)
        sources = [
            from_luma(pad_to(torch.from_numpy(frame)[None, None], _MULTIPLE), "rgb").to(self.options.device)
            for frame in from_uint8(to_uint8(frames))
        ]
        parts = []
        with torch.inference_mode():
            if self.options.model == "ssf2020":
                for first in range(0, len(sources), condition.intra_period):
                    strings, shapes = network.compress(sources[first : first + condition.intra_period])
                    parts.append((strings, shapes))
            else:
                for source in sources:
                    coded = network.compress(source)
                    parts.append((coded["strings"], coded["shape"]))
        packed = msgpack.packb(parts, default=list)
        return _HEAD.pack(zlib.crc32(packed)) + packed

    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
        """Decode with CompressAI; raises `StreamError` if the checksum differs."""
        import torch

        packed = payload[_HEAD.size :]
        if payload[: _HEAD.size] != _HEAD.pack(zlib.crc32(packed)):
            raise StreamError(f"{self.name}: the payload's checksum differs")
        network = self._network(info.rate_point)
        decoded: list[Tensor] = []
        with torch.inference_mode():
            for strings, shapes in msgpack.unpackb(packed):
                if self.options.model == "ssf2020":
                    decoded += network.decompress(strings, shapes)
                else:
                    decoded.append(network.decompress(strings, shapes)["x_hat"])
        height, width = info.shape[1:]
        frames = [to_luma(frame, "rgb")[0, :height, :width].clamp(0, 1).cpu().numpy() for frame in decoded]
        return from_uint8(to_uint8(np.stack(frames).astype(np.float32)))

    def _folder(self) -> Path:
        if self.options.weights:
            return user_path(self.options.weights)
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints"

    def _find(self, rate_point: RatePoint) -> Path | None:
        model, metric = self.options.model, self.options.metric
        names = [f"{model}-prior", model, f"{model}-mse"] if metric == "mse" else [f"{model}-ms-ssim"]
        for name in names:
            if any(self._folder().glob(pattern := f"{name}-{rate_point}-*.pth*")):
                return find_file(self._folder(), pattern)
        return None

    def _network(self, rate_point: RatePoint) -> Any:
        from bench.weights import check_device

        check_device(self.options.device)
        path = self.weight_file(rate_point)
        return _loaded(self.options.model, path, self.options.device, file_sha256(path))


@functools.lru_cache(maxsize=2)
def _loaded(model: str, path: Path, device: str, _sha256: str) -> Any:
    from compressai.zoo import image, video
    from compressai.zoo.pretrained import load_pretrained

    from bench.weights import read_weights

    architecture = {**image.model_architectures, **video.model_architectures}[model]
    try:
        network = architecture.from_state_dict(load_pretrained(read_weights(path)))
    except (KeyError, RuntimeError) as error:
        raise BenchError(f"{path} is no checkpoint of {model}: {' '.join(str(error).split())[:120]}") from None
    network.update()
    return network.to(device).eval()
