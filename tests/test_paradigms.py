import numpy as np
import pytest

from bench.analyzers.identity import Identity
from bench.chain import Chain
from bench.interfaces import Content, Decoded, Kind, Paradigm, Side, Stage, check_wiring
from bench.registry import create

TASKS = ["reconstruction", "classification"]


@pytest.mark.parametrize(
    ("name", "content", "streams", "camera"),
    [
        ("cta", Content.SPIKES, 1, {Kind.ENCODE}),
        ("atc", Content.RESULT, 2, {Kind.EXTRACT, Kind.ANALYZE, Kind.ENCODE}),
        ("caas", Content.FEATURES, 1, {Kind.EXTRACT, Kind.ENCODE}),
    ],
)
def test_wirings_are_those_of_the_paper(name, content, streams, camera):
    stages = create(Paradigm, name).wire(TASKS)
    check_wiring(stages, TASKS)
    sent = [stage for stage in stages if stage.kind is Kind.ENCODE]
    assert len(sent) == streams  # one stream serves all tasks, except in ATC
    assert {stage.content for stage in sent} == {content}
    assert {stage.kind for stage in stages if stage.side is Side.CAMERA} == camera


def _stage(output, kind, side, source, content=None):
    return Stage(output, kind, side, source, content)


FEATURES = _stage("f", Kind.EXTRACT, Side.CAMERA, "spikes")
SENT = _stage("s", Kind.ENCODE, Side.CAMERA, "f", Content.FEATURES)
DECODED = _stage("d", Kind.DECODE, Side.CLOUD, "s", Content.FEATURES)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([_stage("s", Kind.ENCODE, Side.CAMERA, "x", Content.FEATURES)], "before it exists"),
        ([_stage("r", Kind.ANALYZE, Side.CAMERA, "spikes")], "cannot read spikes"),
        ([FEATURES, _stage("result.t", Kind.ANALYZE, Side.CLOUD, "f")], "only bits cross the link"),
        ([FEATURES, SENT, _stage("d", Kind.DECODE, Side.CLOUD, "s")], "does not say what it codes"),
        ([FEATURES, SENT, DECODED], "no result of task 't' reaches the cloud"),
        ([FEATURES, SENT, DECODED, _stage("result.t", Kind.ANALYZE, Side.CAMERA, "d")], "only bits cross the link"),
    ],
)
def test_wirings_that_make_no_sense_are_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        check_wiring(stages, ["t"])


def test_motion_of_spikes_does_not_reach_analysis():
    """A learned codec decodes motion also of spike frames, which says nothing of the features that come of them."""
    seen = []

    class Watching(Identity):
        def analyze(self, features, motion=None):
            seen.append(motion)
            return features

    instants = np.array([20, 28])
    for paradigm, shape in (("cta", (49, 16, 16)), ("caas", (2, 16, 16))):
        decoded = Decoded(np.zeros(shape, np.float32), np.zeros((shape[0], 2, 16, 16), np.float32))
        Chain(paradigm, "raw", "tfp", Watching()).after_link(decoded, instants, 0.6)
    assert seen[0] is None
    assert seen[1].shape == (2, 2, 16, 16)
