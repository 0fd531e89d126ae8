"""video: any video file or folder of frames becomes spikes.

Frames are turned to luma (BT.601), cut to a width divisible by 8, and interpolated linearly in time: frame i
lies at spike index i * factor, and the luminance between two frames is their weighted mean. The truth is that
luminance itself. Linear interpolation cross-fades instead of moving edges: use footage whose motion is small
between frames, or raise its frame rate first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from bench.datasets._files import read_grey
from bench.datasets._simulated import InterpolatedRecording, luma
from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.interfaces import Availability, ComponentOptions, Dataset, SequenceInfo
from bench.tools import ffmpeg_binary

VIDEOS = (".avi", ".mkv", ".mov", ".mp4", ".webm", ".y4m")
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")


class Video(Dataset):
    """Videos, or folders of pictures in the order of their names, as spike sequences."""

    name = "video"
    keep = True

    class Options(ComponentOptions):
        """Options: a video, a folder of videos or of pictures; spikes per frame interval; how many frames."""

        root: str = Field(exclude=True)
        factor: int = Field(default=24, ge=1)
        frames: int = Field(default=16, ge=2)
        rate: float = Field(default=0.6, gt=0, le=1)
        noise: float = Field(default=0.0, ge=0)
        seed: int = 0

    def available(self) -> Availability:
        """Whether the root exists."""
        if Path(self.options.root).exists():
            return Availability(True)
        return Availability(False, reason=f"{self.options.root} does not exist")

    def sequences(self) -> list[SequenceInfo]:
        """One sequence per video or folder of pictures."""
        return [self._info(path) for path in self._sources()]

    def fingerprint(self, name: str) -> str:
        """Hashes of the files, the options, and the code that reads them."""
        path = self._source(name)
        files = _pictures(path)[: self.options.frames] if path.is_dir() else [path]
        options = self.options.model_dump(exclude={"root"})
        return digest([[file_sha256(file) for file in files], options, code_fingerprint(__name__)])

    def open(self, name: str) -> InterpolatedRecording:
        """Read the frames."""
        options = self.options
        frames = self._frames(self._source(name))
        return InterpolatedRecording(frames, options.factor, options.rate, options.noise, options.seed)

    def _source(self, name: str) -> Path:
        for path in self._sources():
            if _name(path) == name:
                return path
        raise BenchError(f"{self.options.root} has no video '{name}'")

    def _sources(self) -> list[Path]:
        root = Path(self.options.root)
        if root.is_file() or _pictures(root):
            return [root]
        inside = sorted(root.iterdir()) if root.is_dir() else []
        found = [path for path in inside if path.suffix.lower() in VIDEOS or (path.is_dir() and _pictures(path))]
        if not found:
            raise BenchError(f"{root}: no video and no folder of pictures")
        return found

    def _frames(self, path: Path) -> np.ndarray:
        read = _read_pictures if path.is_dir() else read_video
        frames = read(path, self.options.frames)
        if len(frames) < 2:
            raise BenchError(f"{path}: {len(frames)} frame where interpolation needs 2")
        return frames[:, :, : frames.shape[2] // 8 * 8]

    def _info(self, path: Path) -> SequenceInfo:
        count, height, width = self._frames(path).shape
        num_spikes = (count - 1) * self.options.factor + 1
        return SequenceInfo(_name(path), height, width, num_spikes, self.options.rate, truth_at=None)


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)


def _read_pictures(folder: Path, limit: int) -> np.ndarray:
    frames = [read_grey(path) for path in _pictures(folder)[:limit]]
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise BenchError(f"{folder}: pictures of different sizes: {', '.join(map(str, sorted(sizes)))}")
    return np.stack(frames)


def read_video(path: Path, limit: int) -> np.ndarray:
    """Read the first frames of a video as T x H x W uint8 luma."""
    import imageio_ffmpeg

    ffmpeg_binary()  # says in one line where there is none
    try:
        reader = imageio_ffmpeg.read_frames(str(path.resolve()))
        width, height = next(reader)["size"]
        frames = []
        for data in reader:
            frames.append(luma(np.frombuffer(data, np.uint8).reshape(height, width, 3)))
            if len(frames) == limit:
                break
        reader.close()
    except (OSError, RuntimeError, StopIteration) as error:
        reason = str(error).splitlines()[-1] if str(error) else "no frames"
        raise BenchError(f"{path} cannot be read as a video: {reason}") from None
    return np.stack(frames) if frames else np.empty((0, height, width), np.uint8)
