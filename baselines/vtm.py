"""The VVC reference software (VTM), run as a subprocess.

The options `encoder` and `decoder`, or else the environment variables VTM_ENCODER and VTM_DECODER, name the binaries;
otherwise EncoderApp[Static] and DecoderApp[Static] are searched on PATH. The configuration files are in the folder that
the option `cfg` or VTM_CFG names, otherwise in cfg/ in a folder above the encoder. Luma is coded as 4:0:0 with eight
input bits.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from pydantic import Field

from baselines._video import FRAME_RATE, QpCodec, from_planes, to_planes
from bench.errors import BenchError
from bench.fingerprint import digest, file_sha256
from bench.interfaces import (
    Availability,
    CodingCondition,
    ComponentOptions,
    RatePoint,
    StreamInfo,
    from_uint8,
    to_uint8,
)
from bench.paths import user_path
from bench.tools import run_tool

_CONFIGURATIONS = {
    "low_delay": "encoder_lowdelay_vtm.cfg",
    "random_access": "encoder_randomaccess_vtm_gop16.cfg",
    "intra": "encoder_intra_vtm.cfg",
}


class Vtm(QpCodec):
    """VTM with its own low-delay, random-access or intra configuration."""

    name = "vtm"
    qp_range = (0, 63)

    class Options(ComponentOptions):
        """Options: where the binaries and cfg/ lie on this machine; they stay out of results and streams."""

        encoder: str = Field(default="", exclude=True)
        """Path of EncoderApp; by default $VTM_ENCODER, else the one on PATH."""
        decoder: str = Field(default="", exclude=True)
        """Path of DecoderApp; by default $VTM_DECODER, else the one on PATH."""
        cfg: str = Field(default="", exclude=True)
        """VTM's folder cfg; by default $VTM_CFG, else the one above the encoder."""
        limit_seconds: float = Field(default=4 * 3600.0, gt=0, exclude=True)
        """Seconds after which encoder or decoder is stopped."""

    def available(self) -> Availability:
        """Version of the encoder; one hash over both binaries and the configuration files."""
        try:
            tools = [self._tool("encoder"), self._tool("decoder")]
            versions = {_version(tool, file_sha256(tool)) for tool in tools}
            configurations = [self._configuration(kind) for kind in _CONFIGURATIONS]
        except (BenchError, OSError) as error:
            return Availability(False, reason=str(error))
        if len(versions) != 1:
            return Availability(False, reason=f"encoder and decoder differ: {' and '.join(sorted(versions))}")
        hashes = [file_sha256(path) for path in (*tools, *configurations)]
        return Availability(True, f"VTM {versions.pop()}", digest(hashes))

    def lookahead(self, condition: CodingCondition) -> float:
        """0 in low delay, whose configuration filters past frames only, else its GOP and the filter's reach."""
        return 0 if condition.structure == "low_delay" or condition.intra_period == 1 else 16 + 4

    def compress(self, frames: np.ndarray, rate_point: RatePoint, condition: CodingCondition) -> bytes:
        """Encode in a temporary folder; raises `BenchError` if the log's frames or bits are not those of the file."""
        count, height, width = frames.shape
        structure = "intra" if condition.intra_period == 1 else condition.structure
        with tempfile.TemporaryDirectory(prefix="vtm-") as folder:
            source, stream = Path(folder, "source.yuv"), Path(folder, "stream.vvc")
            source.write_bytes(to_planes(to_uint8(frames), "gray"))
            arguments = {
                "-i": source,
                "-b": stream,
                "-o": os.devnull,
                "-wdt": width,
                "-hgt": height,
                "-fr": FRAME_RATE,
                "-f": count,
                "-q": rate_point,
                "-ts": 1,
            }
            settings = {
                "InputBitDepth": 8,
                "InputChromaFormat": 400,
                "ConformanceWindowMode": 1,
                "IntraPeriod": condition.intra_period,
                "SEIDecodedPictureHash": 0,
            }
            command = [str(self._tool("encoder")), "-c", str(self._configuration(structure))]
            command += [str(part) for pair in arguments.items() for part in pair]
            command += [f"--{key}={value}" for key, value in settings.items()]
            output, _ = run_tool(command, limit_seconds=self.options.limit_seconds, cwd=Path(folder))
            data = stream.read_bytes()
        self._check_log(output.decode(errors="replace"), count, len(data))
        return data

    def decompress(self, payload: bytes, info: StreamInfo) -> np.ndarray:
        """Decode to eight bits; raises `BenchError` if the number of frames is not K."""
        count, height, width = info.shape
        with tempfile.TemporaryDirectory(prefix="vtm-") as folder:
            stream, target = Path(folder, "stream.vvc"), Path(folder, "decoded.yuv")
            stream.write_bytes(payload)
            run_tool(
                [self._tool("decoder"), "-b", stream, "-o", target, "-d", "8"],
                limit_seconds=self.options.limit_seconds,
                cwd=Path(folder),
            )
            if target.stat().st_size > count * height * width:
                raise BenchError(f"vtm: more is decoded than the {count} frames that the header says")
            decoded = from_planes(target.read_bytes(), height, width, "gray")
        if len(decoded) != count:
            raise BenchError(f"vtm: {len(decoded)} frames decoded where the header says {count}")
        return from_uint8(decoded)

    def _check_log(self, log: str, frames: int, size: int) -> None:
        """Compare the frames and bits that the encoder's log states with those of the file."""
        coded = [int(bits) for bits in re.findall(r"^POC\s+\d+.*?(\d+) bits", log, re.MULTILINE)]
        if len(coded) != frames:
            raise BenchError(f"vtm: the encoder's log counts {len(coded)} frames, not {frames}")
        if sum(coded) != 8 * size:
            raise BenchError(f"vtm: the encoder's log states {sum(coded)} bits, the file has {8 * size}")

    def _tool(self, role: str) -> Path:
        """The binary of a role: option, environment variable, PATH."""
        application = {"encoder": "EncoderApp", "decoder": "DecoderApp"}[role]
        variable = f"VTM_{role.upper()}"
        stated = getattr(self.options, role) or os.environ.get(variable, "")
        if stated:
            program = user_path(stated)
            if not os.access(program, os.X_OK):
                raise BenchError(f"vtm: {program} is not an executable file")
            return program.resolve()
        binary = shutil.which(application) or shutil.which(f"{application}Static")
        if binary is None:
            raise BenchError(f"{application} is not on PATH; set {variable} or the option {role}")
        return Path(binary).resolve()

    def _configuration(self, structure: str) -> Path:
        """The configuration file of a coding structure."""
        name = _CONFIGURATIONS[structure]
        stated = self.options.cfg or os.environ.get("VTM_CFG", "")
        folders = [user_path(stated)] if stated else [up / "cfg" for up in self._tool("encoder").parents]
        for folder in folders:
            if (folder / name).is_file():
                return (folder / name).resolve()
        raise BenchError(f"vtm: no {name} in {folders[0]}; set VTM_CFG to VTM's cfg folder")


@functools.cache
def _version(tool: Path, sha256: str) -> str:
    """Version that a VTM binary prints; the hash makes a replaced binary be asked again."""
    output, errors = run_tool([tool], limit_seconds=30, accept=(0, 1))  # without arguments it prints its help
    said = output.decode(errors="replace") + errors
    match = re.search(r"(?:En|De)coder Version \[?v?([\w.]+)", said)
    if match is None:
        raise BenchError(f"{tool} does not say that it is VTM: {' '.join(said.split())[:120]}")
    return match[1]
