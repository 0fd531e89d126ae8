import json
import math
from xml.etree import ElementTree

import pytest

from bench.check.gate import Finding, Tolerance, check_runs
from bench.cli.program import main
from bench.fingerprint import digest
from bench.interfaces import CodingCondition
from bench.interfaces.condition import ConditionCard
from bench.results.rows import RDRow, read_rows, write_rows

RATES = (8, 16, 32, 64)


def card(**changes):
    values = {
        "task": "reconstruction", "num_spikes": 289, "stride": 8, "num_frames": 32, "margin": 20,
        "coding": CodingCondition(), "extractor": "tfp", "analyzer": "identity",
    }  # fmt: skip
    return ConditionCard(**{**values, **changes})


def write_run(folder, codecs, condition=None, rows=lambda row: row):
    """A run's folder: for each codec, name to (bits at the lowest rate, weights), four points of two sequences."""
    condition = condition or card()
    records = []
    for codec, (bits, weights) in codecs.items():
        for sequence in ("low-1", "high-1"):
            for point, rate in enumerate(RATES):
                values = {
                    "schema_version": 2, "job": digest([codec, sequence, point])[:12],
                    "dataset": "s-motion", "sequence": sequence, "speed_class": sequence.split("-")[0], "segment": 0,
                    "task": "reconstruction", "paradigm": "caas", "extractor": condition.extractor,
                    "analyzer": "identity", "codec": codec, "options": "", "preset": "", "codec_version": "1",
                    "codec_sha256": "", "weights_sha256": weights, "chroma": "400", "rate_point": str(rate),
                    "condition": condition.digest, "height": 64, "width": 64, "num_spikes": 289, "num_frames": 32,
                    "evaluated": "all",
                    "bits": int(bits * 2**point), "bpp": bits * 2**point / (289 * 4096), "bpf": 1.0,
                    "psnr": 30.0 + 3 * point, "ssim": 0.9, "ms_ssim": None, "decoded_sha256": f"{point}" * 64,
                    "status": "ok", "seed": 0,
                }  # fmt: skip
                records.append(rows(RDRow(**values)))
    folder.mkdir()
    write_rows(folder / "rd.csv", records)
    document = {
        "schema": 2, "plan": "p", "status": "finished", "grids": [{"segments": 1}],
        "provenance": [{"suite": "0", "git_commit": "", "processor": "", "command": "bench run"}],
        "conditions": {condition.digest: condition.model_dump(mode="json")}, "origins": {}, "inputs": {},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(document))
    return folder


def run(capsys, *arguments):
    """Exit code and what was printed."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr("sys.argv", ["bench", *map(str, arguments)])
        main()
    printed = capsys.readouterr()
    return caught.value.code, printed.out + printed.err


CODECS = {"x265": (1000, ""), "dcvc": (2000, "f" * 64)}


def test_the_same_run_passes_ten_times_in_ten(tmp_path, capsys):
    reference, same = write_run(tmp_path / "a", CODECS), write_run(tmp_path / "b", CODECS)
    for _ in range(10):
        code, text = run(capsys, "check", same, "--against", reference)
        assert (code, text.count("\n")) == (0, 1)
        assert "8 rows compared exactly, 8 with tolerance" in text


def test_one_bit_more_of_an_exact_codec_fails_and_is_named(tmp_path, capsys):
    reference = write_run(tmp_path / "a", CODECS)

    def changed(row):
        worse = row.codec == "x265" and row.sequence == "low-1" and row.rate_point == "16"
        return row.model_copy(update={"bits": row.bits + 8}) if worse else row

    other = write_run(tmp_path / "b", CODECS, rows=changed)
    code, text = run(capsys, "check", other, "--against", reference)
    assert code == 1
    assert "changed  caas x265 [tfp+identity] 16 s-motion/low-1: 2000 -> 2008 bits (+0.40 %)" in text
    # The same bits of another binary are a matter of tolerance.
    other = write_run(tmp_path / "c", CODECS, rows=lambda row: changed(row).model_copy(update={"codec_sha256": "1"}))
    assert run(capsys, "check", other, "--against", reference)[0] == 0


@pytest.mark.parametrize(("factor", "code"), [(1.005, 0), (0.5, 0), (1.03, 1)])
def test_learned_codecs_may_lose_a_percent(tmp_path, capsys, factor, code):
    reference = write_run(tmp_path / "a", CODECS)
    other = write_run(tmp_path / "b", {**CODECS, "dcvc": (2000 * factor, "e" * 64)})
    exit_code, text = run(capsys, "check", other, "--against", reference)
    assert exit_code == code
    if code:
        assert "worse  caas dcvc [tfp+identity], curve on s-motion: BD-rate +3.0" in text
    assert ("better" in text) == (factor < 1)


def test_quality_that_falls_with_the_rate_is_seen(tmp_path):
    """A coarser step moves along the curve: BD-rate hardly notices."""
    reference = write_run(tmp_path / "a", {"dcvc": (2000, "f")})

    def coarser(row):
        return row.model_copy(update={"psnr": row.psnr - 0.26, "bits": int(row.bits * 0.942)})

    other = write_run(tmp_path / "b", {"dcvc": (2000, "f")}, rows=coarser)
    check = check_runs(other, reference, Tolerance())
    assert len(check.failures) == 8
    assert all(line.finding is Finding.WORSE for line in check.failures)


@pytest.mark.parametrize(("right", "code"), [(7, 0), (6, 1)])
def test_accuracy_is_compared_over_all_samples(tmp_path, capsys, right, code):
    """Seven of eight were right before, six are an eighth less; which ones is of no account."""
    numbers = iter([*range(1, 9), *range(8)])

    def classified(limit):
        return lambda row: row.model_copy(update={"psnr": None, "ssim": None, "accuracy": float(next(numbers) < limit)})

    before = write_run(tmp_path / "before", {"sci": (1000, "w")}, rows=classified(8))
    now = write_run(tmp_path / "now", {"sci": (1000, "w")}, rows=classified(right))
    exit_code, text = run(capsys, "check", now, "--against", before)
    assert exit_code == code, text
    assert ("accuracy 0.8750 -> 0.7500" in text) == (code == 1)


@pytest.mark.parametrize("psnr", [60.0, math.inf])
def test_exact_against_exact_is_not_worse(tmp_path, capsys, psnr):
    """Also of rows of version 1, where the PSNR of an exact result is infinite."""
    exact = {"psnr": psnr, "ssim": 1.0}
    before = write_run(tmp_path / "a", {"dcvc": (2000, "f")}, rows=lambda row: row.model_copy(update=exact))
    now = write_run(tmp_path / "b", {"dcvc": (1990, "f")}, rows=lambda row: row.model_copy(update=exact))
    code, text = run(capsys, "check", now, "--against", before)
    assert code == 0, text
    worse = write_run(tmp_path / "c", {"dcvc": (1990, "f")}, rows=lambda row: row.model_copy(update={"psnr": 50.0}))
    assert run(capsys, "check", worse, "--against", before)[0] == 1


def test_rows_of_other_instants_are_not_compared(tmp_path, capsys):
    reference = write_run(tmp_path / "a", CODECS)
    other = write_run(tmp_path / "b", CODECS, rows=lambda row: row.model_copy(update={"evaluated": "3 4"}))
    code, text = run(capsys, "check", other, "--against", reference)
    assert code == 2
    assert "its evaluated instants are 3 4, in" in text


def test_a_point_that_fails_now_is_worse(tmp_path, capsys):
    reference = write_run(tmp_path / "a", CODECS)
    broken = {"status": "failed", "reason": "oops", "bits": None, "psnr": None, "decoded_sha256": ""}
    other = write_run(
        tmp_path / "b", CODECS, rows=lambda row: row.model_copy(update=broken) if row.rate_point == "8" else row
    )
    code, text = run(capsys, "check", other, "--against", reference)
    assert code == 1
    assert "worse  caas x265 [tfp+identity] 8 s-motion/low-1: ok -> failed oops" in text


def test_what_cannot_be_compared_is_refused(tmp_path, capsys):
    reference = write_run(tmp_path / "a", CODECS)
    fewer = write_run(tmp_path / "b", {"x265": (1000, "")})
    other = write_run(tmp_path / "c", CODECS, condition=card(stride=16))
    absent = tmp_path / "absent"
    for folder, words in (
        (fewer, "8 of 16 rows"),
        (other, "stride is 16, in"),
        (absent, "is absent a run's folder?"),
    ):
        code, text = run(capsys, "check", folder, "--against", reference)
        assert code == 2, text
        assert words in text.replace(str(tmp_path) + "/", "")
        assert text.count("\n") == 1
    # New weights of the same chain are what a check is for.
    retrained = write_run(tmp_path / "d", CODECS, condition=card(analyzer_sha256="9"))
    assert run(capsys, "check", retrained, "--against", reference)[0] == 0


@pytest.mark.parametrize("weights", ["extractor_sha256", "analyzer_sha256"])
def test_weights_of_either_run_make_a_row_a_matter_of_tolerance(tmp_path, capsys, weights):
    exact = write_run(tmp_path / "a", {"x265": (1000, "")})
    learned = write_run(tmp_path / "b", {"x265": (1001, "")}, condition=card(**{weights: "9"}))
    for now, before in ((learned, exact), (exact, learned)):
        code, text = run(capsys, "check", now, "--against", before)
        assert code == 0, text
        assert "0 rows compared exactly, 8 with tolerance" in text


def test_reports_for_people_and_machines(tmp_path, capsys):
    reference = write_run(tmp_path / "a", CODECS)
    other = write_run(tmp_path / "b", {"x265": (1100, ""), "dcvc": (2000, "f" * 64), "zstd": (9000, "")})
    page, cases = tmp_path / "check.md", tmp_path / "check.xml"
    code, _ = run(capsys, "check", other, "--against", reference, "--markdown", page, "--junit", cases)
    assert code == 1
    assert "**8 worse or changed**" in page.read_text()
    assert "| changed | caas x265 [tfp+identity] 8 s-motion/low-1 | 1000 -> 1100 bits (+10.00 %)" in page.read_text()
    assert "| new | caas zstd" in page.read_text()
    suite = ElementTree.parse(cases).getroot()  # noqa: S314 -- written above
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall("testcase/failure"))) == ("25", "8", 8)


def test_update_makes_the_run_the_reference(tmp_path, capsys):
    reference = write_run(tmp_path / "a", CODECS)
    other = write_run(tmp_path / "b", {"x265": (1100, "")})
    code, text = run(capsys, "check", other, "--against", tmp_path / "first", "--update")
    assert code == 0
    assert text.endswith("first is now this run; there was no reference before\n")
    assert read_rows(tmp_path / "first" / "rd.csv") == read_rows(other / "rd.csv")
    code, text = run(capsys, "check", other, "--against", reference, "--update")
    assert code == 0
    assert "could not be compared" in text
    assert read_rows(reference / "rd.csv") == read_rows(other / "rd.csv")
    assert run(capsys, "check", other, "--against", reference)[0] == 0


GONE = {
    "status": "skipped", "reason": "no encoder here", "bits": None, "psnr": None, "ssim": None, "decoded_sha256": "",
}  # fmt: skip


def skipped(row):
    return row.model_copy(update=GONE)


def unfinish(folder):
    document = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**document, "status": "running"}))
    return folder


@pytest.mark.parametrize("verb", ["check", "update", "compare"])
def test_nothing_is_compared_with_what_was_not_measured(tmp_path, capsys, verb):
    whole, none = write_run(tmp_path / "whole", CODECS), write_run(tmp_path / "none", CODECS, rows=skipped)
    part = unfinish(write_run(tmp_path / "part", CODECS))
    empty = write_run(tmp_path / "empty", {})
    for now, before, words in (
        (none, none, "no row of none was measured; the first says: no encoder here"),
        (empty, empty, "no row of empty was measured"),
        (part, whole, "part is not finished"),
        (whole, part, "part is not finished"),
        (none, whole, "no row of none was measured"),
    ):
        if verb == "update" and now is whole:
            continue  # a good run replaces a reference that is none
        flags = [now, "--against", before, *(["--update"] if verb == "update" else [])]
        code, text = run(capsys, *(["compare", now, before] if verb == "compare" else ["check", *flags]))
        assert (code, text.count("\n")) == (2, 1), text
        assert words in text.replace(str(tmp_path) + "/", "")
    assert len(read_rows(whole / "rd.csv")) == 16


def test_rows_that_neither_run_measured_are_counted_apart(tmp_path, capsys):
    def without(row):
        return skipped(row) if row.codec == "vtm" else row

    codecs = {**CODECS, "vtm": (500, "")}
    before, now = (write_run(tmp_path / name, codecs, rows=without) for name in "ab")
    code, text = run(capsys, "check", now, "--against", before, "--junit", tmp_path / "check.xml")
    assert code == 0
    assert "8 rows compared exactly, 8 with tolerance, 8 measured in neither" in text
    suite = ElementTree.parse(tmp_path / "check.xml").getroot()  # noqa: S314 -- written above
    assert (suite.get("skipped"), len(suite.findall("testcase/skipped"))) == ("8", 8)
    assert suite.find("testcase/skipped").get("message") == "skipped: no encoder here"


def test_every_row_and_curve_has_a_name_of_its_own(tmp_path):
    """Rows that differ in extractor, options, seed, segment or task alone."""
    changes = iter(
        {"extractor": extractor, "options": options, "seed": seed, "segment": segment, "task": task}
        for extractor in ("tfp", "tfi")
        for options in ("", "threads=2")
        for seed in (0, 1)
        for segment in (0, 289)
        for task in ("reconstruction", "classification")
    )

    def vary(row):
        change = next(changes)
        return row.model_copy(update={**change, "rate_point": "8", "sequence": "low-1", "weights_sha256": "f"})

    codecs = dict.fromkeys(("a", "b", "c", "d"), (1000, ""))
    folder = write_run(tmp_path / "a", codecs, rows=lambda row: vary(row.model_copy(update={"codec": "x265"})))
    names = [line.name for line in check_runs(folder, folder, Tolerance()).lines]
    assert len(names) == 32 + 16  # rows, and curves, which have two segments each
    assert len(set(names)) == len(names)


def test_compare_says_what_it_leaves_out_and_fails_where_it_compares_nothing(tmp_path, capsys):
    first = write_run(tmp_path / "a", CODECS)
    second = write_run(tmp_path / "b", {"x265": (900, ""), "zstd": (1, "")})
    code, text = run(capsys, "compare", first, second)
    assert code == 0
    assert f"only in {first}: 1 curves, of dcvc" in text
    assert f"only in {second}: 1 curves, of zstd" in text
    other = write_run(tmp_path / "c", CODECS, condition=card(stride=16))
    code, text = run(capsys, "compare", first, other)
    assert code == 2
    assert "has a BD-rate against" in text.splitlines()[-1]


def test_compare_prints_a_line_for_each_shared_curve(tmp_path, capsys):
    first = write_run(tmp_path / "a", CODECS)
    second = write_run(tmp_path / "b", {"x265": (900, ""), "zstd": (1, "")})
    code, text = run(capsys, "compare", first, second, "--out", tmp_path / "bd.csv")
    assert code == 0
    assert text.splitlines()[0].split()[:4] == ["s-motion", "CAAS", "x265", "-10.00"]
    assert len((tmp_path / "bd.csv").read_text().splitlines()) == 4  # three qualities
    third = write_run(tmp_path / "c", {"zstd": (1, "")})
    code, text = run(capsys, "compare", first, third)
    assert code == 2
    assert "no curve in common" in text
