"""The tutorial runs from its first cell to its last, and its cells say what the text around them does."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.delenv("MPLBACKEND", raising=False)  # tox sets it; a kernel draws into the notebook where it is not set
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell):
    outputs = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join("".join(output) for output in outputs)


def test_the_tutorial_runs(cells):
    text = [shown(cell) for cell in cells]
    run = next(part for part in text if "<Run " in part)
    assert "16 ok>" in run
    assert "measuring: 16 of 16" in run  # the progress of a notebook: one line, written anew
    verdict = next(part for part in text if "mean: " in part)
    assert float(verdict.rpartition("mean: ")[2]) > 100
    assert "<Chain: cta xz tfp identity>" in text[2]
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs) == 2
    assert "blocks" in text[-1]


def test_the_tutorial_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
