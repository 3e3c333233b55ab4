"""`mrcnn page`: what it computes, by hand, without gradio and without a network."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from serving import NAMES

from mrcnn.data.keypoints import KeypointScheme
from mrcnn.data.loading import load
from mrcnn.data.shapes import ShapesConfig
from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.inference.detections import Detections
from mrcnn.inference.stages import (
    ClassifiedROIs,
    Competition,
    Proposals,
    ScoredAnchors,
    SmallMasks,
    Stages,
)
from mrcnn.page import collecting, comparing, correcting, pictures, stage_views, views
from mrcnn.page.clips import Clip
from mrcnn.page.collecting import Kept, write_files
from mrcnn.page.errors import PageError
from mrcnn.page.models import with_cropped_masks
from mrcnn.page.session import Limits, Session
from mrcnn.page.stage_views import DETECTION_NMS, PROPOSAL_NMS, Look
from mrcnn.page.views import View
from mrcnn.settings import Detections as Rules
from mrcnn.settings import Settings

BOXES = np.array([[0, 0, 4, 4], [1, 1, 3, 3], [5, 5, 8, 10]], np.int32)


def result(size=(8, 10), masks=True, scores=(0.9, 0.6, 0.3), ids=(1, 2, 1)):
    """A cat of 16 pixels, a dog inside it, and another cat, whose masks fill their boxes."""
    found = {"rois": BOXES.copy(), "boxes": BOXES.astype(np.float32)}
    found |= {"class_ids": np.array(ids, np.int32), "scores": np.array(scores, np.float32)}
    if masks:
        patches = [np.ones((y2 - y1, x2 - x1), bool) for y1, x1, y2, x2 in BOXES]
        found["masks"] = CroppedMasks(*size, BOXES, patches)
    return Detections(found, np.full((*size, 3), 90, np.uint8), NAMES)


class FakeModel:
    """Finds `result` in each picture, and counts how often it was asked."""

    names, things, name, stages = NAMES, NAMES[1:], "fake", ["anchors"]

    def __init__(self, **options):
        self.asked, self.options = 0, options

    def detect(self, image):
        self.asked += 1
        found = result(np.shape(image)[:2], **self.options)
        found.image = image
        return found

    def look(self, image):
        self.asked += 1
        return Stages()


# ---- what is seen of a result


def test_filters_choose_by_score_and_class():
    found = result()
    assert_array_equal(views.choose(found, View(0.5)), [0, 1])
    assert_array_equal(views.choose(found, View(0.2, ("cat",))), [0, 2])
    assert_array_equal(views.choose(found, View(0.5, ("dog",))), [1])
    chosen = views.choose(found, View(0.2, ("cat",)))
    assert views.summary(found, chosen) == (
        "**2 found**: 2 cat. Hidden by the least score or the classes: 1."
    )
    rows = views.rows(found, chosen)
    assert rows == [[1, "cat", 0.9, "0 0 4 4", 16], [3, "cat", 0.3, "5 5 8 10", 15]]
    assert views.rows(result(masks=False), [1]) == [[2, "dog", 0.6, "1 1 3 3", ""]]


def test_small_pictures_are_drawn_larger_and_large_ones_smaller():
    # 512 // 10 = 51; 3200 in 1600 is a half, 1700 too: one over a whole number.
    assert views.scale_of((8, 10)) == 51
    assert views.scale_of((512, 300)) == views.scale_of((1600, 2)) == 1
    assert views.scale_of((3200, 10)) == views.scale_of((10, 1700)) == 0.5
    drawn = views.draw(result(), View())
    assert drawn.shape == (8 * 51, 10 * 51, 3)
    assert (drawn[7 * 51, 1 * 51] == 90).all()  # where nothing is
    fitted = views.fitted(result())
    assert_array_equal(fitted["rois"], BOXES * 51)
    assert fitted["masks"][:, :, 1].sum() == 4 * 51**2


def test_what_is_hidden_is_not_drawn():
    plain = views.draw(result(), View(1.1))
    assert (plain == 90).all()
    boxes = views.draw(result(), View(0.5, parts=("boxes",)))
    assert (boxes[6 * 51, 7 * 51] == 90).all() and (boxes != 90).any()


def test_a_panoptic_map_is_filtered_too():
    found = result()
    found["segmentation"] = np.repeat([[1] * 5 + [2] * 5], 8, axis=0).astype(np.int32)
    found["segments"] = [
        {"id": 1, "class_id": 1, "is_thing": True, "score": 0.9},
        {"id": 2, "class_id": 2, "is_thing": False},
    ]
    drawn = views.draw(found, View(0.5, ("cat",), ("masks",)))
    assert (drawn[:, 6 * 51 :] == 90).all() and (drawn[:, : 4 * 51] != 90).any(axis=-1).all()
    assert "; 2 segments" in views.summary(found, [0])


def test_a_click_finds_the_smallest_object():
    found = result()
    assert views.instance_at(found, 2, 2) == 1
    assert views.instance_at(found, 3, 0) == 0
    assert views.instance_at(found, 9, 0) is None
    found["masks"].patches[1][:] = False  # then the dog's box hides nothing
    assert views.instance_at(found, 2, 2) == 0
    assert views.instance_at(result(masks=False), 9, 7) == 2


def test_masks_are_kept_inside_their_boxes():
    dense = result()
    dense["masks"] = np.asarray(dense["masks"])
    cropped = with_cropped_masks(dense)
    assert isinstance(cropped["masks"], CroppedMasks) and isinstance(dense["masks"], np.ndarray)
    assert_array_equal(np.asarray(cropped["masks"]), dense["masks"])


# ---- two models


def test_pairs_are_of_one_class_and_overlap():
    found = result()
    # The first cat moved by one column: 12 of 20 pixels, IoU 0.6. The dog is called a cat.
    other = result(scores=(0.8, 0.7, 0.2), ids=(1, 1, 2))
    other["rois"] = BOXES + np.array([[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], np.int32)
    pairs = comparing.match(found, other)
    assert pairs == [(0, 0, pytest.approx(0.6))]
    assert comparing.rows(found, other, pairs) == [
        ["cat", 0.9, 0.8, 0.6],
        ["dog", 0.6, "", ""],
        ["cat", 0.3, "", ""],
        ["cat", "", 0.7, ""],
        ["dog", "", 0.2, ""],
    ]
    told = comparing.summary(found, other, pairs, ["a", "b"])
    assert told.startswith("**1 found by both**") and "only by a: 2, only by b: 2" in told
    assert comparing.colors(3, {0}) == [comparing.BOTH, comparing.ALONE, comparing.ALONE]
    assert comparing.match(found, found[[]]) == []


def test_classes_are_the_same_by_their_names():
    found, other = result(), result(ids=(2, 1, 2))
    other.class_names = ["BG", "dog", "cat"]
    assert [pair[:2] for pair in comparing.match(found, other)] == [(0, 0), (1, 1), (2, 2)]


# ---- corrections


def test_corrections_leave_what_was_found():
    found = result()
    changed = correcting.set_class(found, 1, 1)
    assert changed["class_ids"].tolist() == [1, 1, 1] and found["class_ids"].tolist() == [1, 2, 1]
    assert changed["scores"].tolist() == pytest.approx([0.9, 1, 0.3])
    mask = np.zeros((8, 10), bool)
    mask[6:8, 2:5] = True
    changed = correcting.set_mask(found, 0, mask)
    assert changed["rois"][0].tolist() == changed["boxes"][0].tolist() == [6, 2, 8, 5]
    assert_array_equal(changed["masks"][:, :, 0], mask)
    assert_array_equal(changed["masks"][:, :, 2], found["masks"][:, :, 2])
    grown = correcting.add(found, mask, 2)
    assert grown.count == 4 and grown["class_ids"][3] == 2 and grown["scores"][3] == 1
    assert_array_equal(grown["masks"][:, :, 3], mask)
    assert correcting.remove(found, 1)["rois"].tolist() == BOXES[[0, 2]].tolist()
    assert found.count == 3 and found["masks"][:, :, 0].sum() == 16
    with pytest.raises(PageError, match="one pixel at least"):
        correcting.add(found, np.zeros((8, 10), bool), 1)


def test_corrections_without_masks_move_boxes():
    mask = np.zeros((8, 10), bool)
    mask[6:8, 2:5] = True
    changed = correcting.set_mask(result(masks=False), 2, mask)
    assert changed["rois"][2].tolist() == [6, 2, 8, 5] and "masks" not in changed
    assert correcting.add(result(masks=False), mask, 1)["boxes"][3].tolist() == [6, 2, 8, 5]


def brush(shape, color, rows, columns):
    layer = np.zeros((*shape, 4), np.uint8)
    layer[rows, columns] = (*color, 255)
    return layer


GREEN, RED = (0, 224, 0), (255, 0, 0)


def test_green_adds_and_red_takes_away():
    canvas = correcting.Canvas.around((8, 10))
    assert (canvas.region, canvas.larger, canvas.smaller) == ((0, 0, 8, 10), 64, 1)
    assert canvas.picture(np.zeros((8, 10, 3), np.uint8)).shape == (512, 640, 3)
    before = np.zeros((8, 10), bool)
    before[2:4, 2:4] = True
    # Column 4 is green, row 2 is red, where they cross what was painted last: red.
    layers = [brush((512, 640), GREEN, slice(128, 256), slice(256, 320))]
    layers.append(brush((512, 640), RED, slice(128, 192), slice(None)))
    expected = np.zeros((8, 10), bool)
    expected[3, 2:5] = True
    assert_array_equal(canvas.mask((8, 10), layers, before), expected)
    assert before.sum() == 4
    # A browser may give the layer in another size.
    small = [layer[::2, ::2] for layer in layers]
    assert_array_equal(canvas.mask((8, 10), small, before), expected)


def test_a_canvas_around_a_box_and_one_of_a_large_picture():
    # A margin of a third of 90 on each side, cut at the picture: rows 70 to 220, columns 0 to 130.
    canvas = correcting.Canvas.around((1000, 2000), (100, 10, 190, 100))
    assert canvas.region == (70, 0, 220, 130)
    assert (canvas.larger, canvas.smaller) == (4, 1)  # 640 // 150
    layer = brush((600, 520), GREEN, slice(40, 44), slice(8, 16))
    mask = canvas.mask((1000, 2000), [layer])
    assert np.argwhere(mask).tolist() == [[80, 2], [80, 3]]
    whole = correcting.Canvas.around((1000, 2001))
    assert (whole.larger, whole.smaller) == (1, 4)
    assert whole.picture(np.zeros((1000, 2001, 3), np.uint8)).shape == (250, 501, 3)
    mask = whole.mask((1000, 2001), [brush((250, 501), GREEN, slice(1, 2), slice(500, 501))])
    assert np.argwhere(mask).tolist() == [[row, 2000] for row in range(4, 8)]


# ---- the session


def test_filters_and_corrections_ask_no_network():
    session, model, other = Session(), FakeModel(), FakeModel()
    image = np.zeros((8, 10, 3), np.uint8)
    session.open(model, image, "a.png")
    for _ in range(2):
        views.draw(session.corrected, View(0.1))
        session.found_by(other, Limits())
        session.stages(model)
    assert (model.asked, other.asked) == (2, 1)  # detect and look
    assert session.looked and session.has_found(other)
    session.open(model, image, "b.png")
    assert not session.looked and not session.has_found(other)


def test_painting_changes_masks_and_classes():
    session, shape = Session(), (8, 10)
    session.open(FakeModel(), np.zeros((*shape, 3), np.uint8), "a.png")
    session.paint(1, 2, [])  # nothing painted, the same class
    assert session.corrected is session.found
    session.paint(1, 1, [])
    assert session.corrected["class_ids"].tolist() == [1, 1, 1]
    canvas, before = session.canvas(0)
    assert canvas.region == (0, 0, 8, 10) and before.sum() == 16
    session.paint(0, 1, [brush((512, 640), RED, slice(0, 128), slice(None))])
    assert session.corrected["rois"][0].tolist() == [2, 0, 4, 4]
    session.paint(None, 2, [brush((512, 640), GREEN, slice(448, 512), slice(0, 64))])
    assert session.corrected["rois"][3].tolist() == [7, 0, 8, 1]
    session.correct(correcting.remove, 0)
    assert session.corrected.count == 3 and session.found.count == 3
    with pytest.raises(PageError, match="one pixel at least"):
        session.paint(None, 1, [])


def test_a_box_that_was_not_painted_on_stays():
    session = Session()
    session.open(FakeModel(masks=False), np.zeros((8, 10, 3), np.uint8), "a.png")
    session.paint(0, 2, [])
    assert session.corrected["rois"].tolist() == BOXES.tolist()
    assert session.corrected["class_ids"][0] == 2


@pytest.mark.parametrize("kind", ["COCO", "VIA"])
@pytest.mark.parametrize("masks", [True, False])
def test_the_readers_take_what_is_written(tmp_path, kind, masks):
    session, model = Session(), FakeModel(masks=masks)
    file = tmp_path / "photo.jpg"
    Image.fromarray(np.full((8, 10, 3), 90, np.uint8)).save(file)
    session.open(model, np.full((8, 10, 3), 90, np.uint8), "photo.jpg", str(file))
    session.correct(correcting.set_class, 2, 2)
    session.keep([0, 2], Limits())
    session.keep([0, 1, 2], Limits())  # in place of the first
    session.open(model, np.zeros((8, 10, 3), np.uint8), "photo.png")  # a sample: pixels alone
    session.keep([1], Limits())
    assert collecting.counts(session.kept) == "Pictures kept: 2, objects: 4."
    annotations, archive = session.write(model.things, kind)
    assert annotations.endswith(".json")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "unpacked")
    dataset = load(tmp_path / "unpacked", box_masks=True, verbose=0)
    assert dataset.source == kind.lower() and dataset.num_images == 2
    assert dataset.class_names == ["BG", *NAMES[1:]]
    drawn, ids = dataset.load_mask(0)
    assert [dataset.class_names[i] for i in ids] == ["cat", "dog", "dog"]
    assert_array_equal(drawn, np.asarray(result()["masks"]))
    written = next((tmp_path / "unpacked").rglob("photo.jpg"))
    assert written.read_bytes() == file.read_bytes()
    drawn, ids = dataset.load_mask(1)
    assert_array_equal(drawn[:, :, 0], np.asarray(result()["masks"])[:, :, 1])
    assert (dataset.load_image(1) == 0).all()


def test_masks_with_holes_come_back(tmp_path):
    mask = np.ones((5, 6), bool)
    mask[2, 2:4], mask[0, :3] = False, False
    found = correcting.add(result((8, 10))[[]], np.pad(mask, ((0, 3), (0, 4))), 1)
    for kind in ("COCO", "VIA"):
        write_files([Kept("a.png", None, found)], NAMES[1:], tmp_path / kind, kind)
        drawn, _ = load(tmp_path / kind, verbose=0).load_mask(0)
        assert_array_equal(drawn[:5, :6, 0], mask)


def test_keypoints_are_written_as_coco(tmp_path):
    found = result()
    found.keypoint_scheme = KeypointScheme(["left_ear", "right_ear"])
    found["keypoints"] = np.tile(np.float32([[1.5, 2.5, 7.0], [0, 0, 0]]), (3, 1, 1))
    write_files([Kept("a.png", None, found)], NAMES[1:], tmp_path / "coco", "COCO")
    dataset = load(tmp_path / "coco", verbose=0)
    assert dataset.keypoint_scheme.names == ("left_ear", "right_ear")
    assert_allclose(dataset.load_keypoints(0)[0], [[1.5, 2.5, 2], [0, 0, 0]])


def test_objects_without_a_pixel_are_not_kept(tmp_path):
    session = Session()
    session.open(FakeModel(), np.zeros((8, 10, 3), np.uint8), "a.png")
    session.corrected["masks"].patches[1][:] = False
    session.keep([1, 2], Limits())
    assert session.kept[0].found["rois"].tolist() == BOXES[[2]].tolist()
    assert session.write(NAMES[1:], "COCO")[0].endswith("instances.json")


def test_what_cannot_be_kept_is_told():
    session = Session()
    with pytest.raises(PageError, match="expected a picture, received none"):
        session.keep([], Limits())
    with pytest.raises(PageError, match="press “Keep this picture”"):
        session.write(["cat"], "COCO")
    session.open(FakeModel(), np.zeros((8, 10, 3), np.uint8), "a.png")
    with pytest.raises(PageError, match="at most 0 pictures"):
        session.keep([0], Limits(kept=0))


# ---- videos


@pytest.fixture
def video(tmp_path):
    pytest.importorskip("av")
    from mrcnn.image.video import write_video

    path = tmp_path / "party.mp4"
    write_video(path, (np.full((8, 10, 3), 20 * i, np.uint8) for i in range(7)), 10)
    return str(path)


def test_frames_of_a_video(video, tmp_path):
    session, model = Session(), FakeModel()
    # 7 frames, at most 3: each third, which are those of grey 0, 60 and 120.
    told = list(session.open_clip(model, video, Limits(frames=3)))
    assert told == [(1, 3), (2, 3), (3, 3)] and session.clip.step == 3
    assert session.name == "party_f000001.png" and session.path is None
    assert all(each.image is None for each in session.clip.found)
    session.show_frame(2)
    assert session.name == "party_f000007.png" and abs(int(session.image[0, 0, 0]) - 120) < 4
    session.clip.write(tmp_path / "found.mp4", View(0.5))
    frames = list(Clip(str(tmp_path / "found.mp4"), 10, 10**6).frames())
    assert [frame.shape for frame in frames] == [(8 * 51, 10 * 51, 3)] * 3
    assert model.asked == 3


def test_videos_that_are_refused(video, tmp_path):
    with pytest.raises(PageError, match="at most 79 pixels, received 8 x 10; make the video"):
        Clip(video, 3, 79)
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(PageError, match="expected a video"):
        Clip(str(tmp_path / "no.mp4"), 3, 10**6)


# ---- the stages

RULES = Rules(
    max_instances=4, min_confidence=0.0, nms_threshold=0.3, nms="hard", class_agnostic_nms=False
)
# The second box lies on 80 / 120 of the first one.
PLACES = np.array([[0, 0, 10, 10], [0, 2, 10, 12], [20, 20, 30, 30]], float)
COMPETITION = Competition(PLACES, PLACES, np.array([0.9, 0.8, 0.4]), np.array([1, 1, 2]), RULES)
STAGES = Stages(
    anchors=ScoredAnchors(
        PLACES, np.array([0.2, 0.9, 0.5]), np.array([0, 0, 1]), [np.eye(2), np.eye(1)], (4, 8)
    ),
    proposals=Proposals(PLACES[[0, 2]], np.array([0.9, 0.4]), COMPETITION),
    rois=ClassifiedROIs(
        PLACES, np.array([0, 0, 1]), np.array([[0.1, 0.7, 0.2], [0.8, 0.1, 0.1], [0.0, 0.1, 0.9]])
    ),
    candidates=COMPETITION,
    masks=SmallMasks(np.eye(2)[None], PLACES[:1], np.array([1]), np.array([0.9])),
)
IMAGE = np.zeros((40, 60, 3), np.uint8)


def see(name, **look):
    return stage_views.see(name, IMAGE, STAGES, NAMES, Look(**look))


def test_every_stage_has_a_view():
    for name in stage_views.SEES:
        seen = see(name)
        assert seen.text and (seen.picture is not None or seen.tiles)
        assert all(len(row) == len(seen.columns) for row in seen.rows)


def test_rows_of_the_stages():
    assert see("Anchors by score", count=2).rows == [[0.9, 4, "0 2 10 12"], [0.5, 8, "20 20 30 30"]]
    assert see("Proposals by score").rows[1] == [2, 0.4, "20 20 30 30"]
    assert see("Class scores").rows == [
        [3, "dog", 0.9, "cat", 0.1, 0.0],
        [1, "cat", 0.7, "dog", 0.2, 0.1],
    ]
    captions = [caption for _, caption in see("ROIs by level").tiles]
    assert captions == ["P2: 2 ROIs, 2 shown", "P3: 1 ROIs, 1 shown"]
    assert see("Masks before pasting").tiles[0][1] == "cat 0.90"
    assert not see("Masks before pasting", least=0.95).tiles


def test_reasons_are_told():
    seen = see(DETECTION_NMS, least=0.5)
    assert seen.rows == [
        [1, "cat", 0.9, "kept"],
        [2, "cat", 0.8, "overlaps cat 0.90 (box 1), IoU 0.67"],
        [3, "dog", 0.4, "below the least score"],
    ]
    assert (
        "**Detections: 1** (solid)" in seen.text and "DETECTION_NMS_THRESHOLD is 0.3" in seen.text
    )
    # Above its overlap the limit lets the second box through; no network is asked.
    assert [row[3] for row in see(DETECTION_NMS, least=0.2, overlap=0.7).rows] == ["kept"] * 3
    seen = see(PROPOSAL_NMS)
    assert [row[2] for row in seen.rows] == ["kept", "overlaps rank 1, IoU 0.67", "kept"]
    assert seen.text.startswith("The 3 best refined anchors: 1 overlap a better one")


def test_what_a_network_does_not_have_is_told():
    every = ["anchors", "proposals", "rois", "candidates", "masks"]
    assert stage_views.missing_text(every) == "" and len(stage_views.views_of(every)) == 7
    assert stage_views.views_of(["anchors", "candidates"]) == ["Anchors by score", DETECTION_NMS]
    told = stage_views.missing_text([])
    assert "no anchors" in told and "no mask head" in told and "none are suppressed" in told


# ---- samples


def test_photos_are_shown_to_who_knows_what_is_on_them():
    def samples(names, **keys):
        settings = Settings.from_config(type("Own", (ShapesConfig,), keys)())
        model = SimpleNamespace(settings=settings, config=ShapesConfig())
        return pictures.samples_of(SimpleNamespace(names=names, model=model, finds_segments=False))

    assert [name for name, _ in samples(["BG", "person", "cat"])] == ["chelsea", "astronaut"]
    painted = samples(["BG", "square"])
    assert [name for name, _ in painted] == [f"painted_{i}" for i in range(1, 7)]
    assert {image.shape for _, image in painted} == {(128, 128, 3)}
    assert samples(["BG", "cat"], IMAGE_CHANNEL_COUNT=5, MEAN_PIXEL=np.zeros(5)) == []
