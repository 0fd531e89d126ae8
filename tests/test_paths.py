import json

import pytest

from bench.cli.program import _expanded
from bench.errors import BenchError
from bench.files import cache_root
from bench.interfaces import Codec, Dataset, split_names
from bench.paths import listed, natural_order, read_user_text
from bench.registry import create
from bench.runner.spec import load_suite
from tests.conftest import one_line_error


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder; the working folder is another one, in which no folder ~ may appear."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "home"
    assert not any((tmp_path / "work").iterdir())


def test_numbers_in_names_count_as_numbers():
    names = ["frame10", "frame9", "a", "frame009", "10", "9", "frame9b"]
    assert sorted(names, key=natural_order) == ["9", "10", "a", "frame009", "frame9", "frame9b", "frame10"]


def test_listed_leaves_out_what_no_one_put_there(tmp_path):
    for name in (".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", "b.PNG", "a.png", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.png").mkdir()
    assert [path.name for path in listed(tmp_path, (".png",))] == ["a.png", "b.PNG"]
    assert [path.name for path in listed(tmp_path)] == ["a.png", "b.PNG", "c.txt", "d.png"]
    with pytest.raises(BenchError, match="absent"):
        listed(tmp_path / "absent")


def test_texts_of_users_are_read_with_their_mark_or_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffgrün".encode())
    assert read_user_text(path) == "grün"
    path.write_bytes("grün".encode("utf-16"))
    with pytest.raises(BenchError, match=r"a\.txt is not UTF-8"):
        read_user_text(path)


def test_files_with_a_byte_order_mark_are_read(reference, bench, tmp_path):
    import shutil

    (tmp_path / "s.toml").write_text("\ufefflimit = 1\n", encoding="utf-8")
    assert load_suite(str(tmp_path / "s.toml")).grids[0].limit == 1
    (tmp_path / "a.dat").write_bytes(bytes(16 * 4))
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps({"width": 16, "height": 8}), encoding="utf-8")
    assert create(Dataset, f"dat:root={tmp_path}").sequences()[0].width == 16
    shutil.copytree(reference, tmp_path / "run")
    for name in ("rd.csv", "run.json"):
        path = tmp_path / "run" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert "28 of 28" in bench("verify", tmp_path / "run").stdout


def test_the_home_folder_is_meant_wherever_a_path_is_given(home, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", "~/cache")
    assert cache_root() == home / "cache"
    (home / "a.dat").write_bytes(bytes(16 * 4))
    assert create(Dataset, "dat:root=~/a.dat,size=16x8").sequences()[0].num_spikes == 4
    for spec in ("video:root=~/absent", "s-vimeo:root=~/absent"):
        assert str(home / "absent") in create(Dataset, spec).available().reason
    assert str(home / "absent") in create(Dataset, "s-mnist-10k:root=~/absent").available().reason
    for spec in ("dcvc:weights=~/w", "sci:weights=~/w", "vtm:encoder=~/w"):
        assert str(home / "w") in create(Codec, spec).available().reason
    monkeypatch.setenv("VTM_ENCODER", "~/v")
    assert str(home / "v") in create(Codec, "vtm").available().reason
    monkeypatch.setenv("BENCH_WEIGHTS", "~/w")
    assert str(home / "w") in create(Codec, "dcvc:preset=official").available().reason
    (home / "mine.py").write_text("from baselines.raw import Raw\n\nclass Mine(Raw):\n    name = 'mine'\n")
    assert create(Codec, "~/mine.py:Mine").name == "mine"
    (home / "s.toml").write_text("limit = 1\n")
    assert load_suite("~/s.toml").grids[0].limit == 1


def test_arguments_with_the_home_folder_are_expanded_as_a_shell_does(home, bench):
    assert _expanded("--out=~/run") == f"--out={home}/run" and _expanded("~/a b") == f"{home}/a b"
    for argument in ("--codec=x264", "a~/b", "~", "=~/a", "dat:root=~/a"):
        assert _expanded(argument) == argument
    done = bench("encode", "~/absent.dat", "--size", "8x8", "--out=~/x.spk", check=2, environment={"HOME": str(home)})
    one_line_error(done, str(home / "absent.dat"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("a, b ,c", ("a", "b", "c")),
        (' "a, b",c', ("a, b", "c")),
        ('"a ""b""",5" disk', ('a "b"', '5" disk')),
        ('" a "', (" a ",)),
        ("a,,b,", ("a", "b")),
    ],
)
def test_lists_of_names(text, names):
    assert split_names(text) == names


@pytest.mark.parametrize("text", ['"a', '"a" b', 'a,"b""'])
def test_lists_of_names_with_open_quotes_are_refused(text):
    with pytest.raises(BenchError, match="quote"):
        split_names(text)
