"""A task in a package of its own: how well edges survive. It brings its measures, and a table for every report."""

import numpy as np
import pandas as pd

from bench.interfaces import Measure, Task
from bench.report.rows import mean_points
from bench.report.sections import Material, TableSection

_GRADIENT = "edges: gradient_psnr"


class Edges(Task):
    """Horizontal and vertical differences against those of the true luminance."""

    name = "edges"
    default_analyzer = "identity"
    judges = "reconstruction"
    measures = (
        Measure(name="gradient_psnr", heading="PSNR of gradients", unit="dB", digits=2, quality=True),
        Measure(name="worst", heading="largest error", digits=3),
    )

    def evaluate(self, result: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """``gradient_psnr`` over all instants, and ``worst``, the largest error of a difference."""
        errors = [np.diff(result, axis=axis) - np.diff(truth, axis=axis) for axis in (1, 2)]
        mean = np.mean([np.mean(error**2) for error in errors])
        return {
            "gradient_psnr": -10 * np.log10(max(mean, 1e-6)),
            "worst": max(np.abs(error).max() for error in errors),
        }


def _best(material: Material) -> pd.DataFrame:
    """Each codec's rate where its edges are best."""
    if _GRADIENT not in material.runs.table:
        return pd.DataFrame()
    means = mean_points(material.runs.points).dropna(subset=[_GRADIENT])
    best = means.loc[means.groupby(["dataset", "paradigm", "label"])[_GRADIENT].idxmax()]
    commands = [material.runs.command(material.runs.point(line)) for line in best.to_dict("records")]
    return best[["dataset", "paradigm", "label", "bpp", _GRADIENT]].assign(command=commands)


SECTIONS = (TableSection("edges", "Best edges", "The rate point with the highest PSNR of gradients.", 900, _best),)
