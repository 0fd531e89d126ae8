"""AVC by x264, through ffmpeg."""

from __future__ import annotations

from typing import Literal

from baselines._video import FfmpegCodec, QpCodec, VideoOptions, library_parameters
from bench.interfaces import CodingCondition, RatePoint

_LOOKAHEAD = 68  # rc-lookahead and bframes of the preset veryslow


class X264(QpCodec, FfmpegCodec):
    """x264 at constant QP, 4:0:0, tuned for PSNR; the text of settings that it writes into streams is removed."""

    name = "x264"
    encoder = "libx264"
    muxer = "h264"
    pixel_format = "gray"
    rate_points = (49, 45, 41, 37)
    spike_rate_points = (51, 49, 47, 44)
    align = 16

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
        parameters: dict[str, object] = {"keyint": period, "min-keyint": 1, "scenecut": 0, "open-gop": 0}
        if condition.structure == "low_delay":
            parameters |= {"bframes": 0}
        return {
            "qp": rate_point,
            "preset": self.options.preset,
            "tune": "psnr",
            "x264-params": library_parameters(parameters),
            "bsf:v": "filter_units=remove_types=6",
        }
