"""`mrcnn page`: what is said before anything is shown; and that the page can be laid out."""

import argparse
import asyncio
import gc
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
from tiny import TinyConfig

from mrcnn import cli
from mrcnn.cli import page
from mrcnn.model import MaskRCNN

TINY = str(Path(__file__).with_name("tiny.py"))


def test_the_extra_is_named(capsys, monkeypatch):
    monkeypatch.setattr(page.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["page", "none.h5"]) == 2
    assert "needs gradio, not installed: pip install 'mrcnn[page]'" in capsys.readouterr().err


gradio = pytest.importorskip("gradio")


@pytest.fixture(scope="module", autouse=True)
def _event_loops():
    """gradio leaves event loops open: they must not trouble another module when they are freed."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    for each in gc.get_objects():
        if issubclass(type(each), asyncio.BaseEventLoop) and not each.is_running():
            each.close()


def test_a_port_in_use_is_told_first(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["page", "none.h5", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"expected a free port, 127.0.0.1:{port} cannot be had" in said and "--port 0" in said


def test_weights_and_passwords_are_told(capsys, tmp_path):
    names = tmp_path / "names"
    names.write_text("# who\nann:secret\nbob\n")
    assert cli.main(["page", "none.h5", "--auth", str(names)]) == 2
    assert "expected lines of NAME:PASSWORD, received 2 lines" in capsys.readouterr().err
    names.write_bytes("ärn:secret\n".encode("latin-1"))
    assert cli.main(["page", "none.h5", "--auth", str(names)]) == 2
    assert f"{names}: expected lines in UTF-8" in capsys.readouterr().err
    names.write_text("# who\n\nann:sec:ret\n")
    assert page.read_auth(names) == [("ann", "sec:ret")]
    assert cli.main(["page", str(tmp_path / "none.h5"), "--port", "0"]) == 2
    assert "no weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    "host, alone", [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_who_else_can_see_it(host, alone):
    assert page._is_loopback(host) == alone


def test_models_are_called_by_their_files_unless_these_are_the_same():
    assert page._names(["runs/a/best.h5"]) == ["best.h5"]
    assert page._names(["runs/a/", "runs/b.h5"]) == ["a", "b.h5"]
    assert page._names(["a/best.h5", "b/best.h5"]) == ["a/best.h5", "b/best.h5"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The `PageModel`s of a tiny model with masks, and of the same file again."""
    folder = tmp_path_factory.mktemp("page")
    config = TinyConfig()
    config.DETECTION_MIN_CONFIDENCE = 0.7
    model = MaskRCNN("inference", config, folder)
    model.class_names = ["BG", "square", "circle", "triangle"]
    model.save_weights(folder / "tiny.h5")
    parser = argparse.ArgumentParser()
    page.add_parser(parser.add_subparsers())
    argv = ["page", str(folder / "tiny.h5"), "--config", TINY, "--score", "0.1"]
    arguments = parser.parse_args([*argv, "--compare", str(folder / "tiny.h5")])
    arguments.assignments = ["DETECTION_MIN_CONFIDENCE=0.7"]
    return page.load_models(arguments)


def test_the_network_returns_more_than_is_shown_at_first(loaded):
    first, second = loaded
    assert first.first_score == 0.7 and first.model.config.DETECTION_MIN_CONFIDENCE == 0.1
    assert first.stages == ["anchors", "proposals", "rois", "candidates", "masks"]
    assert first.names[1:] == first.things == ["square", "circle", "triangle"]
    assert first.facts == "mask_rcnn, 3 classes (square, circle, triangle)"
    assert first.name != second.name or first.name.endswith("tiny.h5")


def test_what_a_model_cannot_take_is_told(loaded, tmp_path):
    from mrcnn.page.errors import PageError

    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(PageError, match=r"no\.png"):
        loaded[0].read(tmp_path / "no.png", 100)
    np.save(tmp_path / "large.npy", np.zeros((10, 11, 3), np.uint8))
    with pytest.raises(PageError, match="at most 109 pixels, received 10 x 11"):
        loaded[0].read(tmp_path / "large.npy", 109)
    assert loaded[0].read(tmp_path / "large.npy", 110).shape == (10, 11, 3)
    with pytest.raises(PageError, match="shape"):
        loaded[0].detect(np.zeros((4, 4, 9), np.uint8))


@pytest.mark.filterwarnings("ignore:unclosed")  # event loops, as above
def test_every_component_is_connected(loaded):
    from mrcnn.page import events, layout
    from mrcnn.page.pictures import samples_of
    from mrcnn.page.session import Limits, Session

    samples = samples_of(loaded[0])
    blocks, parts = layout.build(loaded, len(samples))
    handlers = events.Events(loaded, parts, Limits(), samples)
    handlers.connect(blocks)
    names = {each.fn.__name__ for each in blocks.fns.values() if each.fn}
    assert {"open_file", "redraw", "look", "compare", "apply", "keep", "write"} <= names

    class Click:
        index = 0

    filters, session = (0.0, [], ["masks", "boxes"], "object"), Session()
    picture, summary, rows, *_ = handlers.open_sample(Click, session, *filters)
    assert picture.shape == (512, 512, 3) and len(rows) == session.found.count > 0
    assert summary.startswith(f"painted_1.png: **{len(rows)} found**")
    assert len(handlers.redraw(session, 1.1, [], [], "class")[2]) == 0
    told, *drawn, table = handlers.compare(session, *filters)
    assert f"**{len(rows)} found by both**" in told and len(table) == len(rows)
    np.testing.assert_array_equal(*drawn)
    given = handlers.look("Detections: what was removed, and why", 5, 0.3, 0.1, session)
    assert "Suppressed by a better box" in given[0]
    chosen, named, painted = handlers.offer(session, *filters)
    assert chosen.value.startswith("1: ") and named in loaded[0].things
    handlers.apply(chosen.value, "circle", painted, session, *filters)
    assert session.corrected["class_ids"][0] == 2
    handlers.remove("1: circle 1.00", session, *filters)
    assert session.corrected.count == len(rows) - 1
    with pytest.raises(gradio.Error, match="expected an object, received a new one"):
        handlers.remove(layout.NEW, session, *filters)
    handlers.undo(session, *filters)
    assert session.corrected is session.found
