"""The base of the learned codecs: frames in and out, the loop over them, the payload, weights and rate points.

A codec on this base makes a model. The model codes one frame after another with the coder that it is given
(`baselines.neural.latents`)::

    payload = u16 intra period | range-coded latents of all frames, a checksum after each
"""

from __future__ import annotations

import functools
import inspect
import os
import struct
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from bench.errors import BenchError, StreamError
from bench.fingerprint import file_sha256
from bench.interfaces import (
    Availability,
    Codec,
    CodingCondition,
    ComponentOptions,
    Compressed,
    Content,
    Decoded,
    RatePoint,
    StreamInfo,
    from_uint8,
    to_uint8,
)
from bench.interfaces.workload import HasWorkload
from bench.paths import user_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from baselines.neural.entropy import BitCount
    from baselines.neural.latents import LatentCoder
    from bench.interfaces.workload import Work

Colour = Literal["luma", "rgb", "yuv"]
_HEAD = struct.Struct("<H")


class FrameModel(Protocol):
    """Networks of one rate point, ready to code frames one after another.

    Attributes
    ----------
    colour
        What the networks take: luma (1 channel), rgb or yuv (3 channels).
    multiple
        H and W are padded to multiples of it by repeating the last row and column.
    intra_bits, inter_bits
        How estimated bits are counted from probabilities; None to count them from the integer tables.
    """

    colour: Colour
    multiple: int

    @property
    def intra_bits(self) -> BitCount | None: ...

    @property
    def inter_bits(self) -> BitCount | None: ...

    def code(
        self, coder: LatentCoder, frame: Tensor | None, index: int, size: tuple[int, int], state: Any
    ) -> tuple[Tensor, Any]:
        """Code frame `index` of a sequence, an intra frame where `state` is None.

        Parameters
        ----------
        frame
            N x C x H x W in [0, 1], or None when decoding.
        size
            (H, W) of the padded frame.
        state
            State after the previous frame; None before an intra frame.

        Returns
        -------
        frame, state
            The decoded frame, and the state from which the next one is coded.
        """
        ...


# Intra frames are coded this many rate points above the inter frames after them; chosen on held-out training content.
INTRA_FINER = 2
# Segments of a batch. On small frames the networks' calls take longer than their work.
_BATCH = 16


class SmallModel:
    """A small preset's intra and inter networks, with a rate point for each item of a batch.

    Intra frames are coded `finer` rate points above the inter frames, since all frames after them are predicted from
    them.
    """

    multiple = 16
    colour: Colour = "luma"

    intra_bits: BitCount | None = None
    inter_bits: BitCount | None = None

    video: Any

    def __init__(self, network: nn.Module, rate: Tensor, finer: int = INTRA_FINER) -> None:
        image: Any = network.get_submodule("image")
        self.image, self.video = image, network.get_submodule("video")
        self.rate, self.intra_rate = rate, (rate + finer).clamp(max=len(image.rates.scale) - 1)

    @abstractmethod
    def code(
        self, coder: LatentCoder, frame: Tensor | None, index: int, size: tuple[int, int], state: Any
    ) -> tuple[Tensor, Any]:
        """See `FrameModel`."""

    def code_intra(self, coder: LatentCoder, frame: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Code an intra frame, N x 1 x H x W in [0, 1] or None when decoding; returns it decoded.

        An image network's `code` is told the rate point of each of the N items, and (N, H, W), H and W multiples of 16.
        """
        return self.image.code(coder, frame, self.intra_rate, (len(self.rate), *size))


def small_weights(name: str, stated: str, package: Path) -> Path:
    """Weights of a codec's small preset: the file `stated` by an option, or the one in the codec's folder `package`.

    Raises
    ------
    BenchError
        If there is no such file.
    """
    path = user_path(stated) if stated else package / "weights" / "small.safetensors"
    if not path.is_file():
        raise BenchError(f"{name}: no weights {path} (`bench train {name}` makes such a file)")
    return path


class Preset(ABC):
    """What differs between the presets of a learned codec: rate points, files, networks.

    Attributes
    ----------
    rate_points
        From the lowest rate to the highest.
    """

    rate_points: tuple[RatePoint, ...]

    def __init__(self, codec: NeuralCodec) -> None:
        self.codec = codec

    def default_points(self, content: Content) -> tuple[RatePoint, ...]:
        """The rate points that a run uses for this content."""
        return self.rate_points

    def check_rate_point(self, rate_point: RatePoint, further: Sequence[RatePoint] = ()) -> None:
        """Raise `BenchError` unless the point is a rate point, or one of `further` that runs do not use by default."""
        points = (*self.rate_points, *further)
        if rate_point not in points:
            listed = ", ".join(map(str, points[:8])) + (f" .. {points[-1]}" if len(points) > 8 else "")
            raise BenchError(f"{self.codec.name}: no rate point {rate_point!r} (it has: {listed})")

    @abstractmethod
    def weight_files(self, rate_point: RatePoint) -> tuple[Path, ...]:
        """Weight files of one rate point; raises `BenchError` if one is missing."""

    @abstractmethod
    def load(self, rate_point: RatePoint, device: str) -> FrameModel:
        """Networks of one rate point, in evaluation mode on the device."""

    @abstractmethod
    def blank(self) -> FrameModel:
        """Networks with random weights, for `bench complexity`."""


class SmallPreset(Preset):
    """The preset that this project trains: one pair of networks, in one file, for seven rate points."""

    rate_points = tuple(range(7))

    def default_points(self, content: Content) -> tuple[RatePoint, ...]:
        """All rate points; for spikes, whose streams are long, every second one."""
        return self.rate_points[::2] if content.is_spikes else self.rate_points

    def weight_files(self, rate_point: RatePoint) -> tuple[Path, ...]:
        """The single file: the one that the option `weights` names, or the shipped one."""
        package = Path(inspect.getfile(type(self.codec))).parent
        return (small_weights(self.codec.name, self.codec.options.weights, package),)

    def load(self, rate_point: RatePoint, device: str) -> FrameModel:
        """The pair at one rate point."""
        import torch

        return self.model(torch.tensor([rate_point], device=device))

    def model(self, rate: Tensor) -> FrameModel:
        """The pair at the rate point of each item of a batch, on the rate points' device."""
        (path,) = self.weight_files(0)
        options, device = tuple(self.codec.options), str(rate.device)
        return self.codec.small_model(_small_network(type(self.codec), options, device, path, file_sha256(path)), rate)

    def blank(self) -> FrameModel:
        """The untrained pair at the lowest rate point."""
        import torch

        return self.codec.small_model(self.codec.untrained().eval(), torch.tensor([0]))


class NeuralOptions(ComponentOptions):
    """Options of every learned codec.

    The preset ``small`` is trained by this project and shipped with it; ``official`` loads the authors' checkpoints,
    from the folder `weights` or from ``$BENCH_WEIGHTS/<codec>``. `weights` and `device` describe this machine, and stay
    out of rows and streams.
    """

    preset: Literal["small", "official"] = "small"
    """small is trained by this project, official is the authors' checkpoints."""
    weights: str = Field(default="", exclude=True)
    """Weight file of small, or folder of official; by default the shipped file, or $BENCH_WEIGHTS."""
    device: str = Field(default="cpu", exclude=True)
    """Device of PyTorch: cpu or cuda."""

    @field_validator("metric", check_fields=False)
    @classmethod
    def _of_the_official(cls, metric: str, others: ValidationInfo) -> str:
        if others.data.get("preset") == "small" and metric != cls.model_fields["metric"].default:
            raise ValueError("chooses among the checkpoints of the preset official; small has none for it")
        return metric


class NeuralCodec(Codec, HasWorkload):
    """Base of the learned codecs that code frame by frame: DCVC, DCVC-DC, SCI.

    Attributes
    ----------
    presets
        The class of each value of the option `preset`.
    in_batches
        Whether the small preset's networks code streams of several segments in one batch.
    """

    Options: ClassVar[type[ComponentOptions]] = NeuralOptions
    structures = frozenset({"low_delay"})
    presets: ClassVar[Mapping[str, type[Preset]]]
    in_batches: ClassVar[bool] = False

    @property
    def network_preset(self) -> Preset:
        """The preset that the options name."""
        return self.presets[self.options.preset](self)

    @property
    def rate_points(self) -> tuple[RatePoint, ...]:  # type: ignore[override]
        """The preset's rate points, from the lowest rate to the highest."""
        return self.network_preset.rate_points

    def rate_points_for(self, content: Content) -> tuple[RatePoint, ...]:
        """The preset's rate points that a run uses for this content."""
        return self.network_preset.default_points(content)

    def check_rate_point(self, rate_point: RatePoint) -> None:
        """Raise `BenchError` if the preset has no such rate point."""
        self.network_preset.check_rate_point(rate_point)

    @abstractmethod
    def untrained(self) -> nn.Module:
        """The small preset's networks before training."""

    @abstractmethod
    def small_model(self, network: nn.Module, rate: Tensor) -> FrameModel:
        """The small preset's networks at the rate point of each item of a batch."""

    def workload(self, size: tuple[int, int]) -> Iterator[Work]:
        """The parts of coding H x W frames, for `bench complexity`."""
        from baselines.neural.workload import codec_workload

        model = self.network_preset.blank()
        padded = (size[0] + -size[0] % model.multiple, size[1] + -size[1] % model.multiple)
        yield from codec_workload(model, padded, 1 if model.colour == "luma" else 3, "cpu")

    def folder(self) -> Path:
        """The folder of the official preset's checkpoints.

        Raises
        ------
        BenchError
            If no folder is given, or it does not exist.
        """
        stated = self.options.weights or os.environ.get("BENCH_WEIGHTS", "")
        if not stated:
            raise BenchError(
                f"{self.name}: the preset official needs the authors' checkpoints, from the folder that the option "
                "weights or BENCH_WEIGHTS names"
            )
        folder = user_path(stated)
        folder = folder / self.name if not self.options.weights and (folder / self.name).is_dir() else folder
        if not folder.is_dir():
            raise BenchError(f"{self.name}: no folder {folder} for weights")
        return folder

    def available(self) -> Availability:
        """Whether the weights of every rate point are here."""
        try:
            return Availability(True, f"{self.options.preset} weights", self.weights_sha256)
        except BenchError as error:
            return Availability(False, reason=str(error))

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weight file, or one over the files of all rate points."""
        from bench.fingerprint import digest

        points = self.rate_points_for(Content.FEATURES)
        preset = self.network_preset
        files = dict.fromkeys(path for point in points for path in preset.weight_files(point))
        hashes = [file_sha256(path) for path in files]
        return hashes[0] if len(hashes) == 1 else digest(hashes)

    @property
    def together(self) -> int:
        """See `Codec`."""
        return _BATCH if self.in_batches and isinstance(self.network_preset, SmallPreset) else 1

    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> Compressed:
        """Code frame by frame; inter frames are predicted from frames decoded before them."""
        return self.compress_all([frames], [rate_point], condition)[0]

    def compress_all(
        self, segments: Sequence[np.ndarray], rate_points: Sequence[RatePoint], condition: CodingCondition
    ) -> list[Compressed]:
        """Code segments in one batch."""
        from baselines.neural.coding import StreamEncoder

        coders, frames = [StreamEncoder() for _ in segments], from_uint8(to_uint8(np.stack(segments)))
        for _ in self._walk(self._model(rate_points), coders, frames.shape[1:], condition.intra_period, frames):
            pass
        head = _HEAD.pack(condition.intra_period)
        return [Compressed(head + coder.payload(), coder.total_bits) for coder in coders]

    def decompress(self, payload: bytes, info: StreamInfo) -> Decoded:
        """Decode frame by frame.

        Motion is returned where the model's state has an attribute `motion`; frames without motion have NaN.

        Raises
        ------
        StreamError
            If the payload is cut off, or a frame's checksum differs.
        """
        return self.decompress_all([payload], [info])[0]

    def decompress_all(self, payloads: Sequence[bytes], infos: Sequence[StreamInfo]) -> list[Decoded]:
        """Decode segments in one batch."""
        from baselines.neural.coding import StreamDecoder

        if any(len(payload) < _HEAD.size for payload in payloads):
            raise StreamError(f"{self.name}: the payload is cut off")
        (intra_period,) = _HEAD.unpack_from(payloads[0])
        if not intra_period:
            raise StreamError(f"{self.name}: the payload states no intra period")
        if any(_HEAD.unpack_from(payload) != (intra_period,) for payload in payloads):
            raise StreamError(f"{self.name}: the payloads state different intra periods")
        coders, shape = [StreamDecoder(payload[_HEAD.size :]) for payload in payloads], infos[0].shape
        model = self._model([info.rate_point for info in infos])
        frames, motion = np.empty((len(infos), *shape), np.float32), None
        for k, (decoded, moved) in enumerate(self._walk(model, coders, shape, intra_period)):
            frames[:, k] = decoded
            if moved is not None:
                if motion is None:
                    motion = np.full((len(infos), shape[0], 2, *shape[1:]), np.nan, np.float32)
                motion[:, k] = moved
        frames = from_uint8(to_uint8(frames))
        return [Decoded(part, None if motion is None else motion[item]) for item, part in enumerate(frames)]

    def _walk(
        self,
        model: FrameModel,
        coders: Sequence[Any],
        shape: tuple[int, ...],
        intra_period: int,
        frames: np.ndarray | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Code one frame of all N segments after another, and yield them as decoded, N x H x W, with their motion.

        Parameters
        ----------
        coders
            The `StreamEncoder` or `StreamDecoder` of each segment.
        shape
            (K, H, W) of each segment.
        frames
            N x K x H x W when encoding.
        """
        import torch

        from baselines.neural.coding import Streams
        from baselines.neural.fixed import exact_arithmetic
        from baselines.neural.layers import pad_to

        count, height, width = shape
        size = (height + -height % model.multiple, width + -width % model.multiple)
        coder: LatentCoder = coders[0] if len(coders) == 1 else Streams(coders)
        state: Any = None
        with torch.inference_mode(), exact_arithmetic():
            for k in range(count):
                source = None
                if frames is not None:
                    luma = torch.from_numpy(frames[:, k, None]).to(self.options.device)
                    source = from_luma(pad_to(luma, model.multiple), model.colour)
                intra = k % intra_period == 0
                for one in coders:
                    one.count = model.intra_bits if intra else model.inter_bits
                decoded, state = model.code(coder, source, k, size, None if intra else state)
                for one in coders:
                    one.end_frame()
                luma = to_luma(decoded, model.colour)[:, :height, :width]
                motion = getattr(state, "motion", None)
                moved = None if motion is None else motion[..., :height, :width].float().cpu().numpy()
                yield luma.clamp(0, 1).float().cpu().numpy(), moved

    def _model(self, rate_points: Sequence[RatePoint]) -> FrameModel:
        """The networks at the rate point of each segment of a batch."""
        import torch

        from bench.weights import check_device

        check_device(self.options.device)
        preset = self.network_preset
        if len(rate_points) > 1:
            assert isinstance(preset, SmallPreset)  # noqa: S101 -- others are not `together`
            return preset.model(torch.tensor(rate_points, device=self.options.device))
        # Keyed on the files' hash, so that a file that changed is read again.
        hashes = tuple(file_sha256(path) for path in preset.weight_files(rate_points[0]))
        return _loaded(type(self), tuple(self.options), rate_points[0], hashes)


@functools.lru_cache(maxsize=4)
def _small_network(
    codec: type[NeuralCodec], options: tuple[tuple[str, Any], ...], device: str, path: Path, _sha256: str
) -> nn.Module:
    """The small preset's networks, in their exact form; rate points and models share this object."""
    from baselines.neural.small import restore_small
    from bench.weights import read_weights

    network = codec(**dict(options)).untrained()
    restore_small(network, read_weights(path), device)
    return network


@functools.lru_cache(maxsize=4)
def _loaded(
    codec: type[NeuralCodec], options: tuple[tuple[str, Any], ...], rate_point: RatePoint, _hashes: tuple[str, ...]
) -> FrameModel:
    instance = codec(**dict(options))
    return instance.network_preset.load(rate_point, instance.options.device)


def from_luma(luma: Tensor, colour: Colour) -> Tensor:
    """N x 1 x H x W luma as the network's channels: grey RGB, or YCbCr with neutral chroma."""
    import torch.nn.functional as F

    if colour == "luma":
        return luma
    return luma.expand(-1, 3, -1, -1) if colour == "rgb" else F.pad(luma, (0, 0, 0, 0, 0, 2), value=0.5)


def to_luma(frame: Tensor, colour: Colour) -> Tensor:
    """N x C x H x W as N x H x W luma (BT.709 for RGB)."""
    if colour == "rgb":
        return 0.2126 * frame[:, 0] + 0.7152 * frame[:, 1] + 0.0722 * frame[:, 2]
    return frame[:, 0]


def find_file(folder: Path, *patterns: str) -> Path:
    """The one file in a folder that matches a pattern; an earlier pattern wins.

    Raises
    ------
    BenchError
        If no pattern matches, or one matches several files.
    """
    for pattern in patterns:
        matches = sorted(folder.glob(pattern))
        if len(matches) > 1:
            raise BenchError(f"{folder} has several files {pattern}: {', '.join(path.name for path in matches)}")
        if matches:
            return matches[0]
    raise BenchError(f"{folder} has no {' or '.join(patterns)}")
