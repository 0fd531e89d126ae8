import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from bench.errors import BenchError
from bench.interfaces import Dataset, to_uint8
from bench.measure.iqa import IqaRow, score_run
from bench.metrics import iqa
from bench.registry import create
from bench.report.iqa_table import _matched, table_v
from bench.report.rows import load_runs
from bench.results.tables import read_table
from tests import iqa_oracle
from tests.test_gate import CODECS, run, write_run

HEADER = ",".join(IqaRow.model_fields)


@pytest.fixture
def run_with_pictures(tmp_path):
    folder = write_run(tmp_path / "run", CODECS)
    (folder / "streams").mkdir()
    random = np.random.default_rng(0)
    for job in pd.read_csv(folder / "rd.csv")["job"]:
        Image.fromarray(random.integers(0, 256, (64, 64), np.uint8)).save(folder / "streams" / f"{job}.png")
    return folder


def quiet(done, total, label):
    pass


def test_every_picture_gets_a_row_and_a_metric_without_weights_its_reason(run_with_pictures, monkeypatch):
    def ready(name):
        if name == "musiq":
            raise BenchError("musiq: no weights")
        return iqa.Metric("test 1", "f" * 64, lambda x: x.mean() * 100)

    monkeypatch.setattr("bench.measure.iqa.load_metric", ready)
    rows = score_run(run_with_pictures, ["niqe", "musiq"], quiet)
    assert rows == [row for _, row in read_table(run_with_pictures / "iqa.csv", IqaRow)]
    assert [row.status for row in rows] == ["ok"] * 16 + ["skipped"] * 16
    assert {row.reason for row in rows[16:]} == {"musiq: no weights"}
    assert all(40 < row.value < 60 for row in rows[:16])
    # Another metric later leaves these rows alone.
    again = score_run(run_with_pictures, ["brisque"], quiet)
    assert {row.metric for row in again} == {"brisque"}
    # Table V has a line for each codec, and one for a metric without any score.
    lines = table_v(load_runs([run_with_pictures]))[["metric", "codec", "measured"]].to_dict("records")
    assert [line["measured"] for line in lines if line["metric"].startswith("MUSIQ")] == ["(musiq: no weights)"]
    assert len([line for line in lines if line["metric"].startswith("NIQE")]) == 2
    assert [row for _, row in read_table(run_with_pictures / "iqa.csv", IqaRow)] == rows + again


def test_the_networks_words_are_no_reason(monkeypatch):
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed")

    def offline(name, device):
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setattr(pyiqa, "create_metric", offline)
    with pytest.raises(BenchError, match=r"^musiq: weights not available$"):
        iqa.load_metric("musiq")


@pytest.mark.parametrize(("broken", "code"), [((), 0), (("musiq",), 0), (("niqe", "musiq"), 1)])
def test_a_verb_that_scored_nothing_does_not_end_as_if_it_had(run_with_pictures, monkeypatch, capsys, broken, code):
    def ready(name):
        if name in broken:
            raise BenchError(f"{name}: no weights")
        return iqa.Metric("test 1", "f" * 64, lambda x: x.mean() * 100)

    monkeypatch.setattr("bench.measure.iqa.load_metric", ready)
    exit_code, text = run(capsys, "iqa", run_with_pictures, "--metrics", "niqe,musiq")
    assert exit_code == code, text
    assert ("16 skipped: musiq: no weights" in text) == bool(broken)


def test_a_picture_that_cannot_be_scored_fails_the_verb(run_with_pictures, monkeypatch, capsys):
    def score(picture):
        raise ValueError("too small")

    monkeypatch.setattr("bench.measure.iqa.load_metric", lambda name: iqa.Metric("test 1", "f" * 64, score))
    code, text = run(capsys, "iqa", run_with_pictures, "--metrics", "niqe")
    assert (code, "16 failed: niqe: too small" in text) == (1, True)


def test_running_again_is_advised_only_where_it_helps(tmp_path):
    """Not where streams were kept and the results were no pictures, nor where nothing was measured."""
    folder = write_run(tmp_path / "a", CODECS)
    with pytest.raises(BenchError, match="run it again here"):
        score_run(folder, ["niqe"], quiet)
    (folder / "streams").mkdir()
    for job in pd.read_csv(folder / "rd.csv")["job"]:
        (folder / "streams" / f"{job}.spk").touch()
    with pytest.raises(BenchError, match="classes, or were measured without a truth"):
        score_run(folder, ["niqe"], quiet)
    skipped = write_run(tmp_path / "b", CODECS, rows=lambda row: row.model_copy(update={"status": "skipped"}))
    with pytest.raises(BenchError, match="none of its points could be measured"):
        score_run(skipped, ["niqe"], quiet)


def test_runs_without_pictures_and_unknown_metrics_are_refused(tmp_path):
    folder = write_run(tmp_path / "run", CODECS)
    with pytest.raises(BenchError, match="no pictures to score"):
        score_run(folder, ["niqe"], quiet)
    with pytest.raises(BenchError, match="no metric 'nique'"):
        score_run(folder, ["nique"], quiet)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "columns are not"),
        (HEADER + "\n1,aaaaaaaaaaaa,niqe,many,pyiqa 1,ff,ok,\n", "line 2, column value"),
        (HEADER + "\nx,aaaaaaaaaaaa,niqe,1,pyiqa 1,ff,ok,\n", "line 2, column schema_version"),
        ("\xff", "columns are not"),
    ],
)
def test_damaged_tables_are_named(tmp_path, text, words):
    path = tmp_path / "iqa.csv"
    path.write_text(text)
    with pytest.raises(BenchError, match=words):
        list(read_table(path, IqaRow))


def test_matched_rates_lie_where_all_curves_are():
    """Scores that are linear in the logarithm of the rate come out exactly, at one rate for all."""
    lines = [
        {"sequence": "a", "segment": 0, "curve": curve, "bpp": bpp, "value": slope * np.log2(bpp)}
        for curve, slope, rates in (("x", 1.0, (0.01, 0.02, 0.08)), ("y", 2.0, (0.02, 0.04, 0.08, 0.16)))
        for bpp in rates
    ]
    lines.append({"sequence": "b", "segment": 0, "curve": "x", "bpp": 0.01, "value": 100.0})  # y lacks b
    scores, rate, count = _matched(pd.DataFrame(lines))
    assert (round(rate, 6), count) == (0.04, 1)
    assert scores == pytest.approx({"x": np.log2(0.04), "y": 2 * np.log2(0.04)})


def test_matched_scores_are_means_over_sequences_not_segments():
    lines = [
        {"sequence": sequence, "segment": segment, "curve": curve, "bpp": bpp, "value": value}
        for sequence, segment, value in (("a", 0, 1.0), ("a", 256, 2.0), ("a", 512, 3.0), ("b", 0, 6.0))
        for curve in ("x", "y")
        for bpp in (0.01, 0.02)
    ]
    scores, _, count = _matched(pd.DataFrame(lines))
    assert (scores, count) == ({"x": 4.0, "y": 4.0}, 2)


def test_parameters_come_from_checked_archives_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BenchError, match="run `bench data get iqa`"):
        iqa._parameters("niqe.mat", "niqe")
    with zipfile.ZipFile(tmp_path / iqa.SOURCES["niqe.mat"].archive, "w") as archive:
        archive.writestr(iqa.SOURCES["niqe.mat"].member, "not it")
    with pytest.raises(BenchError, match="SHA-256 is"):
        iqa.fetch_parameters(tmp_path)
    assert not (tmp_path / "cache/data/iqa/niqe.mat").exists()


def test_rows_say_what_they_hold():
    with pytest.raises(ValueError, match="status"):
        IqaRow(schema_version=1, job="a", metric="niqe", status="fine")


def pictures():
    """24 photographs of 256 x 256: the eight scenes of s-motion, as they are, blurred and noisy."""
    dataset = create(Dataset, "s-motion")
    random = np.random.default_rng(0)
    for info in dataset.sequences():
        truth = dataset.open(info.name).truth([20])[0]
        for image in (truth, gaussian_filter(truth, 1.5), truth + random.normal(0, 0.04, truth.shape)):
            yield to_uint8(np.clip(image, 0, 1))


def test_an_implementation_of_the_papers_own_formulas_agrees(tmp_path, monkeypatch):
    """On parameters that were drawn, so that no file has to be fetched; docs/protocol.md has the true ones."""
    pytest.importorskip("pyiqa")
    random = np.random.default_rng(1)
    near = iqa_oracle.features(next(pictures()))
    spread = random.normal(0, 0.05, (36, 36))
    savemat(tmp_path / "niqe.mat", {"mu_prisparam": near[None], "cov_prisparam": spread @ spread.T + 0.01 * np.eye(36)})
    vectors = "\n".join(
        f"{random.normal(0, 200):.6f} " + " ".join(f"{k + 1}:{x:.6f}" for k, x in enumerate(random.uniform(-1, 1, 36)))
        for _ in range(50)
    )
    (tmp_path / "brisque.svm").write_text(f"gamma 0.05\nrho -153.591\nSV\n{vectors}\n")
    monkeypatch.setattr(iqa, "_folder", lambda: tmp_path)
    seen = list(pictures())
    assert len(seen) == 24
    for name, own, file, furthest in (
        ("niqe", iqa_oracle.niqe, "niqe.mat", 0.02), ("brisque", iqa_oracle.brisque, "brisque.svm", 0.02),
    ):  # fmt: skip
        scores = np.array(iqa.load_metric(name).scores(seen))
        others = np.array([own(picture, tmp_path / file) for picture in seen])
        assert np.ptp(others) > 1
        assert np.abs(scores - others).max() < furthest * np.ptp(others)
