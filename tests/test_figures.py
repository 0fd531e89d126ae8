"""Figures: curves that can be told apart, names that fit, and files whose names are safe."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bench.names import file_name, short, shortened
from bench.progress import silent
from bench.report.build import build_report
from bench.report.page_data import curves_data
from bench.report.paper.figures import paper_sheets
from bench.report.pictures import _nearest_points
from bench.report.plots import add_legend, curve_styles, rd_plot, short_names
from bench.report.rows import load_runs
from bench.report.table import latex
from bench.results.rows import read_rows
from tests.conftest import one_line_error
from tests.test_gate import skipped, unfinish, write_run

ODD = [
    "low-1", "Low-1", "LOW-1", "low 1", "low/1", "low:1", "low.1", "low-1.", "low-1 ", "low_1", "lów-1", "lo\u0301w-1",
    "\u8bad\u7ec3", "\u8bad\u7ec4", "con", "nul", "com1", "..", ".", "", "-", "a" * 300, "a" * 299 + "b", "20240517",
    "train-0123abcd", "a\\b", "a*b", 'a"b', "a?b", "a|b", "~", "$HOME", "%PATH%",
]  # fmt: skip


def test_names_of_files_are_safe_short_and_one_to_one():
    names = [file_name(name) for name in ODD]
    assert len({name.lower() for name in names}) == len(ODD)
    assert all(re.fullmatch(r"[\w-]{1,80}", name, re.ASCII) and not name.startswith("-") for name in names)
    assert not {name.lower() for name in names} & {"con", "nul", "com1"}
    # Names of the shipped sets and codecs are files' names as they are.
    assert file_name("s-motion", "low-1") == "s-motion_low-1"
    assert file_name("20240517") == "20240517"
    # A name that looks like another's with its hash is another's no more.
    assert file_name(file_name("low/1")) != file_name("low/1")
    assert file_name("a_b", "c") != file_name("a", "b_c") != file_name("a", "b", "c")


def test_long_names_are_shortened_and_stay_different():
    names = ["x" * 100 + end for end in "abc"] + [
        "short",
        "x" * 40 + "middle" + "x" * 60,
        "x" * 40 + "centre" + "x" * 60,
    ]
    texts = shortened(names, 30)
    assert set(texts) == set(names)
    assert len(set(texts.values())) == len(names)
    assert texts["short"] == "short"
    assert all(len(text) <= 33 for text in texts.values())
    assert short("abc", 3) == "abc" and short("abcd", 3) == "a…d"


def test_every_curve_has_a_look_of_its_own():
    codecs = [f"codec {number}" for number in range(40)]
    chains = ["", "[tfp]"]
    curves = [
        ((paradigm, codec, chain), paradigm, codec)
        for paradigm, codec, chain in itertools.product(("cta", "atc", "caas", "mine", "yours"), codecs, chains)
    ]
    styles = curve_styles(curves, codecs)
    for looks in (
        [tuple(map(str, style.plot().values())) for style in styles.values()],
        [tuple(style.svg().values()) for style in styles.values()],
    ):
        assert len(set(looks)) == len(curves) == 400
    # A point alone shows no line: for the paper's paradigms colour and mark are enough for 40 curves.
    few = curve_styles([(name, paradigm, codec) for name, paradigm, codec in curves if not name[2]], codecs)
    points = {(style.colour, style.paradigm, style.mark) for style in few.values() if style.paradigm}
    assert len(points) == 3 * 40


def test_a_codec_has_one_colour_whatever_a_figure_shows():
    labels = ["vvenc", "sci", "x265"]
    whole = curve_styles([(name, "caas", name) for name in labels], labels)
    part = curve_styles([("one", "atc", "x265")], labels)
    assert part["one"].colour == whole["x265"].colour
    # Nor does another report, or another preset, change the colour of a codec of this suite.
    other = curve_styles([("one", "cta", "x265 (slow)"), ("two", "cta", "mine")], ["a", "mine", "x265 (slow)"])
    assert other["one"].colour == whole["x265"].colour != other["two"].colour


@pytest.mark.parametrize(("count", "width"), [(1, 5), (5, 20), (40, 20), (60, 48), (200, 12)])
def test_a_legend_is_never_cut(count, width, tmp_path):
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axis = figure.subplots()
    for number in range(count):
        axis.plot([1, 2], [number, number], label=f"{number} ".ljust(width, "W"))
    add_legend(figure, axis)
    figure.savefig(tmp_path / "figure.png")
    (legend,) = figure.legends
    assert len(legend.get_texts()) == count
    places = legend.get_window_extent()
    whole = figure.bbox
    assert places.x0 >= whole.x0 and places.y0 >= whole.y0 and places.x1 <= whole.x1 + 1 and places.y1 <= whole.y1 + 1
    assert not places.overlaps(axis.get_window_extent())
    # The axes keep their room.
    assert axis.get_window_extent().width > 4 * figure.dpi and axis.get_window_extent().height > 3 * figure.dpi


def many(row):
    """Options of 231 characters, of which two differ at their middle only."""
    options = "note=" + "lookahead-64-" * 8 + row.codec + "-subme-9-" * 13
    return row.model_copy(update={"codec": "x264", "options": options})


def test_short_names_stand_whole_in_a_table(tmp_path):
    run = write_run(tmp_path / "run", {"x265": (1000, ""), "x266": (1100, "")}, rows=many)
    runs = load_runs([run])
    names = short_names(runs.table)
    assert len(names) == 2 and names["short"].nunique() == 2 and names["short"].str.len().max() <= 52
    build_report([run], tmp_path / "report", lambda done, total, label: None)
    text = (tmp_path / "report" / "names.md").read_text()
    assert all(curve in text for curve in names["curve"])
    # The page's legend has the same names.
    curves = curves_data(runs)["s-motion"]
    assert [curves[name]["short"] for name in names["curve"]] == list(names["short"])


def test_forty_curves_are_forty_looks_in_plot_and_page(tmp_path):
    run = write_run(tmp_path / "run", {f"codec{number}": (1000 + number, "") for number in range(40)})
    runs = load_runs([run])
    rd_plot(runs.table, "s-motion", [tmp_path / "rd.png", tmp_path / "rd.svg"])
    drawn = (tmp_path / "rd.svg").read_text()
    assert Image.open(tmp_path / "rd.png").height > 130 * 4.6 + 50
    assert len(drawn) > 10_000 and "n = " not in drawn  # all curves are of the sequences that the panel's title counts
    looks = [
        tuple(curve[part] for part in ("colour", "dash", "mark")) for curve in curves_data(runs)["s-motion"].values()
    ]
    assert len(looks) == len(set(looks)) == 40


def test_one_speed_class_is_one_panel(tmp_path):
    slow = write_run(
        tmp_path / "slow", {"x265": (1000, "")}, rows=lambda row: row.model_copy(update={"speed_class": ""})
    )
    both = write_run(tmp_path / "both", {"x265": (1000, "")})
    for folder in (slow, both):
        rd_plot(load_runs([folder]).table, "s-motion", [folder / "rd.png"])
    assert Image.open(both / "rd.png").width > 2 * Image.open(slow / "rd.png").width


def test_a_report_removes_what_an_earlier_one_wrote_and_nothing_else(tmp_path):
    def report(name):
        change = {"dataset": name, "speed_class": ""}
        run = write_run(tmp_path / name, {"x265": (1000, "")}, rows=lambda row: row.model_copy(update=change))
        build_report([run], tmp_path / "report", silent)
        return {path.name for path in (tmp_path / "report").iterdir()}

    assert "rd_one.png" in report("one")
    (tmp_path / "report" / "mine.csv").touch()
    (tmp_path / "outside.csv").touch()
    with (tmp_path / "report" / ".report").open("a") as note:
        note.write("../outside.csv\n")
    names = report("two")
    assert {"rd_two.png", "mine.csv"} <= names and not {name for name in names if "one" in name}
    assert (tmp_path / "outside.csv").exists()


@pytest.mark.parametrize(("style", "width", "height"), [("paper", 8.5 / 2.54, None), ("slides", 13.333, 7.5)])
def test_a_figure_alone_in_a_style(bench, tmp_path, style, width, height):
    """One column wide with embedded fonts, or a slide; the labels of the axis do not touch one another."""
    write_run(tmp_path / "run", {"x265": (1000, ""), "sci": (1100, "")})
    said = bench("report", "run", "--figure", "rd_s-motion", "--style", style, "--out", "figures").stdout.split()
    assert said == [f"figures/rd_s-motion{suffix}" for suffix in (".png", ".svg", ".pdf")]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(Path(name).name for name in said)
    image = Image.open(tmp_path / "figures" / "rd_s-motion.png")
    assert image.width == pytest.approx(width * image.info["dpi"][0], abs=2)
    assert height is None or image.height == pytest.approx(height * image.info["dpi"][1], abs=2)
    pdf = (tmp_path / "figures" / "rd_s-motion.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    one_line_error(bench("report", "run", "--figure", "absent", check=2), "no figure named 'absent'", "rd_s-motion")
    one_line_error(bench("report", "run", "--style", "poster", check=2), "screen, paper, slides")


def test_shipped_codecs_have_their_colours_in_every_report():
    one = curve_styles([("a", "caas", "sci (small)")], ["sci (small)"])
    two = curve_styles([("a", "cta", "sci (paper)")], ["dcvc (small)", "mine", "sci (paper)", "vvenc (faster)"])
    assert one["a"].colour == two["a"].colour


def test_latex_has_columns_of_numbers_and_marks_the_best():
    cells = pd.DataFrame(
        {"dataset": ["a", "a", "b"], "PSNR [dB]": ["-30.12", "31.5", "2.0"], "x_y": ["-3.2 .. 4 %", "a & b", "c-1"]}
    )
    lines = latex(cells, higher=["PSNR [dB]"]).splitlines()
    assert r"\begin{tabular}{l S[table-format=-2.2] l}" in lines
    assert r"{dataset} & {PSNR [dB]} & {x\_y} \\" in lines
    assert r"a & {\underline{\num{-30.12}}} & $-$3.2 .. 4 \% \\" in lines
    assert r"a & \bfseries 31.5 & a \& b \\" in lines
    assert r"b & 2.0 & c-1 \\" in lines


@pytest.fixture
def recording(tmp_path, spikes):
    """A folder with a recording without truth, of a long and odd, but legal name."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    name = "2024-05-17_Train camera-3_" + "take" * 50
    packed = np.packbits(spikes(105)[:, ::-1].reshape(105, -1), axis=1, bitorder="little")
    packed.tofile(folder / f"{name}.dat")
    (folder / f"{name}.json").write_text(json.dumps({"width": 40, "height": 32, "rate": 0.6}))
    return folder


def test_a_run_without_truth_has_pictures_and_tables_of_bits(recording, bench, tmp_path):
    grid = ["--codec", "x265,zstd", "--paradigm", "cta,caas", "--extractor", "tfp", "--frames", "8", "--jobs", "1"]
    grid += ["--dataset", f"dat:root={recording}", "--out", "run"]
    said = bench("run", *grid).stdout
    rows = [row for row in read_rows(tmp_path / "run" / "rd.csv") if row.status == "ok"]
    assert rows and all(row.psnr is None for row in rows)
    assert all((tmp_path / "run" / "streams" / f"{row.job}.png").exists() for row in rows)
    (sheet,) = (tmp_path / "run").glob("pictures_*.png")
    assert len(sheet.name) < 120 and sheet.name in said
    bench("run", *grid, "--resume")
    bench("report", "run", "--out", "report", "--page", "report/index.html")
    assert (tmp_path / "report" / sheet.name).exists()
    table = (tmp_path / "report" / "table_caas.csv").read_text().splitlines()
    assert table[0].startswith("dataset,codec,extractor,analyzer,card,rate point,sequences,bpp,bpf")
    assert len(table) == 1 + 4
    assert "spikes at instant 4" in (tmp_path / "report" / "index.html").read_text()


def test_pictures_of_other_instants_have_sheets_of_their_own(bench, tmp_path):
    grid = ["--dataset", "s-motion:size=32,num_spikes=121", "--codec", "x265", "--rates", "40", "--extractor", "tfp"]
    grid += ["--limit", "1", "--jobs", "1", "--no-figures"]
    bench("run", *grid, "--frames", "4", "--out", "four")
    bench("run", *grid, "--frames", "8", "--out", "eight")
    bench("report", "four", "eight", "--out", "report")
    assert len(list((tmp_path / "report").glob("pictures_*.png"))) == 2


def test_paper_figures_take_rows_of_one_sampling(bench, tmp_path):
    """A row of other instants would show another frame of the recording, and its error against another truth."""
    grid = ["--dataset", "s-motion:size=32,num_spikes=121", "--codec", "x265", "--rates", "40", "--paradigm", "cta"]
    grid += ["--limit", "1", "--jobs", "1", "--no-figures"]
    bench("run", *grid, "--frames", "4", "--out", "four")
    bench("run", *grid, "--frames", "8", "--out", "eight")
    (alone,), _ = paper_sheets(load_runs([tmp_path / "four"]))
    (both,), _ = paper_sheets(load_runs([tmp_path / "four", tmp_path / "eight"]))
    assert alone.name == both.name == "fig_13_low-1"
    assert [(tile.title, tile.words) for tile in both.tiles] == [(tile.title, tile.words) for tile in alone.tiles]


def test_a_common_rate_is_that_of_lossy_points(tmp_path):
    """The points without loss, of many times the bits, would draw the rate upwards."""
    bits = {"x265": 1000, "x264": 1000, "ffv1": 10**6, "ffv2": 10**6}
    rows = load_runs([write_run(tmp_path / "run", {codec: (least, "") for codec, least in bits.items()})]).table
    rows = rows[rows["sequence"] == "low-1"]
    whole = rows["codec"].str.startswith("ffv")
    points = rows["rate_point"].astype(str).mask(whole, "lossless")
    rows = rows.assign(rate_point=points, curve=rows["codec"].astype(str))
    nearest, rate = _nearest_points(rows)
    assert rate == _nearest_points(rows[~whole])[1]
    assert list(nearest["curve"]) == ["x265", "x264", "ffv1", "ffv2"]
    assert _nearest_points(rows[whole])[1] == rows.loc[whole, "bpp"].median()


def test_a_report_of_nothing_is_refused_and_of_a_part_says_so(bench, tmp_path):
    none = write_run(tmp_path / "none", {"x265": (1000, "")}, rows=skipped)
    one_line_error(bench("report", none, "--out", "report", check=None), "nothing to report", "no encoder here")
    empty = write_run(tmp_path / "empty", {})
    one_line_error(bench("report", empty, "--out", "report", check=None), "nothing to report")
    assert not (tmp_path / "report").exists()
    part = unfinish(write_run(tmp_path / "part", {"x265": (1000, "")}))
    assert "part is not finished" in bench("report", part, "--out", "report").stderr
