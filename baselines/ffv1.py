"""Lossless FFV1, through ffmpeg."""

from __future__ import annotations

from baselines._video import FfmpegCodec
from bench.interfaces import CodingCondition, RatePoint


class Ffv1(FfmpegCodec):
    """FFV1 with its range coder: lossless for 8-bit frames. It travels in NUT, since it has no elementary stream."""

    name = "ffv1"
    encoder = "ffv1"
    muxer = "nut"
    pixel_format = "gray"
    rate_points = ("lossless",)
    align = 1
    min_side = 1

    def encoder_options(self, rate_point: RatePoint, condition: CodingCondition) -> dict[str, object]:
        """Version 3, range coder with large contexts, whose states last until the next intra frame."""
        return {"level": 3, "coder": "range_def", "context": 1, "g": condition.intra_period, "slicecrc": 1}
