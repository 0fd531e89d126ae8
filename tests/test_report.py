"""Reports: the paper's tables and figures from a small run, and every line back to its command."""

import csv
import re
import shlex
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench.measure.networks import NetworkRow
from bench.measure.profile import ProfileRow
from bench.metrics.smoothness import laplacian_norms
from bench.names import file_name
from bench.published import published
from bench.report.bd_table import bd_table, reference
from bench.report.paper import figures
from bench.report.paper.tables import chains_table, networks_table, table_iii
from bench.report.readme import _against_one, _origin
from bench.report.rows import load_runs
from bench.results.tables import write_table
from tests.conftest import one_line_error, run_bench
from tests.test_gate import write_run

SUITE = """
datasets = ["s-motion:size=32,num_spikes=121"]
frames = 8
sequences = ["low-1", "high-1"]
smoothness = true
count = ["spikecodec:preset=full"]

[[presets.small]]
codecs = [{ codec = "sci", rates = [0, 2, 4, 6] }, { codec = "vvenc", rates = [47, 42, 37, 32] }, "x265"]
[[presets.small]]
paradigms = ["cta"]
codecs = [{ codec = "vvenc", rates = [44, 40] }]
[[presets.small]]
codecs = ["ffv1"]
extractors = ["sci:ablation=dual", "sci:ablation=ventral", "sci:ablation=free", "tfp:window=21"]
[[presets.small]]
codecs = ["ffv1"]
analyzers = ["sci:ablation=afr", "sci:ablation=dcn", "sci:ablation=warp"]
[[presets.small]]
extractors = ["sci:ablation=dual", "sci:ablation=free"]
codecs = [{ codec = "vvenc", rates = [47, 42, 37] }]
"""


def test_laplacian_norms_are_those_of_a_known_feature():
    rows, columns = np.mgrid[:8, :8].astype(np.float32)
    assert laplacian_norms((rows + columns)[None] / 20) == pytest.approx((0, 0), abs=1e-6)  # a slope is smooth
    checks = ((rows + columns) % 2)[None]
    assert laplacian_norms(checks) == (4, 16)
    single = np.zeros((1, 5, 5), np.float32)
    single[0, 2, 2] = 0.5  # -2 there and 0.5 at four neighbours, of nine places
    assert laplacian_norms(single) == pytest.approx((4 / 9, 5 / 9))


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A run of a suite like `paper`, tiny, and its report."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tiny.toml").write_text(SUITE)
    run_bench("run", "--suite", "tiny.toml", "--out", "run", "--no-figures", cwd=folder)
    # Measured in `test_a_suite_profiles_its_chains`.
    write_table(folder / "run" / "profile.csv", ProfileRow, profiled(0.1, extractor="sci", analyzer="sci"))
    run_bench("report", "run", "--out", "report", "--page", "report/index.html", cwd=folder)
    return folder


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_table_and_figure_is_there(suite):
    report = suite / "report"
    tables = {path.stem for path in report.glob("*.md")}
    assert tables >= {
        "table_ii", "table_iii", "table_iv", "table_x", "complexity", "uncompressed", "ablations", "table_cta",
        "table_caas",
    }  # fmt: skip
    figures = {path.stem for path in report.glob("*.png")}
    assert figures >= {
        f"fig_{number}_{name}" for number in ("08", "12", "13", "15", "16", "17") for name in ("low-1", "high-1")
    }
    assert figures >= {"fig_09", "complexity", f"rd_{file_name('s-motion:num_spikes=121,size=32')}"}
    text = (report / "README.md").read_text()
    assert "## What was not measured" not in text
    assert "Fig. 17, alignment" in (report / "index.html").read_text()


def test_readme_is_short_and_links_every_file(suite):
    report = suite / "report"
    text = (report / "README.md").read_text()
    assert len(text) < 25_000
    linked = set(re.findall(r"\]\(([^)]+)\)", text))
    assert all((report / name).is_file() for name in linked), linked
    assert linked >= {path.name for path in report.glob("*.png")}
    # Table IV is shown whole.
    assert linked >= {path.name for path in report.glob("*.md")} - {"README.md", "table_iv.md"}
    assert "## Table IV" in text and "published [%]" in text
    claims = {line["claim"]: line["verdict"] for line in table(report / "claims.csv")}
    assert len(claims) > 10 and set(claims.values()) <= {"held", "held in part", "not held", "not measured"}


def test_readme_compares_with_vvc_and_begins_with_the_best(suite):
    text = (suite / "report" / "README.md").read_text().partition("## Table IV")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| C") or line.startswith("| A")]
    rows = [(name.strip(), verdict.strip()) for name, verdict in rows]
    assert rows[0] == ("CAAS vvenc (faster)", "reference")
    bd = pd.read_csv(suite / "report" / "bd.csv").query("quality == 'psnr' and anchor == 'CAAS vvenc (faster)'")
    ranking = bd.sort_values(["ranked", "bd_rate"], ascending=[False, True], kind="stable")
    assert rows[1:] == list(zip(ranking["test"], ranking["verdict"], strict=True))


def test_a_figure_of_too_few_sequences_ranks_no_curve(tmp_path):
    """x265 needs half the bits of vvenc on one scene, and has no quality in common with it on the other."""

    def apart(row):
        far = row.codec == "x265" and row.sequence == "high-1"
        return row.model_copy(update={"psnr": row.psnr + 30}) if far else row

    bits = {"vvenc": (1000, ""), "x265": (500, ""), "dcvc": (1100, ""), "x264": (900, "")}
    runs = load_runs([write_run(tmp_path / "run", bits, rows=apart)])
    bd = bd_table(runs.points)
    text = "\n".join(_against_one(runs, bd, "s-motion", "psnr"))
    places = [text.index(f"| {name} ") for name in ("CAAS vvenc", "CAAS x264", "CAAS dcvc", "CAAS x265")]
    assert places == sorted(places)
    assert "not known; the lowest figure is of too few sequences (**CAAS x265**, -50.00 [1 of 2] %)" in text
    rest = bd[~bd["test"].eq("CAAS x265")]
    assert "**CAAS x264**, -10.00 (-10.0 .. -10.0) %." in "\n".join(_against_one(runs, rest, "s-motion", "psnr"))


@pytest.mark.parametrize(
    ("curves", "reference_is"),
    [
        ({"CAAS x265": 2, "ATC vvenc": 1, "CAAS vvenc": 0}, "CAAS vvenc"),
        ({"CAAS vvenc": 3, "ATC vtm": 0}, "ATC vtm"),
        ({"CAAS x265": 1, "CAAS x264": 2}, "CAAS x264"),
        ({"CAAS vvenc:preset=fast": 2, "CAAS vvenc": 1}, "CAAS vvenc"),
    ],
)
def test_the_reference_is_vvc_where_it_was_measured(curves, reference_is):
    """Curves, with the number of figures against each."""
    names = [name.split() for name in curves]
    points = pd.DataFrame(
        {
            "dataset": "d", "paradigm": [paradigm.lower() for paradigm, _ in names],
            "label": [codec for _, codec in names], "codec": [codec.partition(":")[0] for _, codec in names],
            "first": range(len(names)), "seed": 0, "extractor": "e", "analyzer": "a", "condition": "c",
        }
    )  # fmt: skip
    lines = [
        {"dataset": "d", "quality": "psnr", "anchor": name, "bd_rate": 1.0 if k < count else np.nan}
        for name, count in curves.items()
        for k in range(3)
    ]
    table = pd.DataFrame({"options": [codec.partition(":")[2] for _, codec in names]})
    runs = SimpleNamespace(points=points, table=table)
    assert reference(runs, pd.DataFrame(lines), "d", "psnr") == reference_is


def test_a_section_says_what_its_rows_are_of(tmp_path):
    """Two runs of one codec with other weights, on two sets."""

    def other(row):
        return row.model_copy(update={"dataset": "s-reds", "job": row.job[::-1]})

    first = write_run(tmp_path / "a", {"dcvc": (1000, "a" * 64), "x265": (1000, "")})
    second = write_run(tmp_path / "b", {"dcvc": (1000, "b" * 64), "x265": (1000, "")}, rows=other)
    assert _origin(load_runs([first, second]), "s-reds") == (
        f"Rows of `{second}` (schema 2, commit unknown). Weights: dcvc bbbbbbbb. "
        "Other sections have other weights of dcvc."
    )
    assert _origin(load_runs([first]), "s-motion").endswith("Weights: dcvc aaaaaaaa.")


def test_variants_and_whole_features_are_not_among_the_compared_codecs(suite):
    codecs = {line["codec"] for line in table(suite / "report" / "table_caas.csv")}
    assert codecs == {"sci (small)", "vvenc (faster)", "x265 (medium)"}
    lines = {(line["extractor"], line["analyzer"]) for line in table(suite / "report" / "uncompressed.csv")}
    assert ("sci", "sci:ablation=dcn") in lines
    assert ("tfp", "identity") in lines


def test_smoothness_is_of_the_features_that_were_coded(suite):
    lines = {line["features"]: line for line in table(suite / "report" / "table_ii.csv")}
    assert set(lines) == {"shipped model", "without constraint", "with constraint"}
    assert lines["without constraint"]["L1, published"] == "0.1079"
    assert float(lines["with constraint"]["L1, measured"]) < float(lines["without constraint"]["L1, measured"])
    assert lines["shipped model"]["L1, published"] == ""


def test_gains_are_differences_of_rows(suite):
    lines = {line["part"]: line for line in table(suite / "report" / "ablations.csv")}
    rows = load_runs([suite / "run"]).uncompressed
    means = rows.groupby(["extractor", "analyzer"])["psnr"].mean()
    gain = means["sci:ablation=dual", "sci:ablation=dual"] - means["sci:ablation=ventral", "sci:ablation=ventral"]
    line = lines["dual pathway, against the ventral one alone"]
    assert line["gain all [dB]"] == f"{gain:+.2f}"
    assert (line["published all"], line["published slow"], line["published fast"]) == ("+1.62", "+1.36", "+2.11")
    assert "FMVR" not in lines  # the run has no such variant


def test_a_line_of_a_table_names_commands_that_give_it_again(suite, bench):
    line = table(suite / "report" / "table_caas.csv")[1]
    said = bench("explain", suite / "report" / "table_caas.csv:2").stdout.splitlines()
    assert f"  rate point = {line['rate point']}" in said
    command = shlex.split(said[-1])
    assert command[:2] == ["bench", "run"]
    bench(*command[1:], "--out", suite / "again", "--no-figures")
    rows = pd.read_csv(suite / "again" / "rd.csv")
    assert len(rows) == 2
    assert f"{rows['bpp'].mean():.5f}" == line["bpp"]
    assert f"{rows['psnr'].mean():.2f}" == line["PSNR [dB]"]
    one_line_error(bench("explain", suite / "report" / "table_caas.csv:99", check=None), "no line '99'")
    one_line_error(bench("explain", suite / "report" / "absent.csv:1", check=None), "No such file")
    one_line_error(bench("explain", suite / "report" / "bd.csv:1", check=None), "no column `command`")


def test_published_points_stand_in_the_order_of_rates(suite):
    lines = table_iii(load_runs([suite / "run"])).to_dict("records")
    assert [line["rate point"] for line in lines] == ["44", "40", "", ""]
    assert [line["published"] for line in lines] == ["VTM QP 40", "VTM QP 42", "VTM QP 44", "VTM QP 46"]
    assert [line["published bpp"] for line in lines] == ["0.13", "0.56", "0.63", "1.32"]


def test_networks_stand_beside_the_published_ones(suite):
    first = networks_table(load_runs([suite / "run"]), "X").iloc[0]
    stated = {(line["row"], line["column"]): line["value"] for line in published() if line["table"] == "X"}
    assert first["parameters [M], published"] == stated["SpikeCodec I-enc", "parameters"]
    assert networks_table(load_runs([suite / "run"]), "IX").empty  # the suite has not asked for the paper's size


def test_networks_that_several_runs_counted_are_one_line(tmp_path):
    part = {"part": "encoder", "side": "camera", "frame": "I", "parameters": 10**6, "table": "X"}
    part |= {"schema_version": 1, "codec": "sci", "width": 256, "height": 256}
    rows = [NetworkRow(macs=macs, **part) for macs in (10**9, 2 * 10**9)]
    folders = [write_run(tmp_path / name, {"x265": (1000, "")}) for name in "ab"]
    for folder, counted in zip(folders, (rows[:1], rows), strict=True):
        write_table(folder / "networks.csv", NetworkRow, counted)
    assert list(networks_table(load_runs(folders), "X")["GMAC"]) == ["1.000", "2.000"]


def profiled(seconds, reason="", **changes):
    """Rows of profile.csv of one chain: its camera needs 1 GMAC a result and twice these seconds."""
    chain = {
        "schema_version": 1, "dataset": "s-motion", "sequence": "low-1", "height": 64, "width": 64, "paradigm": "caas",
        "extractor": "tfp", "analyzer": "identity", "codec": "x265", "rate_point": "8", "frames_per_result": 1,
        "seconds": seconds, "bits": 100, "peak_memory": 10**8,
    }  # fmt: skip
    stages = [
        {"stage": "extract", "side": "camera", "frame": "", "macs": 1e9},
        {"stage": "encode", "side": "camera", "frame": "P"},
        {"stage": "decode", "side": "cloud", "frame": "P", "status": "failed" if reason else "ok", "reason": reason},
    ]
    return [ProfileRow(**{"status": "ok", **chain, **stage, **changes}) for stage in stages]


def profiled_runs(folder, *profiles):
    """Runs of x265 and vvenc, each with one of the profiles."""
    presets = {"vvenc": "faster", "x265": "medium"}
    folders = []
    for number, profile in enumerate(profiles):
        folders.append(
            write_run(
                folder / f"run-{number}", {"vvenc": (1000, ""), "x265": (1100, "")},
                rows=lambda row: row.model_copy(update={"preset": presets[row.codec]}),
            )
        )  # fmt: skip
        write_table(folders[-1] / "profile.csv", ProfileRow, profile)
    return load_runs(folders)


@pytest.mark.slow
def test_a_suite_profiles_its_chains(bench, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        'profile = ["caas x265"]\ndatasets = ["s-motion:size=32,num_spikes=121"]\nlimit = 1\nframes = 8\n'
        'codecs = [{ codec = "x265", rates = [40] }]\nextractors = ["tfp"]\n'
    )
    bench("run", "--suite", tmp_path / "tiny.toml", "--out", tmp_path / "run", "--no-figures")
    lines = table(tmp_path / "run" / "profile.csv")
    assert {(line["paradigm"], line["codec"], line["status"]) for line in lines} == {("caas", "x265", "ok")}
    assert {"extract", "encode", "decode", "analyze"} <= {line["stage"] for line in lines}
    # An existing table is kept: its seconds may have been measured on an idle machine.
    (tmp_path / "run" / "profile.csv").write_text("kept")
    bench("run", "--suite", tmp_path / "tiny.toml", "--out", tmp_path / "run", "--no-figures", "--resume")
    assert (tmp_path / "run" / "profile.csv").read_text() == "kept"


def test_a_chain_that_several_runs_profiled_is_one_line_of_the_first_whole_one(tmp_path):
    runs = profiled_runs(tmp_path, profiled(9, "broken"), profiled(0.1), profiled(0.2))
    (line,) = chains_table(runs).to_dict("records")
    assert (line["camera [GMAC]"], line["camera [ms]"]) == ("1.00 + codec", "200.0")
    assert not {"dataset", "sequence", "extractor", "analyzer"} & set(line)  # they are the same for all lines


def test_chains_that_differ_have_lines_of_their_own_that_say_in_what(tmp_path):
    others = {"dataset": "s-reds", "extractor": "tfi", "analyzer": "sci", "rate_point": "16"}
    rows = [*profiled(0.1), *profiled(0.1)]  # twice the same: a list of codecs may name one twice
    for name, value in others.items():
        rows += profiled(0.1, **{name: value})
    table = chains_table(profiled_runs(tmp_path, rows))
    assert set(table["camera [ms]"]) == {"200.0"} and len(table) == 5
    assert list(table["point"]) == ["8", "8", "8", "8", "16"]
    assert list(table["dataset"]) == ["s-motion", "s-reds", "s-motion", "s-motion", "s-motion"]
    assert list(table["extractor"]) == ["tfp", "tfp", "tfi", "tfp", "tfp"]
    assert list(table["analyzer"]) == ["identity", "identity", "identity", "sci", "identity"]
    assert "sequence" not in table


@pytest.mark.parametrize(("frames", "within"), [(1, "yes"), (4, "yes"), (11, "no")])
def test_the_cameras_limit_is_for_a_result_however_many_frames_it_has(tmp_path, frames, within):
    """Extraction and encoder need 1 GMAC a frame each."""
    (line,) = chains_table(
        profiled_runs(tmp_path, profiled(0.1, paradigm="cta", macs=1e9, frames_per_result=frames))
    ).to_dict("records")
    assert (line["camera [GMAC]"], line["within 10 GMAC"]) == (f"{2 * frames:.2f}", within)


def test_the_plot_over_costs_has_a_mark_of_one_profiled_chain_each(tmp_path, monkeypatch):
    """Costs of several profiles are not added, and those of another extractor are of another chain."""
    rows = [*profiled(0.1, rate_point="16"), *profiled(0.1), *profiled(0.1, dataset="s-reds")]
    runs = profiled_runs(tmp_path, rows, profiled(0.2))
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    assert figures.complexity_plot(runs, bd_table(runs.points), tmp_path)
    (axis,) = drawn[0].axes
    assert [list(line.get_xdata()) for line in axis.lines] == [[1.0], [10.0, 10.0]]
    assert axis.get_xlabel().endswith("left out: 2")
    (tmp_path / "other").mkdir()
    other = profiled_runs(tmp_path / "other", profiled(0.1, extractor="tfi"))
    assert figures.complexity_plot(other, bd_table(other.points), tmp_path) == []


def test_figures_without_streams_are_missing_with_the_reason(suite, bench, tmp_path):
    (suite / "run" / "streams").rename(suite / "run" / "elsewhere")
    try:
        bench("report", suite / "run", "--out", tmp_path / "bare")
    finally:
        (suite / "run" / "elsewhere").rename(suite / "run" / "streams")
    assert not list((tmp_path / "bare").glob("fig_1*.png"))
    text = (tmp_path / "bare" / "README.md").read_text()
    assert "Fig. 16, motion before and after FMVR" in text
    assert "stay on the machine where the run was made" in text
