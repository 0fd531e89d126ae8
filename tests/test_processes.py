"""Independent work in several processes."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from bench.errors import BenchError
from bench.processes import in_processes
from bench.train import shards as training_data


def _where(factor, number):
    return factor * number, os.getpid()


def _last(number):
    if number == 3:
        os._exit(1)
    return number


def test_results_come_in_order_whoever_computes_them():
    here = list(in_processes(functools.partial(_where, 3), 4, few=5))
    there = list(in_processes(functools.partial(_where, 3), 4, together=2))
    assert [value for value, _ in here] == [value for value, _ in there] == [0, 3, 6, 9]
    assert {process for _, process in here} == {os.getpid()}
    if (os.cpu_count() or 1) > 1:
        assert os.getpid() not in {process for _, process in there}
    assert list(in_processes(functools.partial(_where, 3), 0)) == []


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: nothing is started")
def test_a_process_that_dies_is_one_line():
    with pytest.raises(BenchError, match="a worker process died"):
        list(in_processes(_last, 8))


def _dark(spikes, instants):
    return np.zeros((len(instants), *spikes.shape[1:]), np.float32) + spikes.mean() / 2


def test_features_are_the_same_from_several_processes(tmp_path, monkeypatch):
    shards = training_data.open_shards(None, tmp_path, 4, 0, lambda *_: None)
    alone = np.array(shards.derive("alone", _dark).features)
    monkeypatch.setattr(training_data, "_MANY", 2)
    assert np.array_equal(shards.derive("together", _dark).features, alone) and alone.any()


def test_a_process_of_a_training_ends_with_its_launcher():
    child = (
        "import time; from bench.train.devices import follow_launcher; follow_launcher(); print(1, flush=True); "
        "time.sleep(60); print(2)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "1\n"
        process.kill()
        assert process.stdout.read() == ""  # the end of the child's output, before it says more
