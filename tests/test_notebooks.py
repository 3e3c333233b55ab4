"""Each notebook runs from its first cell to its last, and its pictures are checked in.

They share one folder, in this order: the first trains, and the others find its checkpoint.
"""

import importlib.util
import os
import pathlib
import re
import shutil

import nbclient
import nbformat
import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[1]
FIRST = "train_shapes"
# The nine that matterport's repository has, and ours.
EXPECTED = {
    *("family", "inspect_max_deeplab"),
    *("demo", "train_shapes", "inspect_data", "inspect_model", "inspect_weights"),
    *("inspect_balloon_data", "inspect_balloon_model"),
    *("inspect_nucleus_data", "inspect_nucleus_model"),
}
NAMES = sorted(
    (path.stem for path in (ROOT / "notebooks").glob("*.ipynb")), key=lambda n: (n != FIRST, n)
)
# What the test trains less of: by notebook, what stands in a cell and what is run in its place.
SHORTER = {
    "train_shapes": ("STEPS, EPOCHS = 1200, 6", "STEPS, EPOCHS = 60, 2"),
    "family": ("STEPS = None", "STEPS = 2"),
    "inspect_max_deeplab": ("STEPS = None", "STEPS = 2"),
    "inspect_nucleus_model": ("def train(epochs=7)", "def train(epochs=2)"),
    "inspect_balloon_model": ("def train(epochs=7)", "def train(epochs=1)"),
}
LONGEST = (
    *("family", "inspect_max_deeplab", "inspect_balloon_model", "inspect_nucleus_model"),
    *("inspect_balloon_data", "inspect_nucleus_data", "inspect_weights"),
)
LARGEST = 600_000  # bytes of a file
TIMEOUT = 600  # seconds of a cell


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook):
    data = [output.get("data", {}) for output in outputs_of(notebook)]
    return [each for each in data if {"image/png", "image/jpeg"} & each.keys()]


def faults(notebook):
    """Errors, warnings and other text that no reader wants: a list of texts."""
    found = []
    for output in outputs_of(notebook):
        text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        if output.output_type == "error" or output.get("name") == "stderr":
            found.append(f"{output.get('ename', 'stderr')}: {output.get('evalue', text)}")
        if re.search(r"Traceback|Warning|[\r\b\x1b]|(?<![\w.])/(home|root|tmp|work|Users)/", text):
            found.append(text)
    return found


def test_all_are_there():
    assert set(NAMES) == EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_checked_in_outputs(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size <= LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert pictures(notebook)
    assert not faults(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    # In order and none left out: the outputs are of one run.
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(cell.metadata for cell in code)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the notebooks run: what they write stays out of the clone."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize(
    "name",
    [
        # The cells of inspect_model and inspect_data for other data, and the longest trainings.
        pytest.param(name, marks=[pytest.mark.thorough] * (name in LONGEST))
        for name in NAMES
    ],
)
def test_runs(name, folder, monkeypatch):
    if name.startswith("inspect_") and not importlib.util.find_spec("mrcnn.matterport"):
        pytest.skip("calls functions of matterport's interface")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    path = shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder)
    notebook = nbformat.read(path, as_version=4)
    before = len(pictures(notebook))
    long, short = SHORTER.get(name, ("", ""))
    assert any(long in cell.source for cell in notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.source = (
                [],
                cell.source.replace(long, short) if long else cell.source,
            )
    nbclient.NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        # What TensorFlow's C++ writes while it starts is no output of a cell.
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
    ).execute()
    assert len(pictures(notebook)) == before
    assert not faults(notebook)
