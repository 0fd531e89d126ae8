"""Counting: hand-computed figures, the paper's tables, and the verb."""

import csv
import functools
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18
from torchvision.ops import deform_conv2d

import baselines.sci.codec
from baselines.dcvc.codec import Dcvc
from baselines.dcvc_dc.codec import DcvcDc
from baselines.neural.latents import Estimator
from baselines.sci.codec import Sci
from baselines.spikecodec.codec import SpikeCodec
from baselines.spikecodec.network import FULL, SceneNetwork
from bench.cli.program import main
from bench.complexity import count
from bench.interfaces.workload import Work
from bench.measure.networks import NetworkRow
from bench.published import published
from tests.conftest import one_line_error

SCI = f"{baselines.sci.codec.__file__}:Sci"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def verb(tmp_path, monkeypatch, capsys):
    """Run the verb in this process: what it prints, and its rows."""

    def run(*arguments):
        target = tmp_path / "counted.csv"
        monkeypatch.setattr(sys, "argv", ["bench", "complexity", *arguments, "--out", str(target)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert not end.value.code, printed.err
        with target.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return printed.out, rows

    return run


def counted(run, *modules):
    """Figures of one part."""
    (part,) = count([Work("part", "camera", "", run, modules)])
    return part


@functools.cache
def parts(codec, preset, side=64):
    """A codec's parts at side x side, by name and type of frame."""
    return {(part.part, part.frame): part for part in count(codec(preset=preset).workload((side, side)))}


def paper():
    """SCI's parts in the paper's size, always at the size of its tables: counting them takes seconds, once."""
    return parts(Sci, "paper", 256)


# Products


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_convolution(device):
    layer = nn.Conv2d(6, 8, (3, 5), stride=2, padding=(1, 2), groups=2, device=device)
    x = torch.zeros(2, 6, 16, 20, device=device)
    part = counted(lambda: layer(x), layer)
    assert part.macs == 2 * (8 * 10) * 8 * (6 // 2) * 3 * 5
    assert part.parameters == 8 * 3 * 15 + 8
    assert part.uncounted == {}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_a_deformable_convolution(masked, groups):
    weight = nn.Parameter(torch.zeros(4, 6 // groups, 3, 3))
    offsets, mask = torch.zeros(1, 18, 8, 10), torch.zeros(1, 9, 8, 10) if masked else None
    part = counted(lambda: deform_conv2d(torch.zeros(1, 6, 8, 10), offsets, weight, padding=1, mask=mask))
    # Every tap of the 6 channels is a bilinear sample of four products, and one more with the mask.
    taps = 6 * 9
    assert part.macs == 8 * 10 * (4 * taps // groups + taps * (5 if masked else 4))


def test_warping_takes_four_products_a_sample():
    image, grid = torch.zeros(2, 3, 7, 9), torch.zeros(2, 5, 6, 2)
    part = counted(lambda: F.grid_sample(image, grid, align_corners=True))
    assert part.macs == 2 * 3 * 5 * 6 * 4


def test_a_matrix_product_counts_and_what_is_element_wise_is_listed():
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    part = counted(lambda: (a @ b + 1).relu() + 2)
    assert part.macs == 3 * 5 * 7
    assert part.uncounted == {"add": 2, "relu": 1}


# Parameters


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 4)
    both = nn.Sequential(layer, nn.Linear(4, 3), layer)
    part = counted(lambda: both(torch.zeros(2, 3)), both, layer)
    assert part.parameters == (3 * 4 + 4) + (4 * 3 + 3)
    assert part.macs == 3 * (2 * 3 * 4)


def test_parameters_that_a_run_leaves_alone_do_not_count():
    used, idle = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 50, 3)
    assert counted(lambda: used(torch.zeros(1, 1, 8, 8)), nn.ModuleList((used, idle))).parameters == 2 * 9 + 2


# The paper's tables

TABLE_IX = {
    "extraction, ventral only": "extraction ventral only",
    "extraction, dual, 10 PFU": "extraction dual with PFU10",
    "codec, without FMVR": "codec without FMVR",
    "codec, with FMVR": "codec with FMVR",
    "analysis, DCN only": "analysis DCN only",
    "analysis, AFR": "analysis with AFR",
}


def stated(table, row, column):
    (value,) = [
        float(line["value"])
        for line in published()
        if (line["table"], line["row"], line["column"]) == (table, row, column)
    ]
    return value


def test_every_row_of_table_ix_has_a_part():
    assert set(TABLE_IX.values()) == {line["row"] for line in published() if line["table"] == "IX"}


@pytest.mark.parametrize(("part", "row"), TABLE_IX.items())
def test_the_papers_size_is_that_of_table_ix(part, row):
    network = next(network for (name, _), network in paper().items() if name == part)
    assert network.published == (stated("IX", row, "parameters"), stated("IX", row, "macs"))
    assert network.parameters / 1e6 == pytest.approx(network.published[0], rel=0.05)
    assert network.macs / 1e9 == pytest.approx(network.published[1], rel=0.05)


def test_table_x_splits_the_codec_of_table_ix():
    # Why P-enc stands beside what only the encoder computes, and not beside the camera's whole work.
    for column in ("macs", "parameters"):
        halves = stated("X", "SCI P-enc", column) + stated("X", "SCI P-dec", column)
        assert halves == pytest.approx(stated("IX", "codec without FMVR", column), abs=0.011)


def test_rows_of_table_x_stand_beside_their_parts():
    sci, scenes = paper(), parts(SpikeCodec, "full")
    places = {
        "SCI I-enc": sci["encoder alone", "I"],
        "SCI P-enc": sci["encoder alone", "P"],
        "SCI I-dec": sci["decoder", "I"],
        "SCI P-dec": sci["decoder", "P"],
        "SpikeCodec I-enc": scenes["before the channel", "I"],
        "SpikeCodec I-dec": scenes["decoder", "I"],
    }
    for row, part in places.items():
        assert part.published == (stated("X", row, "parameters"), stated("X", row, "macs"))
    bare = [sci["encoder", "I"], sci["encoder", "P"], scenes["encoder", "I"], scenes["scene recovery", ""]]
    assert all(part.published == (None, None) for part in bare)


@pytest.mark.parametrize("preset", ["small", "paper"])
@pytest.mark.parametrize("frame", ["I", "P"])
def test_an_encoder_alone_and_a_decoder_make_an_encoder(preset, frame):
    networks = paper() if preset == "paper" else parts(Sci, preset)
    encoder, alone, decoder = (networks[name, frame] for name in ("encoder", "encoder alone", "decoder"))
    assert alone.macs > 0
    assert alone.macs + decoder.macs == encoder.macs
    # Only the hyper-latents' densities, which promise bits and decode nothing, are in neither.
    assert 0 <= encoder.parameters - alone.parameters - decoder.parameters < 0.01 * encoder.parameters


def test_spikecodecs_parts_are_its_networks():
    networks = parts(SpikeCodec, "full")
    recovery, encoder = networks["scene recovery", ""], networks["encoder", "I"]
    before, decoder = networks["before the channel", "I"], networks["decoder", "I"]
    # Ten inner layers of 192 channels on every pixel.
    assert recovery.macs == 64 * 64 * 9 * (4 * 192 + 10 * 192 * 192 + 192)
    for part in (before, decoder):
        assert part.parameters / 1e6 == pytest.approx(part.published[0], rel=0.01)
    with torch.device("meta"):
        network = SceneNetwork(FULL).eval()
        scene, rate = torch.empty(1, 1, 64, 64), torch.zeros(1, dtype=torch.long)
    whole = counted(lambda: network.code(Estimator(), scene, rate, (1, 64, 64)), network)
    synthesis = counted(lambda: network.decoder(scene.new_empty(1, 96, 4, 4)), network.decoder)
    inverse = 96 * 256 * 4 * 4
    assert before.macs - recovery.macs + decoder.macs == whole.macs
    assert encoder.macs == whole.macs - synthesis.macs - inverse


# Codecs

FRAME_PARTS = {
    ("encoder", "I"): "camera", ("decoder", "I"): "cloud",
    ("encoder", "P"): "camera", ("decoder", "P"): "cloud",
}  # fmt: skip
SCENE_PARTS = {
    ("scene recovery", ""): "camera", ("encoder", "I"): "camera", ("before the channel", "I"): "camera",
    ("decoder", "I"): "cloud",
}  # fmt: skip


def sci_parts(fusions):
    names = {f"extraction, {kind}": "camera" for kind in ("ventral only", f"dual, {fusions} PFU")}
    names |= {f"analysis, {align}": "cloud" for align in ("DCN only", "warping only", "AFR")}
    return {
        **{(name, ""): side for name, side in names.items()},
        **{(name, "P"): "both" for name in ("codec, without FMVR", "codec, with FMVR")},
        **FRAME_PARTS,
        ("encoder alone", "I"): "camera",
        ("encoder alone", "P"): "camera",
    }


@pytest.mark.parametrize(
    ("codec", "preset", "expected"),
    [
        (Dcvc, "small", FRAME_PARTS),
        (Dcvc, "official", FRAME_PARTS),
        (DcvcDc, "small", FRAME_PARTS),
        (DcvcDc, "official", FRAME_PARTS),
        (SpikeCodec, "small", SCENE_PARTS),
        (SpikeCodec, "full", SCENE_PARTS),
        (Sci, "small", sci_parts(3)),
        (Sci, "paper", sci_parts(10)),
    ],
)
def test_every_learned_codec_counts(codec, preset, expected):
    networks = paper() if preset == "paper" else parts(codec, preset)
    assert {key: part.side for key, part in networks.items()} == expected
    assert all(part.parameters > 0 and part.macs > 0 for part in networks.values())
    if preset in ("small", "official"):
        assert all(part.published == (None, None) for part in networks.values())
    if ("encoder", "P") in networks:
        for frame in ("I", "P"):
            # The encoder decodes as well.
            assert networks["encoder", frame].macs > networks["decoder", frame].macs
            assert networks["encoder", frame].parameters > networks["decoder", frame].parameters


@pytest.mark.parametrize(("codec", "intra", "inter"), [(Dcvc, 1_307_504, 1_657_609), (DcvcDc, 1_065_336, 1_247_143)])
def test_small_encoders_use_the_parameters_of_their_networks(codec, intra, inter):
    networks = parts(codec, "small")
    # As docs/learned.md has them, less 224 of dcvc-dc: the adaptors of other places in a group of four frames.
    assert (networks["encoder", "I"].parameters, networks["encoder", "P"].parameters) == (intra, inter)


def test_resnet_18_has_the_products_that_everyone_finds():
    network = resnet18().eval()
    part = counted(lambda: network(torch.zeros(1, 3, 224, 224)), network)
    assert part.macs == pytest.approx(1.81e9, rel=0.01)
    assert part.parameters == pytest.approx(11.69e6, rel=0.001)


# The verb


def test_the_table_fits_and_the_csv_has_it_all(verb, monkeypatch):
    networks = paper()
    monkeypatch.setattr("bench.measure.networks.count", lambda works: list(networks.values()))
    printed, rows = verb(SCI, "--preset", "paper")
    # The last line names the file that was written, wherever that is.
    *lines, written = printed.splitlines()
    assert written.startswith("-> ")
    assert max(map(len, lines)) <= 80
    assert [line[:24].rstrip() for line in lines[2 : 2 + len(networks)]] == [
        f"{name} ({frame})" if frame else name for name, frame in networks
    ]
    assert lines[5].split()[-6:] == ["21.900", "21.97", "-0.3", "587.986", "585.85", "+0.4"]
    assert list(rows[0]) == list(NetworkRow.model_fields)
    for row, part in zip(rows, networks.values(), strict=True):
        assert (row["codec"], row["width"], row["height"]) == ("sci:preset=paper", "256", "256")
        assert (row["part"], row["side"], row["frame"]) == (part.part, part.side, part.frame)
        assert (int(row["parameters"]), int(row["macs"])) == (part.parameters, part.macs)
        for column, figure, unit in zip(("parameters", "macs"), part.published, (1e6, 1e9), strict=True):
            assert row[f"published_{column}"] == ("" if figure is None else str(round(figure * unit)))
        listed = dict(item.split(":") for item in row["not_counted"].split())
        assert {name: int(times) for name, times in listed.items()} == part.uncounted


def test_published_products_are_of_256x256_alone(verb):
    printed, rows = verb("spikecodec", "--preset", "full", "--size", "16x32")
    assert [row["published_parameters"] for row in rows] == ["", "", "6110000", "42880000"]
    assert {row["published_macs"] for row in rows} == {""}
    assert printed.splitlines()[1].split() == ["part", "side", "Mparam", "paper", "%", "GMAC"]


def test_a_preset_without_published_figures_has_no_columns_for_them(verb):
    printed, rows = verb("spikecodec", "--size", "65x30")
    assert printed.splitlines()[1].split() == ["part", "side", "Mparam", "GMAC"]
    assert {(row["codec"], row["width"], row["height"]) for row in rows} == {("spikecodec", "65", "30")}
    # Sides are padded to multiples of 16.
    assert int(rows[0]["macs"]) == 80 * 32 * 9 * (4 * 16 + 2 * 16 * 16 + 16)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "no codec named 'nonsense'"),
        (["raw"], "raw is not one of the suite's networks"),
        (["x265"], "x265 is not one of the suite's networks"),
        (["vtm"], "vtm is not one of the suite's networks"),
        (["vvenc", "--preset", "medium"], "vvenc is not one of the suite's networks"),
        (["dcvc", "--preset", "paper"], "option preset"),
        (["spikecodec", "--size", "64"], "'64' is no frame size"),
        (["spikecodec", "--size", "0x64"], "'0x64' is no frame size"),
        (["spikecodec", "--size", "64x9000"], "'64x9000' is no frame size"),
        (["spikecodec", "--size", "²x64"], "'²x64' is no frame size"),
        (["spikecodec", "--out", "."], ". is a folder"),
        (["spikecodec", "--size", "16x16", "--out", "file/a.csv"], "cannot write under file"),
    ],
)
def test_mistakes_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    monkeypatch.setattr(sys, "argv", ["bench", "complexity", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert end.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("bench: ") and printed.err.count("\n") == 1
    assert words in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_is_written_that_was_not_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", "complexity", "spikecodec", "--size", "16x16"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code and "spikecodec at 16x16" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_process_of_its_own(bench):
    one_line_error(bench("complexity", "raw", check=None), "raw is not one of the suite's networks")
