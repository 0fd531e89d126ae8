"""VVC by libvvenc, through ffmpeg.

libvvenc takes only 4:2:0 with ten bits: luma is shifted up by two bits, and chroma is neutral. Perceptual adaptation is
off, since PSNR is the measure. The intra period is given in frames, through vvenc-params.
"""

from __future__ import annotations

from typing import Literal

from baselines._video import FfmpegCodec, QpCodec, VideoOptions, library_parameters
from bench.errors import BenchError
from bench.interfaces import CodingCondition, RatePoint


class Vvenc(QpCodec, FfmpegCodec):
    """Fraunhofer's VVC encoder; decoded by ffmpeg's VVC decoder."""

    name = "vvenc"
    encoder = "libvvenc"
    muxer = "vvc"
    pixel_format = "yuv420p10le"
    default_chroma = "420 neutral"
    qp_range = (0, 63)
    min_side = 64

    class Options(VideoOptions):
        """Options: preset, the encoder's speed."""

        preset: Literal["faster", "fast", "medium", "slow", "slower"] = "faster"
        """Speed of the encoder."""

    def lookahead(self, condition: CodingCondition) -> float:
        """0 in low delay, else its group of pictures and the reach of its temporal filter."""
        return 0 if condition.structure == "low_delay" or condition.intra_period == 1 else 16 + 6

    def surplus(self, count: int, condition: CodingCondition) -> int:
        """Fill up to 17 frames where libvvenc would return none: without reordering it does so for 15 and 16 frames.

        The packets of the first frames do not depend on those that follow.
        """
        return 17 - count if condition.structure == "low_delay" and count in (15, 16) else 0

    def encoder_options(self, rate_point: RatePoint, condition: CodingCondition) -> dict[str, object]:
        """Constant QP; GOPs of 8 in coding order for low delay, of 16 with reordering for random access."""
        return {
            "qp": rate_point,
            "preset": self.options.preset,
            "qpa": 0,
            "vvenc-params": library_parameters(self._structure(condition)),
        }

    def _structure(self, condition: CodingCondition) -> dict[str, object]:
        period = condition.intra_period
        if period == 1:
            return {"GOPSize": 1, "IntraPeriod": 1}
        if period % 8:
            raise BenchError(f"vvenc: the intra period must be 1 or a multiple of 8 frames, not {period}")
        if condition.structure == "low_delay":
            # Refresh type `none` with an IDR at POC 0 is what the library allows without reordering. Its temporal
            # filter, and the block importance taken from the filter's motion, see past frames alone.
            order = {"PicReordering": 0, "POC0IDR": 1, "DecodingRefreshType": "none"}
            return {**order, "MCTFFutureReference": 0, "GOPSize": 8, "IntraPeriod": period}
        if period % 16:
            raise BenchError(f"vvenc: random access needs an intra period of 1 or a multiple of 16, not {period}")
        return {"GOPSize": 16, "IntraPeriod": period, "POC0IDR": 1, "DecodingRefreshType": "cra"}
