"""HEVC by x265, through ffmpeg."""

from __future__ import annotations

from typing import Literal

from baselines._video import FfmpegCodec, QpCodec, VideoOptions, library_parameters
from bench.interfaces import CodingCondition, RatePoint

_LOOKAHEAD = 48  # rc-lookahead and bframes of the preset veryslow


class X265(QpCodec, FfmpegCodec):
    """x265 at constant QP, 4:0:0, tuned for PSNR, without the text of settings that it can write into streams."""

    name = "x265"
    encoder = "libx265"
    muxer = "hevc"
    pixel_format = "gray"
    rate_points = (49, 45, 41, 37)
    spike_rate_points = (51, 49, 47, 44)
    min_side = 64

    class Options(VideoOptions):
        """Options: preset, the encoder's speed."""

        preset: Literal[
            "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
        ] = "medium"
        """Speed of the encoder."""

    def lookahead(self, condition: CodingCondition) -> float:
        """0 in low delay, else as many frames as the slowest preset looks ahead to place B pictures."""
        return 0 if condition.structure == "low_delay" else _LOOKAHEAD

    def encoder_options(self, rate_point: RatePoint, condition: CodingCondition) -> dict[str, object]:
        """Constant QP, closed GOPs of exactly the intra period, no B pictures in low delay."""
        period = condition.intra_period
        parameters: dict[str, object] = {
            "qp": rate_point,
            "keyint": period,
            "min-keyint": period,
            "scenecut": 0,
            "open-gop": 0,
            "info": 0,
            # On 4:0:0 the analysis for weighted prediction reads chroma that does not exist: one in five encodings
            # of the same frames then differs from the others.
            "weightp": 0,
            "weightb": 0,
            "pools": "none" if self.options.threads == 1 else self.options.threads,
            "frame-threads": self.options.threads,
        }
        if condition.structure == "low_delay":
            parameters |= {"bframes": 0}
        return {
            "preset": self.options.preset,
            "tune": "psnr",
            "x265-params": library_parameters(parameters),
        }
