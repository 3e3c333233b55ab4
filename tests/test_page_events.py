"""What happens on the page, called as gradio calls it, without a browser and without a network."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from test_page import GREEN, FakeModel, brush, result

from mrcnn.data.loading import load
from mrcnn.data.shapes import ShapesConfig
from mrcnn.page.models import PageModel
from mrcnn.page.session import Limits, Session
from mrcnn.page.stage_views import DETECTION_NMS, PROPOSAL_NMS
from mrcnn.settings import Settings

gr = pytest.importorskip("gradio")

from test_cli_page import _event_loops  # noqa: E402, F401

from mrcnn.page import events, layout  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:unclosed")  # event loops of gradio
FILTERS = 0.5, [], ["masks", "boxes", "captions"], "class"  # two of the three objects are better


class Model(FakeModel):
    """What the page asks of a model beside; it reads files as the real one does."""

    facts, has_masks, finds_instances, first_score = "", True, True, 0.5
    model = SimpleNamespace(settings=Settings.from_config(ShapesConfig()))
    read = PageModel.read


class Page:
    """A page that is laid out and connected, with one visitor.

    Attributes:
        session: `Session` of the visitor.
    """

    def __init__(self, **limits):
        models, self.session = [Model()], Session()
        self._blocks, parts = layout.build(models, 0)
        events.Events(models, parts, Limits(**limits), []).connect(self._blocks)
        self._functions = {each.name: each for each in self._blocks.fns.values()}

    def call(self, name, *values, event=None):
        """What a handler returns for what its components hold; `event` is a dict of the event."""
        function = self._functions[name]
        assert len(values) == len(function.inputs)
        options = {"event_data": gr.EventData(None, event), "in_event_listener": True}
        called = self._blocks.call_function(function, list(values), **options)
        returned = asyncio.run(called)["prediction"]
        if isinstance(returned, tuple):
            assert len(returned) == len(function.outputs)
        return returned


def given(component, *names):
    """What a handler says of a component that it changes."""
    values = [component.constructor_args[name] for name in names]
    return values if len(names) > 1 else values[0]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((8, 10, 3), 90, np.uint8)).save(path)
    return str(path)


@pytest.fixture
def page():
    return Page()


def test_a_picture_is_opened_and_a_broken_one_is_told(page, photo, tmp_path):
    picture, summary, rows, video, _, _, tabs = page.call(
        "open_file", photo, page.session, *FILTERS
    )
    assert picture.shape == (8 * 51, 10 * 51, 3)  # a picture of 10 pixels is drawn 51 times larger
    assert summary.startswith("photo.png: **2 found**: 1 cat, 1 dog.")
    assert [row[:2] for row in rows] == [[1, "cat"], [2, "dog"]]
    assert not given(video, "visible") and given(tabs, "selected") == "result"
    assert page.session.path == photo
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(gr.Error, match=r"broken\.png"):
        page.call("open_file", str(tmp_path / "broken.png"), page.session, *FILTERS)
    assert page.session.path == photo
    with pytest.raises(gr.Error, match="at most 79 pixels, received 8 x 10"):
        Page(pixels=79).call("open_file", photo, Session(), *FILTERS)


def test_a_video_is_looked_at_and_drawn_into(tmp_path, monkeypatch):
    pytest.importorskip("av")
    from mrcnn.image.video import VideoReader, write_video

    path, told = tmp_path / "party.mp4", []
    write_video(path, (np.full((8, 10, 3), 20 * i, np.uint8) for i in range(7)), 10)
    monkeypatch.setattr(gr.Progress, "__call__", lambda self, done, **more: told.append(done))
    page = Page(frames=3)
    _, summary, _, video, frame, written, _ = page.call(
        "open_file", str(path), page.session, *FILTERS
    )
    assert told == [(1, 3), (2, 3), (3, 3)]  # gradio gave the handler its progress
    assert summary.startswith("party_f000001.png: **2 found**")
    assert given(video, "visible") and not given(written, "visible")
    assert given(frame, "maximum", "label") == [3, "Frame of 3, one of every 3"]
    assert page.call("show_frame", 3, page.session, *FILTERS)[1].startswith("party_f000007.png")
    drawn = page.call("write_video", page.session, *FILTERS)
    assert given(drawn, "visible")
    with VideoReader(given(drawn, "value")) as frames:
        assert [each.shape for each in frames] == [(8 * 51, 10 * 51, 3)] * 3
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(gr.Error, match="expected a video"):
        page.call("open_file", str(tmp_path / "no.mp4"), page.session, *FILTERS)


@pytest.mark.parametrize("kind", ["COCO", "VIA"])
def test_what_is_corrected_and_kept_is_read_back(page, photo, kind, tmp_path):
    session = page.session
    page.call("open_file", photo, session, *FILTERS)
    # A click on row 2, column 2 of the picture, 51 times larger: the dog, which is in the cat.
    place = {"index": [2 * 51 + 5, 2 * 51 + 5], "value": None}
    chosen, named, painted, tabs = page.call("click", session, *FILTERS, event=place)
    label = given(chosen, "value")
    assert (label, named, given(tabs, "selected")) == ("2: dog 0.60", "dog", "correct")
    assert painted["background"].shape == (512, 640, 3)  # 64 times larger
    nothing = page.call("click", session, *FILTERS, event={"index": [500, 5], "value": None})
    assert nothing == (gr.skip(),) * 4
    # Green is painted over the columns 6 and 7 of the rows 1 and 2, and it is a cat.
    layer = brush((512, 640), GREEN, slice(64, 192), slice(384, 512))
    painted = {"background": None, "layers": [layer], "composite": None}
    chosen, _, _, _, summary, _ = page.call("apply", label, "cat", painted, session, *FILTERS)
    assert given(chosen, "value") == "2: cat 1.00" and "**2 found**: 2 cat" in summary
    assert page.call("keep", session, *FILTERS) == "Pictures kept: 1, objects: 2."
    files = page.call("write", kind, session)
    annotations, archive = given(files, "value")
    assert given(files, "visible") and archive.endswith(".zip")
    dataset = load(annotations, verbose=0)
    masks, class_ids = dataset.load_mask(0)
    before = np.asarray(result()["masks"])
    assert_array_equal(masks[:, :, 0], before[:, :, 0])
    before[1:3, 6:8, 1] = True
    assert_array_equal(masks[:, :, 1], before[:, :, 1])
    assert [dataset.class_names[i] for i in class_ids] == ["cat", "cat"]
    assert (dataset.load_image(0) == 90).all()


def test_nothing_to_keep_is_told(page):
    with pytest.raises(gr.Error, match="expected a picture, received none"):
        page.call("keep", page.session, *FILTERS)
    with pytest.raises(gr.Error, match="press “Keep this picture”"):
        page.call("write", "COCO", page.session)
    assert page.call("click", page.session, *FILTERS, event={"index": [0, 0], "value": None}) == (
        (gr.skip(),) * 4
    )


def test_the_limit_of_suppression_is_shown_where_there_is_one(page):
    settings = Model.model.settings
    for name, rules in ((PROPOSAL_NMS, settings.proposals), (DETECTION_NMS, settings.detections)):
        slider = page.call("choose_stage", name)
        assert given(slider, "visible", "value") == [True, rules.nms_threshold]
    assert not given(page.call("choose_stage", "Anchors by score"), "visible")
