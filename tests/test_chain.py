from dataclasses import replace

import numpy as np
import pytest

from bench.chain import Chain, plainly, to_spikes
from bench.errors import BenchError, StreamError
from bench.interfaces import CodingCondition, Content, Kind, Paradigm, Side, Stage, pack_stream, unpack_stream
from bench.sampling import Sampling
from bench.spikes import SpikeCamera

SAMPLING = Sampling(stride=8, margin=20)
FRAMES, HEIGHT, WIDTH = 4, 24, 32


@pytest.fixture(scope="module")
def spikes():
    luminance = np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32)
    return SpikeCamera(HEIGHT, WIDTH, theta=1.0, seed=0).expose(
        np.broadcast_to(0.6 * luminance, (SAMPLING.num_spikes(FRAMES), HEIGHT, WIDTH))
    )


@pytest.mark.parametrize(
    ("paradigm", "content", "count"),
    [
        ("cta", Content.SPIKES, SAMPLING.num_spikes(FRAMES)),
        ("atc", Content.RESULT, FRAMES),
        ("caas", Content.FEATURES, FRAMES),
    ],
)
def test_what_the_camera_sends_is_pictures_in_the_cloud(spikes, paradigm, content, count):
    chain = Chain(paradigm, "ffv1", "tfp", "identity")
    sent = chain.camera(spikes, 0.6, SAMPLING, start=5)
    assert sent.frames.shape == (count, HEIGHT, WIDTH)
    assert chain.content is content
    result = chain.cloud(sent.stream)
    assert result.frames.shape == (FRAMES, HEIGHT, WIDTH)
    # Without loss all three give the same pictures; results and features are coded in 8 bits.
    instants = SAMPLING.instants(len(spikes))
    assert np.allclose(result.frames, chain.extractor.extract(spikes, instants, 0.6), atol=0.5 / 255 + 1e-6)
    info, _ = unpack_stream(sent.stream)
    assert (info.chain.first_instant, info.chain.stride, info.chain.margin) == (25, 8, 20)
    assert info.chain.spike_rate == (0.6 if content.is_spikes else None)


@pytest.mark.parametrize("paradigm", ["cta", "atc", "caas"])
def test_an_observer_sees_every_stage_on_its_side_and_may_stand_in_for_it(spikes, paradigm):
    chain, seen = Chain(paradigm, "ffv1", "tfp", "identity"), []

    def note(stage, source, run):
        seen.append((stage.kind, stage.side))
        return plainly(stage, source, run)

    instants = SAMPLING.instants(len(spikes))
    frames = chain.before_link(spikes, instants, 0.6, note)
    encoded = chain.codec.encode(
        frames.astype(np.float32), chain.codec.rate_points[0], CodingCondition(), chain.content
    )
    chain.after_link(chain.codec.decode(encoded.stream), instants, 0.6, note)
    stages = [stage for stage in chain.stages if stage.kind in (Kind.EXTRACT, Kind.ANALYZE)]
    assert seen == [(stage.kind, stage.side) for stage in stages]
    assert {stage.side for stage in stages} <= {Side.CAMERA, Side.CLOUD}
    stood = chain.before_link("spikes", instants, 0.6, lambda stage, source, _: f"{stage.output} of {source}")
    assert (
        stood
        == {"cta": "spikes", "caas": "features of spikes", "atc": f"{chain.stages[1].output} of features of spikes"}[
            paradigm
        ]
    )


def test_a_chain_says_what_it_is(spikes):
    chain = Chain("caas", "ffv1", "tfp:window=9", "identity")
    assert repr(chain) == "<Chain: caas ffv1 tfp:window=9 identity>"
    sent = chain.camera(spikes, 0.6)
    assert repr(sent) == f"<Sent: {len(sent.stream)} bytes for 4 frames of 32x24>"
    assert repr(chain.cloud(sent.stream)) == "<Result: 4 x 24 x 32 of float32>"


def test_what_does_not_fit_is_one_line():
    with pytest.raises(BenchError, match="isi takes spikes only, caas codes features; use --paradigm cta"):
        Chain("caas", "isi", "tfp").camera(np.zeros((41, 16, 16), np.uint8), 0.6)
    with pytest.raises(BenchError, match="identity is for the task reconstruction, not classification: choose another"):
        Chain("caas", "raw", "tfp", "identity", "classification")

    class Twice(Paradigm):
        name = "twice"

        def wire(self, tasks):
            first, *rest = Chain("caas", "raw", "tfp").stages
            again = Stage("again", Kind.ENCODE, Side.CAMERA, "features", Content.FEATURES)
            return (first, again, *rest)

    with pytest.raises(BenchError, match="twice: 2 stages encode for one task, not one"):
        Chain(Twice(), "raw", "tfp")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("atc", "ffv1", "tfp"), r"states content features; this chain \(atc\) expects content result$"),
        (("cta", "ffv1", "tfp"), r"states content features; this chain \(cta\) expects content spikes$"),
        (("caas", "ffv1", "tfi"), r"states extractor tfp; this chain \(caas\) expects extractor tfi$"),
        (("atc", "ffv1", "tfi"), r"states content features, extractor tfp; .* expects content result, extractor tfi$"),
        (("caas", "ffv1", "tfp", "sci"), r"states analyzer identity; this chain \(caas\) expects analyzer sci$"),
        (("caas", "raw", "tfp"), "made by 'ffv1', not by 'raw'"),
    ],
)
def test_a_stream_of_another_chain_is_refused(spikes, parts, words):
    sent = Chain("caas", "ffv1", "tfp").camera(spikes, 0.6)
    with pytest.raises(StreamError, match=words):
        Chain(*parts).cloud(sent.stream)


def test_a_stream_is_refused_where_its_weights_or_task_differ_or_it_lacks_instants(spikes):
    def restated(chain, **changes):
        info, payload = unpack_stream(chain.camera(spikes, 0.6).stream)
        stated = replace(info.chain, **changes) if changes else None
        return pack_stream(replace(info, chain=stated), payload)

    caas, atc, cta = (Chain(paradigm, "ffv1", "tfp") for paradigm in ("caas", "atc", "cta"))
    with pytest.raises(StreamError, match=r"states weights 31323334; .* expects weights none"):
        caas.cloud(restated(caas, weights=b"1234"))
    classifier = Chain("atc", "ffv1", "tfp", "classifier:on=tfp,data=s-digits", "classification")
    with pytest.raises(StreamError, match=r"states task reconstruction; .* expects task classification"):
        classifier.cloud(atc.camera(spikes, 0.6).stream)
    with pytest.raises(StreamError, match="does not state the coding instants"):
        cta.cloud(restated(cta))
    assert caas.cloud(restated(caas)).frames.shape == (FRAMES, HEIGHT, WIDTH)  # nothing that is stated contradicts


def test_one_stream_serves_two_tasks(spikes):
    """The header of features names the analyzer for pictures; a classifier takes the same stream."""
    stream = Chain("caas", "ffv1", "tfp", "sci").camera(spikes[:61], 0.6, Sampling(stride=4, margin=20)).stream  # K = 6
    classifier = Chain("caas", "ffv1", "tfp", "classifier:on=tfp,data=s-digits", "classification")
    assert unpack_stream(stream)[0].chain.analyzer == "sci"
    assert classifier.cloud(stream).frames.shape == (1, 1, 10)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1, 0), Sampling(5, 3)])
def test_the_instants_of_a_sampling_are_all_that_fit(sampling):
    for count in range(1, 6):
        needed = sampling.num_spikes(count)
        assert sampling.count(needed) == count
        assert sampling.count(needed - 1) == count - 1
        instants = sampling.instants(needed)
        assert instants[0] == sampling.margin
        assert instants[-1] == needed - 1 - sampling.margin
        assert len(instants) == count
    assert sampling.count(0) == 0


def test_lossy_spikes_are_spikes_above_one_half():
    assert to_spikes(np.array([0.2, 0.5, 0.51, 1.0], np.float32)).tolist() == [0, 0, 1, 1]
