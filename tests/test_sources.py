"""What training data is made of: photographs and clips, and of Vimeo-90K the training part alone."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from baselines.neural.motion import frames_between
from bench.errors import BenchError
from bench.train.sources import dead_leaves, find_sources

SIDE, NUM_SPIKES = 64, 97


def _save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(picture * 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with a photograph beside a vimeo_septuplet of two training septuplets and a test one, which all pan."""
    folder = tmp_path_factory.mktemp("data")
    root = folder / "vimeo_septuplet"
    for number, clip in enumerate(("00001/0001", "00002/0001", "00002/0002")):
        picture = dead_leaves(np.random.default_rng(number), 128)
        for index in range(1, 8):
            _save(root / "sequences" / clip / f"im{index}.png", picture[:80, 4 * index : 4 * index + 80])
    (root / "sep_trainlist.txt").write_text("00001/0001\n00002/0001\n")
    (root / "sep_testlist.txt").write_text("00002/0002\n")
    _save(folder / "photographs" / "a.PNG", picture)
    for left in ("photographs/._a.png", ".trash/b.png", "@eaDir/a.png"):
        _save(folder / left, picture)
    return folder


def _names(folder, split="train"):
    sources = find_sources(folder, frames_between, split)
    return [path.name for path in sources.pictures], ["/".join(path.parts[-2:]) for path in sources.clips.values()]


def test_only_the_septuplets_of_a_list_are_taken(tree):
    root, both = tree / "vimeo_septuplet", ["00001/0001", "00002/0001"]
    assert _names(root) == _names(root / "sequences") == ([], both)
    assert _names(root, "test") == ([], ["00002/0002"])
    assert _names(root / "sequences" / "00002") == ([], ["00002/0001"])
    assert _names(tree) == (["a.PNG"], both)
    with pytest.raises(BenchError, match="holds no pictures, videos or septuplets of Vimeo-90K's train list"):
        find_sources(root / "sequences" / "00002" / "0002", frames_between)


def test_a_septuplet_moves_as_its_pictures_do(tree):
    root, factors = tree / "vimeo_septuplet", set()
    sources = find_sources(root, frames_between).drawn_by(map(np.random.default_rng, range(6)))
    for seed in range(6):
        scene = sources.scene(np.random.default_rng(seed), SIDE, NUM_SPIKES)
        assert scene.shape == (NUM_SPIKES, SIDE, SIDE) and scene.dtype == np.float32
        first, inside = scene[0], (slice(8, -8), slice(8, -16))

        def error(frame, expected, inside=inside):
            return float(np.square(frame[inside] - expected[inside]).mean())

        # The next picture is the first one, 4 pixels further; half-way there they are 2 pixels further, not faded.
        (factor,) = [n for n in (27, 48) if np.allclose(scene[n][:, :-4], first[:, 4:], atol=1e-4)]
        factors.add(factor)
        faded = (first + scene[factor]) / 2
        assert error(scene[factor // 2], np.roll(first, -2, 1)) < error(faded, np.roll(first, -2, 1)) / 4
    assert factors == {27, 48}


def test_a_damaged_set_is_one_line(tree, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(tree / "vimeo_septuplet", root)
    (root / "sequences" / "00002" / "0001" / "im4.png").unlink()
    sources = find_sources(root, frames_between)
    with pytest.raises(BenchError, match=r"im4\.png does not exist, though"):
        sources.hashes()
    assert replace(sources, clips={0: sources.clips[0]}).hashes()  # no sample of the damaged one: it is not read
    (root / "sep_trainlist.txt").write_text("00001/0001\n00002/0002\n")
    with pytest.raises(BenchError, match="00002/0002 is in both lists"):
        find_sources(root, frames_between)
