"""The exact small networks on a GPU: only machines that have one run this."""

import numpy as np
import pytest
import torch

from bench.interfaces import Codec, CodingCondition, Content
from bench.registry import create

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


@pytest.mark.parametrize("name", ["sci", "dcvc", "dcvc-dc"])
def test_streams_decode_alike_on_a_gpu_and_a_cpu(name, moving):
    devices = [create(Codec, f"{name}:device={device}") for device in ("cpu", "cuda")]
    for encoder in devices:
        stream = encoder.encode(moving(9, 64, 72), 3, CodingCondition(), Content.FEATURES).stream
        decoded = [decoder.decode(stream) for decoder in devices]
        assert decoded[0].sha256 == decoded[1].sha256
        assert np.abs(decoded[0].frames - moving(9, 64, 72)).mean() < 0.1
