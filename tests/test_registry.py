import pytest

from bench.errors import BenchError
from bench.fingerprint import code_fingerprint, component_fingerprint
from bench.interfaces import Analyzer, Codec, Dataset, Extractor, parse_spec
from bench.registry import create, create_trained, names, trained_kind
from bench.runner.spec import load_suite


def test_specs_reverse():
    for spec in ("vvenc", "vvenc:preset=slow", "vvenc:preset=slow,threads=2"):
        assert create(Codec, spec).spec == spec
    assert create(Codec, "vvenc:threads=2,preset=slow").spec == "vvenc:preset=slow,threads=2"
    assert create(Codec, "vvenc:preset=faster").spec == "vvenc"  # a default is not an option worth printing


def test_values_with_commas_are_quoted():
    assert parse_spec('dat:"root=/a,b",size=8x8') == ("dat", {"root": "/a,b", "size": "8x8"})
    assert parse_spec("raw") == ("raw", {})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("vvnc", "did you mean vvenc?"),
        ("VVENC", "did you mean vvenc? ("),
        ("X256", "did you mean x26"),
        ("x263", "did you mean x26"),
        ("nothing-like-it", "known: "),
        ("vvenc:speed=3", "option speed: unknown option (options: threads, limit_seconds, preset)"),
        ("vvenc:preset=9", "option preset"),
        ("vvenc:preset", "is not of the form key=value"),
        ("absent.py:Codec", "no file absent.py"),
    ],
)
def test_wrong_specs_say_what_is_right(spec, words):
    with pytest.raises(BenchError) as error:
        create(Codec, spec)
    assert words in str(error.value)


def test_components_of_another_kind_are_unknown():
    with pytest.raises(BenchError, match="no extractor named 'vvenc'"):
        create(Extractor, "vvenc")


def test_codecs_from_a_file(plugin_path, tmp_path):
    codec = create(Codec, f"{plugin_path}:Deflate")
    assert codec.name == "deflate"
    assert codec.origin == f"{plugin_path}:Deflate"
    with pytest.raises(BenchError, match="has no class 'Inflate'"):
        create(Codec, f"{plugin_path}:Inflate")
    with pytest.raises(BenchError, match="is not a dataset"):
        create(Dataset, f"{plugin_path}:Deflate")
    broken = tmp_path / "broken.py"
    broken.write_text("import nowhere_to_be_found\n")
    with pytest.raises(BenchError, match=r"broken\.py cannot be loaded: ModuleNotFoundError"):
        create(Codec, f"{broken}:Anything")


def test_what_is_trained_or_counted_may_be_of_any_kind(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from bench.analyzers.identity import Identity\nfrom bench.extractors.tfp import Tfp\n"
        "class Same(Identity):\n    name = 'same'\n\nclass Mean(Tfp):\n    name = 'mean'\n"
    )
    assert create_trained(f"{path}:Same").name == "same"
    assert create_trained(f"{path}:Mean:window=9").spec == "mean:window=9"
    assert [trained_kind(name) for name in ("sci", "classifier", "tfp", "none")] == [Codec, Analyzer, Extractor, Codec]


def test_a_suite_file_cannot_make_a_file_run_by_counting_it(tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    suite = tmp_path / "suite.toml"
    suite.write_text(f'count = ["{tmp_path / "evil.py"}:Evil"]\n')
    with pytest.raises(BenchError, match="names code to be run"):
        load_suite(str(suite))
    assert not (tmp_path / "ran").exists()


def test_everything_registered_can_be_made_or_says_which_option_it_needs():
    for base in (Codec, Extractor):
        for name in names(base):
            assert create(base, name).name == name
    for name in names(Dataset):
        try:
            create(Dataset, name)
        except BenchError as error:
            assert "root" in str(error)


def test_fingerprints_follow_options_and_imported_code(tmp_path, monkeypatch):
    assert component_fingerprint(create(Codec, "vvenc")) == component_fingerprint(create(Codec, "vvenc"))
    assert component_fingerprint(create(Codec, "vvenc")) != component_fingerprint(create(Codec, "vvenc:preset=slow"))
    package = tmp_path / "finger_pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "helper.py").write_text("VALUE = 1\n")
    (package / "codec.py").write_text("from finger_pkg import helper\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_fingerprint("finger_pkg.codec")
    (package / "helper.py").write_text("VALUE = 2\n")
    code_fingerprint.cache_clear()
    assert code_fingerprint("finger_pkg.codec") != before


_CODE = "VALUE = 1\n\ndef double(value):\n    return 2 * value\n"


@pytest.mark.parametrize(
    ("code", "same"),
    [
        ('"""A file."""\n# Why.\nVALUE = (1)\n\n\ndef double(value):\n    """Twice."""\n    return 2*value', True),
        (_CODE.replace("VALUE", '"""Of the module."""\nVALUE').replace("\n", "\r\n"), True),
        (_CODE.replace("2 *", "3 *"), False),
        (_CODE.replace("return", "value += 1\n    return"), False),
        (_CODE.replace("VALUE = 1", 'VALUE = "1"'), False),
        (_CODE.replace("VALUE = 1", "VALUE = 1.0"), False),
        (_CODE.replace("(value)", "(value=None)"), False),
    ],
)
def test_fingerprints_follow_what_code_does_not_how_it_is_written(tmp_path, monkeypatch, code, same):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "written_code.py").write_text(_CODE)
    before = code_fingerprint("written_code")
    (tmp_path / "written_code.py").write_text(code, newline="")
    code_fingerprint.cache_clear()
    assert (code_fingerprint("written_code") == before) is same
    code_fingerprint.cache_clear()
