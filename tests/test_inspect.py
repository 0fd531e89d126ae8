"""What is there: suites, components with their options, and a run's streams."""

import pytest

from bench.interfaces import Analyzer, Codec, Dataset, Extractor
from bench.registry import component_class, names
from bench.runner.spec import SUITES
from tests.conftest import one_line_error
from tests.test_gate import run, write_run


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_every_shipped_suite_is_listed(capsys):
    code, text = run(capsys, "list", "suites")
    assert not code
    heads = [line for line in text.splitlines() if not line.startswith(" ")]
    assert heads == sorted(path.stem for path in SUITES.glob("*.toml"))
    assert "  1 dataset (s-motion) x 4 codecs (isi x265 sci dcvc); 3 minutes on two cores" in text.splitlines()
    assert "  preset paper: 3 datasets (s-mnist s-cifar s-caltech) x 1 codec (sci)" in text.splitlines()
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("suite", sorted(path.stem for path in SUITES.glob("*.toml")))
def test_every_shipped_suite_is_described(capsys, suite):
    code, text = run(capsys, "list", "suites", suite)
    assert not code
    assert "grid 1: " in text


def test_a_suite_names_its_codecs_with_their_limits(capsys):
    _, text = run(capsys, "list", "suites", "quick")
    assert "  dcvc, rates 0 2 4 6, paradigms caas" in text.splitlines()
    code, text = run(capsys, "list", "suites", "absent")
    assert code == 2 and "shipped suites: " in text


def test_every_option_of_every_codec_and_dataset_is_described():
    for base in (Codec, Dataset, Extractor, Analyzer):
        for name in names(base):
            for option, field in component_class(base, name).Options.model_fields.items():
                assert field.description, f"{name}: {option}"


def test_a_component_of_a_file_is_described(capsys, plugin_path):
    code, text = run(capsys, "list", "codecs", f"{plugin_path}:Deflate")
    assert not code
    assert "  rate points for features: 64 32 16 8" in text and "no options" in text


def test_a_component_is_described_with_its_options(capsys):
    code, text = run(capsys, "list", "codecs", "vvenc")
    assert not code
    assert "  rate points for features: 47 42 37 32" in text
    assert "  preset: faster fast medium slow slower, default 'faster'. Speed of the\n      encoder." in text
    assert "  threads: int, >= 1, default 1." in text
    _, text = run(capsys, "list", "codecs", "isi")
    assert "takes spikes" in text and "rate points for features" not in text
    code, text = run(capsys, "list", "datasets", "dat")
    assert not code
    assert "  root: str, must be given" in text
    code, text = run(capsys, "list", "codecs", "VVENC")
    assert code == 2 and "did you mean vvenc?" in text
    code, text = run(capsys, "list", "nonsense")
    assert code == 2 and "tasks, suites" in text


def test_streams_that_are_elsewhere_are_said_to_be_so_once(bench, tmp_path):
    folder = write_run(tmp_path / "run", {"x265": (1000, "")})
    one_line_error(bench("verify", folder, check=None), "the 8 streams of", str(folder / "streams"), "not here")


def test_a_run_that_measured_nothing_does_not_pass(bench):
    grid = ["--dataset", "s-motion:size=32,num_spikes=121", "--frames", "8", "--limit", "1", "--codec", "isi"]
    done = bench("run", *grid, "--extractor", "tfp", "--out", "run", check=1)
    assert "isi takes spikes only, caas codes features (--paradigm cta codes that)" in done.stdout
    assert done.stderr.splitlines()[-1] == "bench: nothing was measured, for the reasons above"
