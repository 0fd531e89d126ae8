"""Writes decoded frames to the file or folder that a user names; the suffix of the name decides on the format."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.files import whole_file
from bench.paths import listed
from bench.pictures import grey_levels, png
from bench.spikes import PackedSpikes
from bench.tools import ffmpeg_binary, run_tool

FRAMES_PER_SECOND = 25  # of videos: frames have a place among the spike frames, but no time in seconds
_UNFINISHED = ".new-"
# Arguments of ffmpeg. Every player shows H.264; FFV1 and GIF keep the 8-bit frames without loss.
_VIDEOS = {
    ".mp4": ["-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-movflags", "+faststart"],
    ".mkv": ["-c:v", "ffv1", "-pix_fmt", "gray"],
    ".gif": ["-c:v", "gif", "-pix_fmt", "gray"],
}
_FILES = (".npy", ".dat", ".png", *_VIDEOS)


def kind_of_output(out: Path) -> str:
    """The suffix of `out` in small letters, which decides on the format; empty for a folder of pictures.

    Raises
    ------
    BenchError
        If no format has this suffix.
    """
    kind = "" if out.is_dir() else out.suffix.lower()
    if kind and kind not in _FILES:
        raise BenchError(
            f"{out}: cannot write {out.suffix} files; use {', '.join(_FILES)}, or the name of a folder for pictures"
        )
    return kind


def write_frames(out: Path, parts: Iterator[np.ndarray], shape: tuple[int, int, int], *, spikes: bool) -> str:
    """Write frames part by part; the file or the pictures appear under their names only when all are written.

    Parameters
    ----------
    out
        File or folder.
    parts
        The frames in parts of any number of H x W frames: uint8 in {0, 1} for spikes, else float32 in [0, 1].
    shape
        (K, H, W) of all frames together.
    spikes
        Whether the frames are spikes.

    Returns
    -------
    str
        Name of the file or folder for the user, with the frame rate of a video.

    Raises
    ------
    BenchError
        If the format does not fit the frames, the folder holds other files, or the disk refuses to write.
    """
    kind, count = kind_of_output(out), shape[0]
    if kind == ".dat" and not spikes:
        raise BenchError(f"{out}: a .dat file holds spikes, and the stream gives grey frames; use .npy")
    if kind == ".png" and count != 1:
        raise BenchError(f"{out}: one picture holds one frame, and the stream gives {count}; name a folder")
    with write_errors(out):
        if not kind:
            _write_folder(out, parts, count)
            return f"{out}/"
        if kind in _VIDEOS:
            _write_video(out, parts, shape)
            return f"{out} ({FRAMES_PER_SECOND} frames a second)"
        with whole_file(out) as file:
            if kind == ".npy":
                header = {"descr": "|u1" if spikes else "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            for frames in parts:
                file.write(_encoded(kind, frames, spikes))
        return str(out)


@contextmanager
def write_errors(out: Path) -> Iterator[None]:
    """Turn errors of the disk into a `BenchError` that names the output."""
    try:
        yield
    except OSError as error:
        raise BenchError(f"{out} cannot be written: {error.strerror or error}") from error


def _encoded(kind: str, frames: np.ndarray, spikes: bool) -> bytes:
    if kind == ".png":
        return png(grey_levels(frames)[0])
    if kind == ".dat":
        return PackedSpikes.pack(frames).data.tobytes()
    return np.ascontiguousarray(frames, "|u1" if spikes else "<f4").tobytes()


def _write_folder(out: Path, parts: Iterator[np.ndarray], count: int) -> None:
    """Write numbered pictures; a folder that holds any other file is refused, such as pictures of another stream."""
    names = [f"{index:04d}.png" for index in range(count)]
    is_new = not out.exists()
    others = [] if is_new else [path.name for path in listed(out) if path.name not in set(names)]
    if others:
        raise BenchError(
            f"{out} holds {others[0]}, which is no picture of this stream; empty it or name another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=_UNFINISHED) as folder:
            levels = (frame for frames in parts for frame in grey_levels(frames))
            for name, frame in zip(names, levels, strict=True):
                Path(folder, name).write_bytes(png(frame))
            for name in names:
                Path(folder, name).replace(out / name)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                out.rmdir()
        raise


def _write_video(out: Path, parts: Iterator[np.ndarray], shape: tuple[int, int, int]) -> None:
    kind = out.suffix.lower()
    odd = [side % 2 if kind == ".mp4" else 0 for side in shape[1:]]  # 4:2:0 needs even sides
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=_UNFINISHED) as folder:
        raw, video = (Path(folder, name).resolve() for name in ("frames", f"video{kind}"))
        with raw.open("wb") as file:
            for frames in parts:
                padded = np.pad(grey_levels(frames), ((0, 0), (0, odd[0]), (0, odd[1])), mode="edge")
                file.write(padded.tobytes())
        size = f"{shape[2] + odd[1]}x{shape[1] + odd[0]}"
        source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", size, "-framerate", str(FRAMES_PER_SECOND)]
        run_tool([
            ffmpeg_binary(), "-nostdin", "-v", "error", *source, "-i", f"file:{raw}", *_VIDEOS[kind], f"file:{video}"
        ])  # fmt: skip
        video.replace(out)
