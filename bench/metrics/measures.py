"""The measures that have a column in rd.csv, in the order in which tables show them."""

from __future__ import annotations

from collections.abc import Iterable

from bench.interfaces.measure import Measure

PSNR = Measure(name="psnr", heading="PSNR", unit="dB", digits=2, quality=True)
MEASURES = (
    Measure(name="bpp", heading="bpp", digits=5),
    Measure(name="bpf", heading="bpf"),
    PSNR,
    Measure(name="psnr_of_mse", heading="PSNR of mean MSE", unit="dB", digits=2),
    Measure(name="ssim", heading="SSIM", quality=True),
    Measure(name="ms_ssim", heading="MS-SSIM", quality=True),
    Measure(name="accuracy", heading="accuracy"),
    Measure(name="spike_error", heading="wrong spikes"),
    Measure(name="rate_error", heading="rate error"),
)


def clash(measures: Iterable[Measure]) -> str:
    """Why measures cannot have their names together, in words; empty where they can."""
    names = sorted(measure.name for measure in measures)
    name = next((name for name in names if f"{name}_count" in names), "")
    return f"{name}_count is the name of the column that counts the values of {name}; rename it" if name else ""
