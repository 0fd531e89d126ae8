import json
import tomllib

import pytest
from PIL import Image

from bench.errors import BenchError
from bench.interfaces import Codec, Paradigm, SequenceInfo
from bench.metrics.iqa import METRICS
from bench.registry import create, names, trained_kind
from bench.runner.plan import _starts, make_plan
from bench.runner.spec import SUITES, load_suite, make_spec
from tests.conftest import TINY


def _info(num_spikes, truth_at=None):
    return SequenceInfo("x", 8, 8, num_spikes, 0.6, truth_at=truth_at)


def test_the_default_grid():
    plan = make_plan(make_spec())
    assert plan.summary() == {"jobs": 32, "to run": 32, "to skip": 0}
    assert len({job.id for job in plan.jobs}) == 32
    (card,) = plan.cards.values()
    assert (card.num_spikes, card.num_frames) == (289, 32)
    assert {job.evaluated_text for job in plan.jobs} == {"all"}
    assert plan.jobs[0].instants[:2] == [20, 28]
    assert make_plan(make_spec()).digest == plan.digest


def test_codecs_that_take_only_spikes_are_skipped_elsewhere():
    plan = make_plan(make_spec(datasets=(TINY,), frames=8, paradigms=("cta", "atc", "caas"), codecs=("raw", "x265")))
    skipped = [job for job in plan.jobs if job.skip]
    assert {(job.codec, job.paradigm) for job in skipped} == {("raw", "atc"), ("raw", "caas")}
    assert skipped[0].skip == "raw takes spikes only, atc codes result (--paradigm cta codes that)"


def test_rate_points_for_all_leave_out_codecs_that_lack_them():
    plan = make_plan(make_spec(datasets=(TINY,), frames=8, limit=1, codecs=("x265", "ffv1"), rates=(40,)))
    assert [bool(job.skip) for job in plan.jobs] == [False, True]
    assert "no rate point 40" in plan.jobs[1].skip


def test_a_codec_that_replaces_those_of_a_suite_keeps_its_limits(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        f'datasets = ["{TINY}"]\nextractors = ["tfp"]\nframes = 8\nlimit = 1\nparadigms = ["cta", "caas"]\n'
        'codecs = [{ codec = "isi", paradigms = ["cta"] }, { codec = "x265", rates = [40], paradigms = ["caas"] },\n'
        '"sci"]\n'
    )

    def points(**stated):
        plan = make_plan(*load_suite(str(path), **stated).grids)
        return [(job.paradigm, job.codec, job.rate_point) for job in plan.jobs]

    assert points(codecs=("x265", "isi")) == [("cta", "isi", "lossless"), ("caas", "x265", 40)]
    assert points(codecs=("x265:preset=slow",)) == [("caas", "x265:preset=slow", 40)]
    # Rate points for all come before a codec's own.
    assert points(codecs=("x265",), rates=(30, 20)) == [("caas", "x265", 30), ("caas", "x265", 20)]
    assert ("caas", "x265", 30) in points(rates=(30,)) and ("caas", "x265", 40) not in points(rates=(30,))
    assert {paradigm for paradigm, *_ in points(codecs=("ffv1",))} == {"cta", "caas"}


def test_one_codec_by_two_specs_is_one_row():
    plan = make_plan(make_spec(datasets=(TINY,), frames=8, limit=1, codecs=("x265", "x265:preset=medium")))
    assert len(plan.jobs) == 4


def test_unavailable_codecs_are_rows_with_the_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("VTM_ENCODER", raising=False)
    plan = make_plan(make_spec(datasets=(TINY,), frames=8, codecs=("vtm",)))
    assert all("EncoderApp is not on PATH" in job.skip for job in plan.jobs)


def test_a_condition_has_one_hash_and_every_field_changes_it():
    base = {"datasets": (TINY,), "frames": 8, "limit": 1}
    digests = {
        next(iter(make_plan(make_spec(**{**base, **change})).cards))
        for change in (
            {},
            {"frames": 7},
            {"stride": 4},
            {"margin": 10},
            {"intra_period": 8},
            {"structure": "random_access"},
            {"extractors": ("tfi",)},
            {"extractors": ("tfp:window=9",)},
        )
    }
    assert len(digests) == 8
    codecs = make_plan(make_spec(**base, codecs=("x264", "x265"), paradigms=("cta", "caas")))
    assert len(codecs.cards) == 1


def test_segments_follow_each_other_and_hold_the_truth():
    spec = make_spec(segments=0)
    assert _starts(_info(289 + 2 * 256), spec) == [0, 256, 512]
    assert _starts(_info(301, (150,)), spec) == [10]  # instants 30, 38, ..., 150: k = 15, no intra frame
    assert _starts(_info(321, (30, 40)), make_spec()) == [2]
    assert _starts(_info(10_000, (5000,)), make_spec()) == [5000 - 20 - 8 * 8]
    assert _starts(_info(301, (0, 300, 150)), spec) == [10]  # those in the margins are passed over


def _recording(folder, name, length, truths):
    """A recording whose truths are black pictures; the plan reads no spike of it."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.dat").write_bytes(bytes(length * 8))
    Image.new("L", (8, 8)).save(folder / "black.png")
    sidecar = {"width": 8, "height": 8, "truth": {str(index): "black.png" for index in truths}}
    (folder / f"{name}.json").write_text(json.dumps(sidecar))


def _plan_of(folder, **fields):
    return make_plan(make_spec(datasets=(f"dat:root={folder}",), codecs=("ffv1",), extractors=("tfp",), **fields))


def test_recordings_with_truths_at_different_places_share_a_card(tmp_path):
    _recording(tmp_path / "r", "long", 401, [150])
    _recording(tmp_path / "r", "short", 301, [150])
    _recording(tmp_path / "r", "without", 301, [])
    plan = _plan_of(tmp_path / "r")
    assert [(job.info.name, job.start, job.evaluated_text) for job in plan.jobs] == [
        ("long", 66, "8"), ("short", 10, "15"), ("without", 0, ""),
    ]  # fmt: skip
    assert len(plan.cards) == 1
    assert plan.notes == []


def test_segments_of_one_recording_share_a_card(tmp_path):
    """Of three segments two have a truth, at different instants."""
    _recording(tmp_path / "r", "walk", 20 + 3 * 256 + 21, [148, 404 + 16])
    plan = _plan_of(tmp_path / "r", segments=0)
    assert [(job.start, job.evaluated_text) for job in plan.jobs] == [(64, "8"), (320, "10")]
    assert len(plan.cards) == 1


def test_a_truth_in_the_margin_leaves_the_others(tmp_path):
    _recording(tmp_path / "r", "walk", 301, [0, 100, 148, 200])
    plan = _plan_of(tmp_path / "r")
    assert [(job.start, job.evaluated_text, job.skip) for job in plan.jobs] == [(8, "9 15", "")]
    (note,) = plan.notes
    assert "dat/walk: no segment codes its truth at 0, which is not evaluated" in note.replace(
        f":root={tmp_path}/r", ""
    )


def test_a_recording_that_cannot_be_measured_does_not_refuse_the_others(tmp_path):
    _recording(tmp_path / "r", "margin", 301, [3])
    _recording(tmp_path / "r", "short", 288, [])
    _recording(tmp_path / "r", "sound", 289, [])
    plan = _plan_of(tmp_path / "r")
    reasons = {job.info.name: job.skip for job in plan.jobs}
    assert "codes its truth at 3; use fewer --frames" in reasons["margin"]
    assert "need 289: use --frames 31" in reasons["short"]
    assert reasons["sound"] == ""
    with pytest.raises(BenchError, match="codes its truth at 3"):
        _plan_of(tmp_path / "r", sequences=("margin", "short"))


def test_recordings_that_are_all_short_have_as_many_instants_as_fit(tmp_path):
    _recording(tmp_path / "r", "a", 200, [])
    _recording(tmp_path / "r", "b", 150, [])
    plan = _plan_of(tmp_path / "r")
    assert {job.card.num_frames for job in plan.jobs} == {20}
    assert {job.info.name: bool(job.skip) for job in plan.jobs} == {"a": False, "b": True}
    assert (
        plan.work
        == f"20 frames to code, {20 * plan.jobs[0].info.height * plan.jobs[0].info.width / 1e6:.1f} million samples"
    )
    assert plan.notes == ["20 instants a segment instead of 32: the longest recording has 200 spike frames"]
    assert {job.card.num_frames for job in _plan_of(tmp_path / "r", sequences=("b",)).jobs} == {14}
    # What is stated is kept, also where it is the default, and in plans of more than one grid.
    with pytest.raises(BenchError, match="use --frames 20"):
        _plan_of(tmp_path / "r", frames=32)
    _recording(tmp_path / "long", "c", 289, [])
    specs = [
        make_spec(datasets=(f"dat:root={tmp_path / name}",), codecs=("ffv1",), extractors=("tfp",), sequences=(one,))
        for name, one in (("r", "a"), ("long", "c"))
    ]
    assert [job.card.num_frames for job in make_plan(*specs).jobs] == [20, 32]


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (_info(288), "need 289: use --frames 31"),
        (_info(30), "use a smaller --margin"),
        (_info(300, (10,)), "no segment of 289 spike frames codes its truth at 10"),
        (_info(289, (288,)), "use fewer --frames"),
    ],
)
def test_recordings_that_are_too_short_say_so(info, message):
    with pytest.raises(BenchError, match=message):
        _starts(info, make_spec())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frames": 0}, "frames"),
        ({"structure": "high_delay"}, "structure"),
        ({"colour": "red"}, "colour: no such field"),
        ({"codecs": ()}, "codecs"),
        ({"name": "../up"}, "name"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(BenchError, match=message):
        make_spec(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"codecs": ("vvnc",)}, "did you mean vvenc"),
        ({"paradigms": ("caa",)}, "did you mean caas"),
        ({"sequences": ("absent",)}, "has no sequence absent"),
        ({"analyzers": ("identty",)}, "did you mean identity"),
        ({"codecs": ("vvenc",), "rates": (99,)}, "the quantiser must be"),
        ({"codecs": ("ffv1",), "rates": (3,)}, "no rate point 3"),
        ({"codecs": ({"codec": "ffv1", "rates": (3,)}, "x265")}, "no rate point 3"),
        ({"datasets": (TINY, TINY)}, "two datasets are both named"),
    ],
)
def test_wrong_names_end_a_run_before_it_starts(fields, message):
    with pytest.raises(BenchError, match=message):
        make_plan(make_spec(**fields))


SHIPPED = [
    (path.stem, preset)
    for path in sorted(SUITES.glob("*.toml"))
    for preset in tomllib.loads(path.read_text(encoding="utf-8")).get("presets", [""])
]


@pytest.mark.parametrize(("suite", "preset"), SHIPPED)
def test_every_preset_of_every_shipped_suite_names_what_there_is(suite, preset):
    """On any machine: whether programs, weights and data are there is another question."""
    loaded = load_suite(suite, preset)
    for grid in loaded.grids:
        assert grid.name == (f"{suite}-{preset}" if preset else suite)
        grid.check_names()
        for entry in grid.codecs:
            assert set(entry.paradigms) <= set(names(Paradigm))
            for point in entry.rates or grid.rates:
                create(Codec, entry.codec).check_rate_point(point)
    assert set(loaded.iqa) <= set(METRICS)
    for spec in loaded.count:
        create(trained_kind(spec), spec)
    for chain in loaded.profile:
        for kind, spec in zip((Paradigm, Codec), chain.split(), strict=True):
            create(kind, spec)


def test_suites(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('frames = 4\n[[codecs]]\ncodec = "x265"\nrates = [40, 45]\nparadigms = ["caas"]\n')
    (spec,) = load_suite(str(path)).grids
    assert (spec.name, spec.frames, spec.codecs[0].rates) == ("mine", 4, (40, 45))
    (spec,) = load_suite(str(path), frames=8).grids
    assert spec.frames == 8
    with pytest.raises(BenchError, match="shipped suites: classification, conventional"):
        load_suite("absent")
    path.write_text("frames = [")
    with pytest.raises(BenchError, match="not valid TOML"):
        load_suite(str(path))
    path.write_text('paradigm = "caas"')
    with pytest.raises(BenchError, match=r"mine\.toml: paradigm: no such field"):
        load_suite(str(path))


def test_presets_are_grids_that_share_what_stands_above_them(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(
        'frames = 8\nlimit = 1\niqa = ["niqe"]\nprofile = ["caas x265"]\n'
        f'datasets = ["{TINY}"]\nextractors = ["tfp"]\n'
        '[[presets.small]]\ncodecs = [{ codec = "x265", rates = [40] }, "ffv1"]\n'
        '[[presets.small]]\ncodecs = [{ codec = "x265", rates = [40, 30] }]\nframes = 8\n'
        '[[presets.large]]\nlimit = 0\ncodecs = ["ffv1"]\n'
    )
    suite = load_suite(str(path))
    assert (suite.iqa, suite.profile, suite.smoothness, suite.count) == (("niqe",), ("caas x265",), False, ())
    assert {(grid.name, grid.frames, grid.limit) for grid in suite.grids} == {("two", 8, 1)}
    plan = make_plan(*suite.grids)
    # The point that both grids have is one job.
    assert [(job.codec, job.rate_point) for job in plan.jobs] == [("x265", 40), ("ffv1", "lossless"), ("x265", 30)]
    (large,) = load_suite(str(path), "large", frames=4).grids
    assert (large.name, large.frames, large.limit) == ("two-large", 4, 0)
    with pytest.raises(BenchError, match=r"no preset 'huge' \(it has: small, large\)"):
        load_suite(str(path), "huge")
    with pytest.raises(BenchError, match=r"no preset 'small' \(it has: none"):
        load_suite("conventional", "small")
    path.write_text("presets = 3")
    with pytest.raises(BenchError, match=r"tables of the form \[\[presets.NAME"):
        load_suite(str(path))
    path.write_text('profile = ["sci"]')
    with pytest.raises(BenchError, match="'sci' is not of the form 'paradigm codec'"):
        load_suite(str(path))
