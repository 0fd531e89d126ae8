"""video: spikes that are simulated from video files or folders of frames.

Frames are converted to luma (BT.601), cut to a width divisible by 8, and interpolated linearly in time: frame i lies at
spike frame i * factor, and the luminance between two frames is their weighted mean. That luminance is the truth. Linear
interpolation fades one frame into the next instead of moving edges: use footage with little motion between frames, or
raise its frame rate first.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import Field

from bench.datasets._simulated import InterpolatedRecording
from bench.errors import BenchError, one_line
from bench.fingerprint import code_fingerprint, digest, file_sha256
from bench.interfaces import Availability, ComponentOptions, Dataset, SequenceInfo
from bench.paths import listed, user_path
from bench.pictures import luma, read_same
from bench.tools import ffmpeg_binary, start_tool, stop_tool

VIDEOS = (".avi", ".mkv", ".mov", ".mp4", ".webm", ".y4m")
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
_Y4M_FRAME = b"FRAME"


class Video(Dataset):
    """Videos, or folders of pictures in the order of their names, as spike sequences."""

    name = "video"
    keep = True

    class Options(ComponentOptions):
        """Options: a video, or a folder of videos or of pictures; spike frames per frame; frames at most; camera.

        A damaged video is refused, unless `lenient` asks for whatever the decoder makes of it.
        """

        root: str = Field(exclude=True)
        """A video, or a folder of videos or of pictures."""
        factor: int = Field(default=24, ge=1)
        """Spike frames from one picture to the next."""
        frames: int = Field(default=16, ge=2)
        """Largest number of pictures of a video."""
        rate: float = Field(default=0.6, gt=0, le=1)
        """Spikes per frame at unit luminance."""
        noise: float = Field(default=0.0, ge=0)
        """Noise of the simulated camera."""
        seed: int = 0
        """Seed of the noise."""
        lenient: bool = False
        """Take whatever the decoder makes of a damaged video, instead of refusing it."""

    def available(self) -> Availability:
        """Whether the root exists."""
        if self._root.exists():
            return Availability(True)
        return Availability(False, reason=f"{self._root} does not exist")

    def sequences(self) -> list[SequenceInfo]:
        """One sequence per video or folder of pictures."""
        return [self._info(path) for path in self._sources()]

    def fingerprint(self, name: str) -> str:
        """Hash of the files, the options, and the code that reads them."""
        path = self._source(name)
        files = _pictures(path)[: self.options.frames] if path.is_dir() else [path]
        options = self.options.model_dump(exclude={"root"})
        return digest([[file_sha256(file) for file in files], options, code_fingerprint(__name__)])

    def open(self, name: str) -> InterpolatedRecording:
        """Read the frames and return their recording."""
        options = self.options
        frames = self._frames(self._source(name))
        return InterpolatedRecording(frames, options.factor, options.rate, options.noise, options.seed)

    @property
    def _root(self) -> Path:
        return user_path(self.options.root)

    def _source(self, name: str) -> Path:
        for path in self._sources():
            if _name(path) == name:
                return path
        raise BenchError(f"{self._root} has no video '{name}'")

    def _sources(self) -> list[Path]:
        root = self._root
        if root.is_file():
            return [root]
        inside = listed(root) if root.is_dir() else []
        videos = [path for path in inside if path.suffix.lower() in VIDEOS or (path.is_dir() and _pictures(path))]
        pictures = _pictures(root)
        if videos and pictures:
            raise BenchError(
                f"{root} holds pictures ({pictures[0].name}) beside {videos[0].name}: give one of its videos or "
                "folders as root, or take the pictures away"
            )
        if not videos and not pictures:
            raise BenchError(f"{root}: no video and no folder of pictures")
        return videos or [root]

    def _frames(self, path: Path) -> np.ndarray:
        limit = self.options.frames
        if path.is_dir():
            frames = read_same(_pictures(path)[:limit], path)
        else:
            frames = read_video(path, limit, lenient=self.options.lenient)
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
    return listed(folder, PICTURES) if folder.is_dir() else []


def read_video(path: Path, limit: int, *, lenient: bool = False) -> np.ndarray:
    """Read the first pictures of a video as luma. Each is read once, whatever time stamps the file gives them.

    Parameters
    ----------
    limit
        Largest number of pictures.
    lenient
        Accept what the decoder makes of a damaged file: it conceals errors and leaves pictures out.

    Returns
    -------
    numpy.ndarray
        T x H x W uint8, or uint16 where the video has more than 8 bits.

    Raises
    ------
    BenchError
        If the file is no video, or is damaged within its first `limit` pictures and `lenient` is not given.
    """
    strict = [] if lenient else ["-xerror", "-err_detect", "explode"]
    # Every picture is written once as PPM: its size, then its samples at the depth of the video. Its time stamp is its
    # number, because ffmpeg complains about two pictures within one tick of the output's clock.
    command = [
        str(ffmpeg_binary()), "-nostdin", "-v", "error", *strict, "-i", f"file:{path.resolve()}", "-map", "0:V:0",
        "-vf", "settb=1/25,setpts=N", "-enc_time_base", "1/25", "-fps_mode", "passthrough", "-frames:v", str(limit),
        "-c:v", "ppm", "-f", "image2pipe", "-",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = start_tool(command, stdin=subprocess.DEVNULL, stderr=log.fileno())
        try:
            assert process.stdout is not None  # noqa: S101 (for mypy)
            frames = list(_ppm_frames(process.stdout))
            process.wait()
        finally:
            stop_tool(process)
        log.seek(0)
        first = log.read().decode(errors="replace").partition("\n")[0]
    problem = one_line(re.sub(r"\[[^]]* @ \w+\] ", "", first))  # without the memory addresses in ffmpeg's messages
    if not frames:
        hint = "" if lenient else "; if it is a damaged one, the option lenient=true takes what the decoder makes of it"
        raise BenchError(f"{path} cannot be read as a video: {problem or 'it has no frames'}{hint}")
    if not problem and len(frames) < limit and path.suffix.lower() == ".y4m" and not _whole_y4m(path, len(frames)):
        problem = "its last frame is cut off"
    if not lenient and (problem or process.returncode):
        raise BenchError(
            f"{path} is damaged, {len(frames)} frames were decoded ({problem or 'no reason given'}); the option "
            "lenient=true takes what the decoder makes of it"
        )
    return np.stack(frames)


def _ppm_frames(file: IO[bytes]) -> Iterator[np.ndarray]:
    """Luma of the PPM pictures in a stream, H x W uint8 or uint16 each."""
    while file.readline():  # P6
        width, height = map(int, file.readline().split())
        kind = np.dtype("u1" if int(file.readline()) < 1 << 8 else ">u2")
        data = file.read(3 * height * width * kind.itemsize)
        with contextlib.suppress(ValueError):  # the last picture may be incomplete
            yield luma(np.frombuffer(data, kind).reshape(height, width, 3))


def _whole_y4m(path: Path, count: int) -> bool:
    """Whether a .y4m file ends with a complete frame: ffmpeg drops an incomplete one without any message."""
    with path.open("rb") as file:
        file.readline()
        start, end = file.tell(), path.stat().st_size
        step, rest = divmod(end - start, count)
        for place in range(start, end - rest, max(step, 1)):
            file.seek(place)
            if file.read(len(_Y4M_FRAME)) != _Y4M_FRAME:
                return False
    return not rest
