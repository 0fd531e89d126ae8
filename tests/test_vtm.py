"""The VTM adapter against stand-in programs that misbehave, and against the real one where it is installed."""

import os
import stat

import numpy as np
import pytest

from bench.errors import BenchError
from bench.interfaces import Codec, CodingCondition, Content
from bench.registry import create

CONDITION = CodingCondition()
GOOD_LOG = "POC    0 LId:  0 ( IDR, QP 32 )   {bits} bits [Y 30 dB]"


@pytest.fixture
def fake(tmp_path):
    """Write an EncoderApp and a DecoderApp of shell commands; gives the codec that uses them."""

    def make(encode="", decode="", limit=3600):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (tmp_path / "cfg").mkdir(exist_ok=True)
        for kind in ("lowdelay_vtm", "randomaccess_vtm_gop16", "intra_vtm"):
            (tmp_path / "cfg" / f"encoder_{kind}.cfg").touch()
        paths = {}
        for role, body in (("Encoder", encode), ("Decoder", decode)):
            path = folder / f"{role}App"
            path.write_text(
                "#!/bin/sh\n"
                f'if [ $# = 0 ]; then echo "VVCSoftware: VTM {role} Version 23.0 [Linux]"; exit 1; fi\n'
                'while [ $# -gt 0 ]; do case "$1" in -b) stream="$2";; -o) out="$2";; esac; shift; done\n'
                f"{body}\n"
            )
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
            paths[role] = path
        return create(Codec, f"vtm:encoder={paths['Encoder']},decoder={paths['Decoder']},limit_seconds={limit}")

    return make


def _frames(count=1):
    return np.full((count, 8, 8), 0.5, np.float32)


def test_a_sound_log_is_accepted(fake):
    codec = fake(f"printf 12345 > $stream; echo '{GOOD_LOG.format(bits=40)}'", "head -c 64 /dev/zero > $out")
    state = codec.available()
    assert state.ok and state.version == "VTM 23.0" and len(state.sha256) == 64
    encoded = codec.encode(_frames(), 32, CONDITION, Content.FEATURES)
    assert codec.decode(encoded.stream).frames.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (f"printf 1234 > $stream; echo '{GOOD_LOG.format(bits=40)}'", "states 40 bits, the file has 32"),
        ("printf 12345 > $stream; echo nothing", "counts 0 frames, not 1"),
        ("echo wrong >&2; exit 3", "exit code 3: wrong"),
        ("sleep 600", "past its limit of 2 s"),
        ("kill -SEGV $$", "exit code -11"),
    ],
)
def test_encoders_that_misbehave_are_named(fake, encode, message):
    codec = fake(encode, limit=2 if "limit" in message else 3600)
    with pytest.raises(BenchError, match=message):
        codec.encode(_frames(), 32, CONDITION, Content.FEATURES)


def test_a_decoder_that_drops_frames_is_named(fake):
    codec = fake(
        f"printf 12345 > $stream; echo '{GOOD_LOG.format(bits=20)}'; echo '{GOOD_LOG.format(bits=20)}'",
        "head -c 64 /dev/zero > $out",
    )
    encoded = codec.encode(_frames(2), 32, CONDITION, Content.FEATURES)
    with pytest.raises(BenchError, match="1 frames decoded where the header says 2"):
        codec.decode(encoded.stream)


def test_missing_and_broken_binaries_are_reasons(fake, tmp_path, monkeypatch):
    for name in ("VTM_ENCODER", "VTM_DECODER", "VTM_CFG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "EncoderApp is not on PATH; set VTM_ENCODER" in create(Codec, "vtm").available().reason
    monkeypatch.setenv("VTM_ENCODER", str(tmp_path / "absent"))
    assert "is not an executable file" in create(Codec, "vtm").available().reason
    monkeypatch.setenv("PATH", os.defpath)
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho hello\n")
    other.chmod(0o755)
    monkeypatch.setenv("VTM_ENCODER", str(other))
    monkeypatch.setenv("VTM_DECODER", str(other))
    assert "does not say that it is VTM: hello" in create(Codec, "vtm").available().reason


def test_versions_of_encoder_and_decoder_must_agree(fake, tmp_path):
    codec = fake()
    decoder = tmp_path / "bin" / "DecoderApp"
    decoder.write_text(decoder.read_text().replace("23.0", "22.0"))
    assert "differ: 22.0 and 23.0" in codec.available().reason


def test_paths_stay_out_of_streams_and_results(fake, tmp_path):
    codec = fake(f"printf 12345 > $stream; echo '{GOOD_LOG.format(bits=40)}'")
    assert codec.spec == "vtm"
    assert str(tmp_path).encode() not in codec.encode(_frames(), 32, CONDITION, Content.FEATURES).stream


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["low_delay", "random_access"])
def test_the_real_vtm(structure, moving):
    codec = create(Codec, "vtm")
    if not codec.available().ok:
        pytest.skip(codec.available().reason)
    condition = CodingCondition(intra_period=8 if structure == "low_delay" else 16, structure=structure)
    frames = moving(10, 33, 65)
    decoded = codec.decode(codec.encode(frames, 27, condition, Content.FEATURES).stream).frames
    assert -10 * np.log10(np.square(decoded - frames).mean()) > 33
