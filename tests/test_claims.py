"""What the rows of a report say on the paper's claims."""

import pandas as pd
import pytest

from bench.report.bd_table import bd_table, table_iv
from bench.report.paper.findings import (
    Facts,
    bits_against,
    bits_against_cta,
    growth,
    quality_against_cta,
)
from bench.report.rows import load_runs
from bench.report.sections import Material
from bench.report.table import Table
from tests.test_gate import write_run


def facts(runs):
    bd = bd_table(runs.points)
    return Facts(Material(runs, runs, bd, (Table("table_iv", "", "", table_iv(runs, bd)),)))


def said(findings):
    return [(finding.holds, finding.words) for finding in findings]


def test_caas_is_compared_with_the_best_of_cta_lossless_codecs_too(tmp_path):
    """x265 has other features under CAAS than its own spikes; isi loses nothing under CTA and has one point."""

    def spikes(row):
        if row.codec == "x264":
            return row.model_copy(update={"paradigm": "cta", "codec": "x265", "psnr": row.psnr - 5, "bpp": 1.0})
        return row.model_copy(update={"paradigm": "cta", "psnr": 41.0, "bpp": 0.4}) if row.codec == "isi" else row

    codecs = {"x265": (1000, ""), "x264": (9000, "")}
    lossy = facts(load_runs([write_run(tmp_path / "lossy", codecs, rows=spikes)]))
    assert said(quality_against_cta(lossy)) == [
        (True, "s-motion: as good or better with 1 of 1 codecs (x265 39.00 dB against 34.00 of x265)")
    ]
    every = facts(load_runs([write_run(tmp_path / "every", {**codecs, "isi": (9000, "")}, rows=spikes)]))
    assert said(quality_against_cta(every)) == [
        (False, "s-motion: as good or better with 0 of 1 codecs (x265 39.00 dB against 41.00 of isi)")
    ]
    assert said(bits_against_cta(every)) == [
        (True, "s-motion: fewer bits with 1 of 1 codecs (x265 0.007 bpp against 0.400 of isi)")
    ]


def test_libvvenc_does_not_count_as_vtm_and_a_mean_decides(tmp_path):
    def uneven(row):
        more = row.codec == "vvenc" and row.preset == "slow" and row.sequence == "low-1"
        return row.model_copy(update={"bpp": row.bpp / 1.9}) if more else row

    runs = {
        "faster": write_run(tmp_path / "a", {"sci": (500, "f" * 64), "vvenc": (1000, "")}),
        "slow": write_run(
            tmp_path / "b", {"vvenc": (1000, "")},
            rows=lambda row: uneven(row.model_copy(update={"preset": "slow", "job": row.job[::-1]})),
        ),
    }  # fmt: skip
    known = facts(load_runs(list(runs.values())))
    assert said(bits_against("vtm", 36.5)(known)) == []
    words = [
        "s-motion: -50.00 (-50.0 .. -50.0) % against vvenc",
        "s-motion: -27.50 (-100.0 .. +258.4) % against vvenc (slow)",
    ]
    for percent, holds in ((0, True), (36.5, True), (60, None)):
        # Over two sequences that differ so much, no gain is shown.
        assert said(bits_against("vvenc", percent)(known)) == [(holds, words[0]), (False, words[1])]


@pytest.mark.parametrize(
    ("few", "after", "holds"),
    [
        (True, 102.0, True),
        (True, 105.0, None),
        (True, 120.0, False),
        (False, 170.0, True),
        (False, 120.0, None),
        (False, 100.0, False),
    ],
)
def test_a_part_adds_few_operations_or_many(few, after, holds):
    """Table IX has 2.33 % for the second pathway, and 61.21 % for AFR."""
    row = (
        ("extraction ventral only", "extraction dual with PFU10") if few else ("analysis DCN only", "analysis with AFR")
    )
    cells = pd.DataFrame({"part": ["before", "after"], "GMAC": ["100.0", str(after)], "command": ""})
    known = Facts(Material(None, None, pd.DataFrame(), (Table("table_ix", "", "", cells),)))
    assert [finding.holds for finding in growth("before", "after", row, few)(known)] == [holds]
