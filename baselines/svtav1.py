"""AV1 by SVT-AV1, through ffmpeg."""

from __future__ import annotations

from pydantic import Field

from baselines._video import FfmpegCodec, QpCodec, VideoOptions, library_parameters
from bench.interfaces import CodingCondition, RatePoint


class SvtAv1(QpCodec, FfmpegCodec):
    """SVT-AV1 at constant quantiser index (1 to 63), 4:2:0 with neutral chroma, tuned for PSNR."""

    name = "svtav1"
    encoder = "libsvtav1"
    muxer = "obu"
    pixel_format = "yuv420p"
    default_chroma = "420 neutral"
    rate_points = (63, 61, 58, 55)
    spike_rate_points = (63, 62, 61, 59)
    qp_range = (1, 63)
    min_side = 64

    class Options(VideoOptions):
        """Options: preset, the encoder's speed, 0 (slowest) to 13."""

        preset: int = Field(default=6, ge=0, le=13)
        """Speed of the encoder; 0 is the slowest."""

    def lookahead(self, condition: CodingCondition) -> float:
        """0 in low delay, else its largest group of pictures and the reach of its temporal filter."""
        return 0 if condition.structure == "low_delay" else 32 + 8

    def encoder_options(self, rate_point: RatePoint, condition: CodingCondition) -> dict[str, object]:
        """Constant quantiser index, key frames exactly every intra period, prediction structure of the condition."""
        parameters = {
            "rc": 0,
            "qp": rate_point,
            "aq-mode": 0,
            "tune": 1,
            "scd": 0,
            "irefresh-type": 2,
            "keyint": condition.intra_period,
            "pred-struct": 1 if condition.structure == "low_delay" else 2,
            "lp": self.options.threads,
        }
        return {"preset": self.options.preset, "svtav1-params": library_parameters(parameters)}
