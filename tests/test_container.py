import zlib
from dataclasses import replace

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError, StreamError
from bench.interfaces import AnalysisChain, Codec, CodingCondition, Content, StreamInfo, pack_stream, unpack_stream
from bench.registry import codec_for_stream, create

CHAINS = st.builds(
    lambda first, **fields: AnalysisChain(first_instant=first + fields["margin"], **fields),
    first=st.integers(0, 1 << 30),
    extractor=st.text(max_size=20),
    analyzer=st.text(max_size=20),
    weights=st.sampled_from([b"", b"1234", b"\0\0\0\1"]),
    stride=st.integers(1, 1000),
    margin=st.integers(0, 1000),
    spike_rate=st.none(),
)
INFOS = st.builds(
    StreamInfo,
    codec=st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True),
    options=st.text(max_size=40),
    weights=st.sampled_from([b"", b"1234", b"\0\0\0\1"]),
    content=st.sampled_from(Content),
    shape=st.tuples(*[st.integers(1, 1000)] * 3),
    rate_point=st.one_of(st.integers(-100, 100), st.floats(0, 100), st.text(max_size=9)),
    chain=st.none() | CHAINS,
)


def as_sent(info):
    """The spike rate is in streams of spikes, and nowhere else."""
    if info.chain is None or not info.content.is_spikes:
        return info
    return replace(info, chain=replace(info.chain, spike_rate=0.07))


@given(INFOS, st.binary(max_size=200))
def test_containers_reverse(info, payload):
    info = as_sent(info)
    assert unpack_stream(pack_stream(info, payload)) == (info, payload)


def test_the_header_is_small():
    info = StreamInfo("vvenc", "", b"", Content.FEATURES, (32, 256, 256), 37)
    alone = len(pack_stream(info, b""))
    assert alone <= 28
    chain = AnalysisChain("sci", "", b"1234", 20, 8, 20)
    assert len(pack_stream(replace(info, chain=chain), b"")) == alone + 13


def test_version_1_is_read():
    body = msgpack.packb(["dcvc", "", b"12345678", "f", 32, 256, 256, 3]) + b"payload"
    info, payload = unpack_stream(b"SPK1" + zlib.crc32(body).to_bytes(4, "little") + body)
    assert info == StreamInfo("dcvc", "", b"12345678", Content.FEATURES, (32, 256, 256), 3)
    assert payload == b"payload"


@pytest.mark.parametrize(
    "change",
    [
        {8: 3},
        {10: "weights"},
        {11: 3},
        {11: -1},
        {12: 0},
        {12: True},
        {13: -1},
        {14: 0},
        {14: float("nan")},
        {14: None},
    ],
)
def test_a_header_whose_chain_is_not_what_it_should_be_is_malformed(change):
    fields = ["raw", "", None, "s", 1, 8, 8, "lossless", "sci", "", 1, 20, 8, 20, 0.6]
    fields = [change.get(place, field) for place, field in enumerate(fields)]
    body = msgpack.packb(fields)
    with pytest.raises(StreamError, match="malformed"):
        unpack_stream(b"SPK2" + zlib.crc32(body).to_bytes(4, "little") + body)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused(data):
    with pytest.raises(StreamError):
        unpack_stream(data)
    with pytest.raises(StreamError):
        unpack_stream(b"SPK1" + data)
    with pytest.raises(StreamError):
        unpack_stream(b"SPK2" + data)


@pytest.mark.parametrize("name", ["zstd", "isi"])
def test_a_thousand_corruptions_never_give_frames(name, spikes):
    codec = create(Codec, name)
    frames = spikes(20, 16, 16).astype(np.float32)
    stream = codec.encode(frames, "lossless", CodingCondition(), Content.SPIKES).stream
    random = np.random.default_rng(0)
    for _ in range(1000):
        damaged = bytearray(stream)
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(0, len(damaged))] ^= int(random.integers(1, 256))
        cut = damaged[: random.integers(0, len(damaged))] if random.random() < 0.2 else damaged
        with pytest.raises(StreamError):
            codec.decode(bytes(cut))


@pytest.mark.parametrize("name", ["raw", "zstd", "xz", "isi"])
def test_damage_behind_a_right_checksum_never_crashes(name, spikes):
    codec = create(Codec, name)
    frames = spikes(20, 16, 16).astype(np.float32)
    info, payload = unpack_stream(codec.encode(frames, "lossless", CodingCondition(), Content.SPIKES).stream)
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(payload)
        damaged[random.integers(0, len(damaged))] ^= int(random.integers(1, 256))
        try:
            decoded = codec.decode(pack_stream(info, bytes(damaged)))
        except BenchError:
            continue
        assert decoded.frames.shape == frames.shape


def test_impossible_headers_are_refused():
    info = StreamInfo("raw", "", b"", Content.SPIKES, (1 << 20, 1 << 20, 1 << 20), "lossless")
    with pytest.raises(StreamError, match="impossible shape"):
        unpack_stream(pack_stream(info, b""))


@pytest.mark.parametrize("name", ["/home/evil.py:Codec", "evil.py:Codec", "../raw", "", 3, None])
def test_a_stream_cannot_name_a_file(name):
    info = StreamInfo(name, "", b"", Content.SPIKES, (1, 8, 8), "lossless")
    with pytest.raises(StreamError, match="malformed"):
        unpack_stream(pack_stream(info, b"12345678"))


def test_streams_of_another_codec_or_weights_are_refused(spikes):
    stream = create(Codec, "raw").encode(spikes(2).astype(np.float32), "lossless", CodingCondition(), Content.SPIKES)
    with pytest.raises(StreamError, match="made by 'raw', not by 'zstd'"):
        create(Codec, "zstd").decode(stream.stream)
    info, payload = unpack_stream(stream.stream)
    foreign = StreamInfo(info.codec, info.options, b"1234", info.content, info.shape, info.rate_point)
    with pytest.raises(StreamError, match="other weights"):
        create(Codec, "raw").decode(pack_stream(foreign, payload))


def test_a_rate_point_that_the_codec_lacks_is_damage(spikes):
    codec = create(Codec, "raw")
    encoded = codec.encode(spikes(2).astype(np.float32), "lossless", CodingCondition(), Content.SPIKES)
    info, payload = unpack_stream(encoded.stream)
    with pytest.raises(StreamError, match=r"raw: no rate point 7 .* \(in the stream's header\)"):
        codec.decode(pack_stream(replace(info, rate_point=7), payload))


def test_a_stream_cannot_name_a_program():
    info = StreamInfo("vtm", "decoder=/bin/sh", b"", Content.FEATURES, (1, 8, 8), 32)
    with pytest.raises(StreamError, match="only this machine may set"):
        codec_for_stream(info)


def test_options_of_the_stream_win_and_local_ones_stay():
    info = StreamInfo("vvenc", "preset=slow", b"", Content.FEATURES, (1, 8, 8), 32)
    codec = codec_for_stream(info, "vvenc:limit_seconds=5,preset=faster")
    assert codec.options.preset == "slow"
    assert codec.options.limit_seconds == 5


HEADERS = st.lists(
    st.one_of(st.integers(-5, 1 << 40), st.text(max_size=9), st.binary(max_size=9), st.floats(), st.none()),
    min_size=0,
    max_size=16,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"SPK1", b"SPK2"]), HEADERS, st.binary(max_size=40))
def test_crafted_headers_with_a_right_checksum_are_refused_or_read(magic, header, payload):
    body = msgpack.packb(header) + payload
    try:
        info, _ = unpack_stream(magic + zlib.crc32(body).to_bytes(4, "little") + body)
        codec_for_stream(info)
    except BenchError:
        return


@pytest.mark.parametrize("options", ["a=\rb", "self=1", "preset=\nslow", '"', "x" * 99, "limit_seconds=1", "=", ","])
def test_crafted_options_are_refused(options):
    with pytest.raises(BenchError):
        codec_for_stream(StreamInfo("vvenc", options, b"", Content.FEATURES, (1, 8, 8), 32))


def test_streams_of_endless_frames_are_refused():
    info = StreamInfo("isi", "", b"", Content.SPIKES, (1 << 28, 1, 1), "lossless")
    with pytest.raises(StreamError, match="impossible shape"):
        unpack_stream(pack_stream(info, b"\x00\x00\x00\x00"))


def test_values_that_are_no_frames_are_never_given_back(spikes):
    class Doubtful(create(Codec, "raw").__class__):
        def decompress(self, payload, info):
            return np.full(info.shape, self.value, np.float32)

    codec = Doubtful()
    stream = codec.encode(spikes(3).astype(np.float32), "lossless", CodingCondition(), Content.SPIKES).stream
    for value in (np.nan, 255.0, -1.0):
        codec.value = value
        with pytest.raises(StreamError, match="as decoded"):
            codec.decode(stream)
