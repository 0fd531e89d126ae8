"""The codec `spikecodec`."""

from __future__ import annotations

import functools
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from baselines.neural.codec import small_weights
from bench.errors import BenchError, StreamError
from bench.fingerprint import file_sha256
from bench.interfaces import Availability, Codec, CodingCondition, ComponentOptions, Compressed, RatePoint, StreamInfo
from bench.interfaces.recipe import Recipe, Trainable, refuse_untrained
from bench.interfaces.workload import HasWorkload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from baselines.spikecodec.network import SceneNetwork
    from bench.interfaces.workload import Work

_HEAD = struct.Struct("<BB")


class SpikeCodec(Codec, Trainable, HasWorkload):
    """SpikeCodec (arXiv 2306.14108): codes one scene per eight spike frames; the decoder fires new spikes from it.

    It takes spikes only. The preset ``small`` is trained by this project. ``full`` has the published size; no weights
    were published, so it can be counted (`bench complexity`) but not run::

        payload = u8 largest firing rate in 1/255 | u8 number of spike frames modulo 256
                | range-coded latents of all scenes, a checksum after each
    """

    name = "spikecodec"
    accepts = frozenset({"spikes"})
    rate_points = tuple(range(7))

    class Options(ComponentOptions):
        """Options: the preset; the weight file and the device, which describe this machine and stay out of rows."""

        preset: Literal["small", "full"] = "small"
        """Size of the networks: small is trained and shipped, full can only be counted."""
        weights: str = Field(default="", exclude=True)
        """Weight file; by default the shipped one."""
        device: str = Field(default="cpu", exclude=True)
        """Device of PyTorch: cpu or cuda."""

    def weight_file(self) -> Path:
        """The weights: those in the package, or the file that the option `weights` names.

        Raises
        ------
        BenchError
            If there are none.
        """
        if self.options.preset == "full":
            raise BenchError(f"{self.name}: no weights of the full-size network are published; it can only be counted")
        return small_weights(self.name, self.options.weights, Path(__file__).parent)

    def available(self) -> Availability:
        """Whether the weights are here."""
        try:
            return Availability(True, "small weights", self.weights_sha256)
        except BenchError as error:
            return Availability(False, reason=str(error))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weight file."""
        return file_sha256(self.weight_file())

    def recipe(self) -> Recipe:
        """How the small preset is trained."""
        from baselines.spikecodec.training import SpikeCodecRecipe

        refuse_untrained(self)
        return SpikeCodecRecipe()

    def lookahead(self, condition: CodingCondition) -> float:
        """Infinite: the largest firing rate of the whole recording precedes its first scene in the payload."""
        return math.inf

    def workload(self, size: tuple[int, int]) -> Iterator[Work]:
        """The parts of coding a scene of H x W, for `bench complexity`."""
        from baselines.spikecodec.workload import workload

        yield from workload(self.options.preset, size)

    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> Compressed:
        """Recover the scenes and code each by itself, as an intra frame."""
        import torch

        from baselines.neural.coding import StreamEncoder
        from baselines.neural.fixed import exact_arithmetic
        from baselines.neural.layers import pad_to
        from baselines.spikecodec.network import window_rates

        rates = window_rates(frames.astype(np.uint8))
        # Luminance 1 stands for the largest firing rate over the longest windows.
        largest = max(1, min(255, int(np.ceil(float(rates[:, -1].max()) * 255))))
        network, encoder = self._network(), StreamEncoder()
        with torch.inference_mode(), exact_arithmetic():
            for scene in rates:
                relative = torch.from_numpy(scene * np.float32(255 / largest)).clamp(max=1)[None]
                padded = pad_to(network.recovery(relative.to(self.options.device)), 16)
                self._code(network, encoder, padded, rate_point, padded.shape[2:])
        return Compressed(_HEAD.pack(largest, len(frames) % 256) + encoder.payload(), encoder.total_bits)

    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
        """Decode the scenes and fire their spikes.

        Raises
        ------
        StreamError
            If the payload is cut off, is of another number of spike frames, or a scene's checksum differs.
        """
        import torch

        from baselines.neural.coding import StreamDecoder
        from baselines.neural.fixed import exact_arithmetic
        from baselines.spikecodec.network import GROUP, fire

        count, height, width = info.shape
        if len(payload) < _HEAD.size or not payload[0]:
            raise StreamError(f"{self.name}: the payload is cut off or states no firing rate")
        largest, remainder = _HEAD.unpack_from(payload)
        if remainder != count % 256:
            raise StreamError(f"{self.name}: the payload is of another number of spike frames than {count}")
        size = (height + -height % 16, width + -width % 16)
        network, decoder = self._network(), StreamDecoder(payload[_HEAD.size :])
        with torch.inference_mode(), exact_arithmetic():
            scenes = [
                self._code(network, decoder, None, info.rate_point, size)[0, 0, :height, :width].cpu().numpy()
                for _ in range(-(-count // GROUP))
            ]
        return fire(np.stack(scenes), largest, count).astype(np.float32)

    def _code(self, network: SceneNetwork, coder: Any, scene: Any, rate_point: RatePoint, size: Any) -> Any:
        import torch

        rate = torch.tensor([rate_point], device=self.options.device)
        decoded = network.code(coder, scene, rate, (1, *size))
        coder.end_frame()
        return decoded

    def _network(self) -> SceneNetwork:
        from bench.weights import check_device

        check_device(self.options.device)
        path = self.weight_file()
        return _loaded(path, self.options.device, file_sha256(path))


@functools.lru_cache(maxsize=2)
def _loaded(path: Path, device: str, _sha256: str) -> SceneNetwork:
    from baselines.neural.small import restore_small
    from baselines.spikecodec.network import SceneNetwork
    from bench.weights import read_weights

    network = SceneNetwork()
    restore_small(network, read_weights(path), device)
    return network
