"""The paper's claims one by one: what it states, what the rows of a report say, and why the two may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from bench.published import stated
from bench.report.paper.findings import (
    Facts,
    Finding,
    added_operations,
    against_atc,
    best_scores,
    bits_against,
    bits_against_cta,
    bits_saved,
    encoder_cost,
    encoder_ratio,
    gain_of,
    growth,
    more_accurate,
    one_stream,
    quality_against_cta,
    smooth_ratio,
    smoother,
)
from bench.report.sections import Material, TableSection

CLAIMS = "claims"
HELD, IN_PART, NOT_HELD, UNMEASURED = "held", "held in part", "not held", "not measured"
# Between the findings of several datasets in one cell.
SEPARATOR = "; "
_SMALL = "the shipped SCI is far smaller than the paper's and was trained on two cores, "


@dataclass(frozen=True)
class _Claim:
    words: str
    place: str
    published: str
    differs: str
    check: Callable[[Facts], Iterable[Finding]]


def _claims() -> list[_Claim]:
    iv, v_e = stated("IV"), stated("V-E")
    dual, afr = ("extraction ventral only", "extraction dual with PFU10"), ("analysis DCN only", "analysis with AFR")
    return [
        _Claim(
            "With the same codec, CAAS needs fewer bits than ATC.", "Fig. 11", "in words alone",
            "ATC codes the results of the same networks",
            against_atc,
        ),
        _Claim(
            "CAAS needs fewer bits than CTA.", "Table III", "in words alone",
            "the bits of each codec's best pictures, against CTA's fewest with any codec", bits_against_cta,
        ),
        _Claim(
            "CAAS gives better pictures than CTA.", "Table III", "in words alone",
            "each codec's best pictures, against CTA's best with any codec; lossless codecs of spikes lose nothing",
            quality_against_cta,
        ),
        *(
            _Claim(
                f"SCI needs fewer bits than {name} under CAAS.", "Table IV", f"{iv['ours', name]} %",
                f"{_SMALL}{other}", bits_against(name.lower(), -float(iv["ours", name])),
            )
            for name, other in (
                ("VTM", "VTM is slow and built by the user"),
                ("DCVC", "DCVC is small, too"), ("DCVC-DC", "DCVC-DC is small, too"),
            )
        ),
        _Claim(
            "SCI needs fewer bits than libvvenc under CAAS.", "none", "no figure: the paper has VTM alone",
            f"{_SMALL}libvvenc codes VVC faster than VTM, with more bits", bits_against("vvenc", 0),
        ),
        _Claim(
            "SCI has the best scores without a reference.", "Table V", "best by NIQE, MUSIQ and BRISQUE",
            f"{_SMALL}scores are taken at matched rates, which the paper does not state", best_scores,
        ),
        _Claim(
            "A constraint makes features smoother.", "Table II",
            f"L1 norm {smooth_ratio() - 1:+.0%}",
            "both variants had short trainings", smoother,
        ),
        _Claim(
            "Two pathways give better pictures than the ventral one alone.", "V-E",
            f"+{v_e['dual pathway', 'gain']} dB", "both variants had short trainings",
            gain_of("dual pathway, against the ventral one alone", "gain all [dB]", "published all"),
        ),
        _Claim(
            "Two pathways help fast scenes.", "V-E", f"+{v_e['dual pathway', 'gain fast']} dB",
            "both variants had short trainings",
            gain_of("dual pathway, against the ventral one alone", "gain fast [dB]", "published fast"),
        ),
        _Claim(
            "FMVR improves scores without a reference.", "V-E", f"MUSIQ +{v_e['FMVR', 'MUSIQ']}",
            "MUSIQ's weights come from the network (bench data get iqa)", gain_of("FMVR", "MUSIQ", "published MUSIQ"),
        ),
        _Claim(
            "AFR improves scores without a reference.", "V-E", f"NIQE {v_e['AFR', 'NIQE']}",
            "the paper does not state its baseline; here it is deformable convolution alone",
            gain_of("AFR, against deformable convolution alone", "NIQE", "published NIQE", -1),
        ),
        _Claim(
            "SCI's features are classified better than SpiReco's.", "Table VI",
            ", ".join(f"{_gain_vi(name):+.1f} points on {name}" for name in ("S-MNIST", "S-CIFAR", "S-CALTECH")),
            "all classifiers are small and trained alike", more_accurate,
        ),
        _Claim(
            "More than 95 % of the bits are saved, and less than 20 points of accuracy lost.", "Table VII",
            "in most instances", "of the paper's sets only those named here were measured", bits_saved,
        ),
        _Claim(
            "One stream can serve several tasks.", "III", "in words alone",
            "bits of one stream, against those of a stream for each task at the same qualities", one_stream,
        ),
        _Claim(
            "SCI's encoder computes less than SpikeCodec's.", "Table X", f"{encoder_ratio('macs') - 1:+.2%}",
            "counted on networks of the paper's size, extraction included; both were rebuilt from the papers",
            encoder_cost,
        ),
        _Claim(
            "SCI's encoder takes less time than SpikeCodec's.", "Table X", f"{encoder_ratio('time') - 1:+.2%}",
            "networks of the paper's size have no weights here and are not run", lambda facts: (),
        ),
        _Claim(
            "The second pathway adds few operations.", "Table IX", f"{added_operations(*dual):+.2%}",
            "counted on networks of the paper's size",
            growth("extraction, ventral only", "extraction, dual, 10 PFU", dual, few=True),
        ),
        _Claim(
            "AFR adds many operations, in the cloud.", "Table IX", f"{added_operations(*afr):+.2%}",
            "counted on networks of the paper's size", growth("analysis, DCN only", "analysis, AFR", afr, few=False),
        ),
    ]  # fmt: skip


def claims_table(material: Material) -> pd.DataFrame:
    """One line for each claim; no lines where the report has no row of the paper's model."""
    if not material.runs.table["extractor"].str.startswith("sci").any():
        return pd.DataFrame()
    facts = Facts(material)
    lines = []
    for claim in _claims():
        findings = [] if material.bd.empty else list(claim.check(facts))
        command = next((finding.command for finding in findings if finding.command), "")
        lines.append(
            {
                "claim": claim.words, "paper": claim.place, "published": claim.published,
                "measured": SEPARATOR.join(finding.words for finding in findings), "verdict": _verdict(findings),
                "why": claim.differs, "command": command,
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def _verdict(findings: Iterable[Finding]) -> str:
    holds = [finding.holds for finding in findings]
    if not holds:
        return UNMEASURED
    return HELD if all(holds) else IN_PART if any(one is not False for one in holds) else NOT_HELD


def _gain_vi(column: str) -> float:
    paper = stated("VI")
    return float(paper["ours", column]) - float(paper["SpiReco", column])


SECTIONS = (
    TableSection(
        CLAIMS, "The paper's claims",
        "Held: every dataset agrees, by the mean. Held in part: some do, or by less than is published. Not held: no "
        "gain, or one whose 95 % interval has 0. BD-rates over too few of the sequences, and sets that the paper has "
        "no figures of, do not count. What was published enters no measured figure.",
        90, claims_table,
    ),
)  # fmt: skip
