"""Test-time augmentation, with a network that sees exactly what is drawn, and by hand.

A picture has an object wherever channel 0 is above 100: its box. Channel 1 is its mask. Channel 2
has its keypoints: 80 is the nose, and of two spots of 160 the left eye is the one further right,
as a person who looks at us has it. A corner pixel of channel 2 tells whether it is mirrored.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skimage.measure import label, regionprops

from mrcnn.architectures.mask_rcnn import MaskRCNN
from mrcnn.config import Config
from mrcnn.data.corners import CornersDataset
from mrcnn.data.keypoints import KeypointScheme
from mrcnn.image import CroppedMasks
from mrcnn.inference import tta
from mrcnn.inference.detector import Detector
from mrcnn.inference.tta import AugmentedDetector, TiledAugmentedDetector, _Frame, merge
from mrcnn.settings import Settings

MOST, BINS = 5, 4
EYES = KeypointScheme(["nose", "left_eye", "right_eye"])


def picture(*boxes, size=(64, 64)):
    """Objects whose masks are the left half of their boxes."""
    image = np.zeros((*size, 3), np.uint8)
    for y1, x1, y2, x2 in boxes:
        image[y1:y2, x1:x2, 0] = 200
        image[y1:y2, x1 : (x1 + x2) // 2, 1] = 255
    image[0, 0, 2] = 255
    return image


class Network:
    """The detection graph.

    Args:
        offset: `BOX_OFFSET`.
        mirrored: score of what it finds in a mirrored picture; None: it sees none there.
        plain: the same of one that is not.
        heatmaps: bool.

    Attributes:
        least: pixels of the side of an image in which it sees anything.
    """

    jit_compile, least = False, 0

    def __init__(self, offset=0, mirrored=0.8, plain=0.9, heatmaps=False):
        self.offset, self.scores, self.heatmaps = offset, (plain, mirrored), heatmaps
        self.shapes = []  # of the batches

    def predict_on_batch(self, inputs):
        images = inputs["input_image"]
        self.shapes.append(images.shape[:3])
        found = [self.see(image) for image in images]
        names = "detections", "masks", *(("heatmaps",) if self.heatmaps else ())
        return {name: np.stack([each[name] for each in found]) for name in names}

    def see(self, image):
        detections = np.zeros((MOST, 6), np.float32)
        masks = np.zeros((MOST, BINS, BINS), np.float32)
        heatmaps = np.zeros((MOST, BINS, BINS, 3), np.float32)
        _, columns = np.nonzero(image[..., 2] > 200)
        centre = image.shape[1] / 2
        score = self.scores[int(len(columns) and columns[0] > centre)]
        score = score if len(image) >= self.least else None
        regions = regionprops(label(image[..., 0] > 100)) if score else []
        sides = np.tile(image.shape[:2], 2) - self.offset
        for i, region in enumerate(regions):
            y1, x1, y2, x2 = region.bbox
            ends = np.array([y1, x1, y2 - self.offset, x2 - self.offset])
            detections[i] = *(ends / sides), 1, score
            ys = y1 + ((np.arange(BINS) + 0.5) * (y2 - y1) / BINS).astype(int)
            xs = x1 + ((np.arange(BINS) + 0.5) * (x2 - x1) / BINS).astype(int)
            masks[i] = image[np.ix_(ys, xs, [1])][..., 0] > 100
            spots = np.argwhere(image[y1:y2, x1:x2, 2] == 160)
            nose = np.argwhere(image[y1:y2, x1:x2, 2] == 80)
            if len(spots):
                left = spots[spots[:, 1].argmax()]
                right = spots[spots[:, 1].argmin()]
                for j, spot in enumerate((nose[0], left, right)):
                    bins = spot * BINS // np.array([y2 - y1, x2 - x1])
                    heatmaps[(i, *bins, j)] = 20
        return {"detections": detections, "masks": masks, "heatmaps": heatmaps}


def settings_of(mode="none", **keys):
    config = Config()
    values = {"IMAGE_RESIZE_MODE": mode, "MEAN_PIXEL": np.zeros(3), "BOX_OFFSET": 0}
    values |= {"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "DETECTION_MAX_INSTANCES": MOST}
    for key, value in {"NUM_CLASSES": 3, **values, **keys}.items():
        setattr(config, key, value)
    return Settings.from_config(config)


def detector(network=None, kind=AugmentedDetector, **keys):
    settings = settings_of(**keys)
    network = network or Network(settings.detections.box_offset)
    return kind(network, settings, MaskRCNN.unmold)


BOXES = [(8, 4, 24, 20), (30, 40, 46, 64), (40, 0, 56, 12)]


# ---- mirrored back


@pytest.mark.parametrize("offset", [0, 1])
def test_what_a_mirrored_picture_shows_comes_back_to_the_pixel(offset):
    network = Network(offset, plain=None)
    (found,) = detector(network, TEST_FLIP=True, BOX_OFFSET=offset).detect([picture(*BOXES)])
    assert sorted(map(tuple, found["rois"].tolist())) == sorted(BOXES)
    assert_allclose(found["boxes"], found["rois"], atol=1e-4)
    assert_allclose(found["scores"], 0.8)
    # The left half of each box, in the picture as it was given.
    (plain,) = detector(Network(offset), Detector, BOX_OFFSET=offset).detect([picture(*BOXES)])
    for i in range(3):
        same = (found["rois"] == plain["rois"][i]).all(axis=1).argmax()
        assert_array_equal(found["masks"][:, :, same], plain["masks"][:, :, i])
    assert network.shapes == [(2, 64, 64)]  # both in one batch


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(("mode", "shape"), [("square", (63, 41)), ("shortest_edge", (64, 41))])
def test_padding_is_not_mirrored(mode, shape, offset):
    # 63 x 41 in 64 x 64: no row above and 1 below, 11 columns to the left and 12 to the right.
    options = {"mode": mode, "BOX_OFFSET": offset, "IMAGE_MIN_DIM": None}
    if mode == "shortest_edge":
        options["IMAGE_MIN_DIM"] = 41
    box = (8, 4, 24, 20)
    network = Network(offset, plain=None)
    (found,) = detector(network, TEST_FLIP=True, **options).detect([picture(box, size=shape)])
    assert_allclose(found["boxes"], [box], atol=1e-4)
    assert found["masks"].shape == (*shape, 1)


def test_found_in_both_is_found_once_with_its_own_score():
    (found,) = detector(TEST_FLIP=True).detect([picture(*BOXES)])
    assert sorted(map(tuple, found["rois"].tolist())) == sorted(BOXES)
    assert_allclose(found["scores"], 0.9)
    (plain,) = detector(kind=Detector).detect([picture(*BOXES)])
    for name, array in plain.items():
        assert_array_equal(found[name], array, err_msg=name)


def test_of_a_mirrored_picture_it_is_the_mirrored_result():
    image = picture(*BOXES)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    both = detector(Network(mirrored=0.9), TEST_FLIP=True).detect([image, mirrored])
    first, second = (sorted(map(tuple, found["boxes"].tolist())) for found in both)
    assert_allclose(sorted((y1, 64 - x2, y2, 64 - x1) for y1, x1, y2, x2 in first), second)


def test_keypoints_are_mirrored_and_left_and_right_trade_places():
    image = picture((8, 8, 24, 24))
    image[18, 18, 2], image[10, 22, 2], image[14, 14, 2] = 80, 160, 160
    keys = {"USE_KEYPOINTS": True, "NUM_KEYPOINTS": 3, "TEST_FLIP": True}
    # Bins of 4 x 4 pixels: the nose in row 2, column 2 of them; the eyes in 0, 3 and 1, 1.
    corners = np.array([[16, 16], [8, 20], [12, 12]])
    for network in (Network(heatmaps=True), Network(heatmaps=True, plain=None)):
        finder = detector(network, **keys)
        finder.keypoint_scheme = EYES
        (found,) = finder.detect([image])
        assert found["keypoints"].shape == (1, 3, 3)
        inside = found["keypoints"][0, :, :2] - corners
        assert (inside > 0).all() and (inside < 4).all(), found["keypoints"]
    with pytest.raises(ValueError, match=r"left and right is not known.*COCO_PERSON"):
        detector(Network(heatmaps=True), **keys).detect([image])


# ---- other sizes


@pytest.mark.parametrize(("mode", "side"), [("none", 64), ("pad64", 64), ("square", 64)])
@pytest.mark.parametrize("factor", [2, 0.5])
def test_what_another_size_shows_comes_back_to_the_pixel(mode, side, factor):
    # Sides of even numbers of pixels, which halves keep.
    network = Network()
    finder = detector(network, TEST_SCALES=(factor,), mode=mode, IMAGE_INTERPOLATION="edge")
    (found,) = finder.detect([picture(*BOXES)])
    padded = max(64, side * factor)
    assert network.shapes == [(1, padded, padded)]
    assert sorted(map(tuple, found["rois"].tolist())) == sorted(BOXES)
    assert found["masks"].shape == (64, 64, 3)


@pytest.mark.parametrize("offset", [0, 1])
def test_what_one_size_shows_alone_comes_into_the_frame_of_the_first(offset):
    # 60 x 40 lies at row 2 and column 12 of 64 x 64, and at 0, 0 of 128 x 128.
    network = Network(offset, mirrored=0.9)
    network.least = 128
    options = {"mode": "square", "IMAGE_MIN_DIM": None, "IMAGE_INTERPOLATION": "edge"}
    finder = detector(network, TEST_SCALES=(1, 2), TEST_FLIP=True, BOX_OFFSET=offset, **options)
    (found,) = finder.detect([picture((8, 4, 24, 20), size=(60, 40))])
    assert network.shapes == [(2, 64, 64), (2, 128, 128)]
    assert found["rois"].tolist() == [[8, 4, 24, 20]]
    # With offset 1 corner pixels meet: 16 / 119 * 59 = 7.93, 47 / 119 * 59 + 1 = 24.30.
    expected = [7.93, 3.95, 24.30, 20.25] if offset else [8, 4, 24, 20]
    assert_allclose(found["boxes"], [expected], atol=0.01)


def test_sizes_count_from_what_the_image_is_resized_to():
    # 32 x 48 is made 1 1/3 times as large by "square"; half of that is 21.3 x 32.
    settings = settings_of("square", TEST_SCALES=(1, 0.5)).image
    from mrcnn.image import MoldedImages

    image = np.full((32, 48, 3), 9, np.uint8)
    whole, half = (MoldedImages([image], settings, factor=factor) for factor in (1, 0.5))
    assert whole.molded_shapes == [(64, 64, 3)] and whole[0]["window"] == (10, 0, 53, 64)
    assert half.molded_shapes == [(64, 64, 3)] and half[0]["window"] == (0, 0, 21, 32)
    # Buckets are larger with the images.
    settings = settings_of("pad64", IMAGE_BUCKETS=[(64, 192)]).image
    assert MoldedImages([image], settings, factor=1).molded_shapes == [(64, 192, 3)]
    assert MoldedImages([image], settings, factor=2).molded_shapes == [(128, 384, 3)]


def test_every_size_is_mirrored_too():
    network = Network()
    finder = detector(network, TEST_SCALES=(1, 2), TEST_FLIP=True, IMAGES_PER_GPU=3)
    found = finder.detect([picture(*BOXES), picture(), picture(BOXES[0])])
    assert [len(each["scores"]) for each in found] == [3, 0, 1]
    # Six of each size, three at a time.
    assert network.shapes == [(3, 64, 64)] * 2 + [(3, 128, 128)] * 2
    assert_allclose(found[0]["scores"], 0.9)


def test_nothing_found_and_no_images(capsys):
    finder = detector(TEST_FLIP=True, TEST_SCALES=(1, 2))
    assert finder.detect([]) == []
    (found,) = finder.detect([picture()], verbose=1)
    assert found["rois"].shape == (0, 4) and found["masks"].shape == (64, 64, 0)
    assert capsys.readouterr().out.count("Processing") == 1


def test_a_stream_takes_a_batch_at_a_time():
    taken = []

    def images():
        for i in range(5):
            taken.append(i)
            yield picture(BOXES[i % 3])

    stream = detector(TEST_FLIP=True, IMAGES_PER_GPU=2).stream(images())
    first = next(stream)
    assert taken == [0, 1] and first["rois"].tolist() == [list(BOXES[0])]
    assert len(list(stream)) == 4


def test_an_image_that_cannot_be_used_is_named_before_anything_runs():
    network = Network()
    images = [picture()] * 5 + [np.zeros((64, 64, 7), np.uint8)]
    with pytest.raises(ValueError, match=r"images\[5\]: expected .* channels"):
        detector(network, TEST_FLIP=True).detect(images)
    assert not network.shapes


def test_tiles_are_detected_in_in_each_form():
    # 64 x 128 in tiles of 64 that share 32, at 0, 32 and 64; an object in the first and one that
    # the first tile cuts.
    boxes = [(8, 4, 24, 20), (30, 56, 46, 80)]
    network = Network(mirrored=0.9)
    finder = detector(
        network, TiledAugmentedDetector, TEST_FLIP=True, TILE_SIZE=64, TILE_OVERLAP=32
    )
    (found,) = finder.detect([picture(*boxes, size=(64, 128))])
    assert network.shapes == [(2, 64, 64)] * 3
    assert sorted(map(tuple, found["rois"].tolist())) == boxes
    assert isinstance(found["masks"], CroppedMasks) and found["masks"].shape == (64, 128, 2)


# ---- merging, by hand

FRAME = _Frame((100, 100), (0, 0, 100, 100))


def part(*rows, masks=None):
    """Outputs of a form: boxes in hundredths, class, score."""
    rows = np.reshape(rows, (-1, 6)).astype(float) * [0.01, 0.01, 0.01, 0.01, 1, 1]
    outputs = {"detections": rows}
    return outputs if masks is None else {**outputs, "masks": np.array(masks, np.float32)}


def merged(*parts, threshold=0.3, limit=9, **options):
    """Rows of boxes in hundredths, class, score."""
    rows = merge(parts, FRAME, 0, threshold, limit, **options)["detections"]
    return np.round(rows * [100, 100, 100, 100, 1, 1], 6).tolist()


A, B, FAR = (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 60, 60)  # IoU of A and B: 0.8


def test_of_two_forms_the_better_score_stays():
    rows = merged(part((*A, 1, 0.8)), part((*B, 1, 0.9), (*FAR, 1, 0.7)))
    assert rows == [[*B, 1, 0.9], [*FAR, 1, 0.7]]
    assert merged(part((*A, 1, 0.8)), part((*B, 1, 0.9), (*FAR, 1, 0.7)), limit=1) == rows[:1]
    # Of equal scores the first form's.
    assert merged(part((*A, 1, 0.8)), part((*B, 1, 0.8))) == [[*A, 1, 0.8]]
    # 0.8 is not above 0.8.
    assert len(merged(part((*A, 1, 0.8)), part((*B, 1, 0.9)), threshold=0.81)) == 2


def test_classes_are_apart_unless_asked_otherwise():
    parts = part((*A, 1, 0.8)), part((*B, 2, 0.9))
    assert merged(*parts) == [[*B, 2, 0.9], [*A, 1, 0.8]]
    assert merged(*parts, class_agnostic=True) == [[*B, 2, 0.9]]


def test_overlaps_are_those_of_pixels():
    # Of 11 pixels a side: 4 x 4 and 4 x 3, IoU 12 / 16. Normalised with offset 1 their sides are
    # 0.3 and 0.2, whose areas would have 2 / 3.
    frame = _Frame((11, 11), (0, 0, 11, 11))
    parts = [{"detections": np.array([(0, 0, 0.3, x, 1, 0.9)])} for x in (0.3, 0.2)]
    assert len(merge(parts, frame, 1, 0.7, 9)["detections"]) == 1
    assert len(merge(parts, frame, 1, 0.76, 9)["detections"]) == 2
    assert len(merge(parts, frame, 0, 0.7, 9)["detections"]) == 2


def test_what_one_form_keeps_beside_another_stays():
    # As Soft-NMS may: A and B of one form.
    assert merged(part((*A, 1, 0.8), (*B, 1, 0.4)), part()) == [[*A, 1, 0.8], [*B, 1, 0.4]]


def test_no_boxes():
    assert merged(part(), part()) == []
    found = merge([part(masks=np.zeros((0, 2, 2)))] * 2, FRAME, 0, 0.3, 9)
    assert found["masks"].shape == (0, 2, 2)


def test_masks_are_averaged_over_the_forms():
    left, top = [[1, 0], [1, 0]], [[1, 1], [0, 0]]
    parts = [
        part((*A, 1, 0.8), masks=[left]),
        part((*A, 1, 0.9), (*FAR, 1, 0.5), masks=[top, left]),
        # The nearer one of two counts, not the better one; and none of another class.
        part((*B, 1, 0.6), (*A, 1, 0.5), (*A, 2, 0.4), masks=[left, top, left]),
    ]
    found = merge(parts, FRAME, 0, 0.3, 9)
    assert_allclose(found["detections"][:, 5], [0.9, 0.5, 0.4])
    # Of the first: top, left, top.
    assert_allclose(found["masks"][0], [[1, 2 / 3], [1 / 3, 0]], rtol=1e-6)
    assert_allclose(found["masks"][1:], [left, left])


def test_a_box_that_overlaps_less_gives_no_mask():
    # 4 of 10 columns: IoU 0.4, above the threshold of boxes.
    parts = [part((*A, 1, 0.9), masks=[[[1]]]), part((0, 0, 10, 4, 1, 0.8), masks=[[[0]]])]
    found = merge(parts, FRAME, 0, 0.3, 9)
    assert len(found["detections"]) == 1 and found["masks"].ravel().tolist() == [1]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 1, 4), [1, 1, 0, 0]),
        # Centres at 1.5, 2.5, 3.5 and 4.5, which is outside.
        ((0, 1, 1, 5), [1, 0, 0, 0]),
        # At 1, 2, 3 and 4, the edge: between two values, and the last one.
        ((0, 0.5, 1, 4.5), [1, 0.5, 0, 0]),
        # At 0.25, which is nearer to the edge than to any centre; 0.75; 1.25 and 1.75.
        ((0, 0, 1, 2), [1, 1, 1, 0.75]),
    ],
)
def test_a_mask_as_it_lies_over_another_box(other, expected):
    mask = np.array([[1.0, 1, 0, 0]])
    box = np.array([0, 0, 1, 4.0])
    assert_allclose(tta._over_box(mask, box, np.array(other, float))[0], expected)
    # Turned round: what lies beyond the box is 0, not its last value.
    turned = tta._over_box(mask[:, ::-1], box, np.array([0, 1, 1, 5.0]))
    assert_allclose(turned[0], [0, 1, 1, 0])


# ---- keys and models


def test_variants():
    plain = settings_of().test_time
    assert plain.variants == [(1.0, False)] and not plain.enabled
    assert not settings_of(TEST_SCALES=(1,)).test_time.enabled
    assert not settings_of(TEST_SCALES=(1,)).image.open_sides
    both = settings_of(TEST_SCALES=(0.5, 1), TEST_FLIP=True)
    assert both.test_time.variants == [(0.5, False), (0.5, True), (1.0, False), (1.0, True)]
    assert both.test_time.enabled and both.image.open_sides


def tiny_model(preset, folder, nms):
    """A model of 30 thousand weights with both tricks."""
    from tiny import TinyConfig, tiny_of

    from mrcnn.model import create

    config = TinyConfig() if preset is None else tiny_of(preset)
    config.TEST_FLIP, config.DETECTION_NMS = True, nms
    config.TEST_SCALES = (1, 1.5) if preset is None else None
    config.DETECTION_NMS_CLASS_AGNOSTIC = True
    model = create("inference", config, folder)
    if config.USE_KEYPOINTS:
        model.keypoint_scheme = CornersDataset.keypoint_scheme
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "nms"),
    [
        (None, "gaussian"),
        ("torchvision/maskrcnn_resnet50_fpn", "linear"),
        ("torchvision/retinanet_resnet50_fpn_v2", "gaussian"),
        *(
            pytest.param(*case, marks=pytest.mark.thorough)
            for case in (
                ("detectron2/cascade_mask_rcnn_R_50_FPN_3x", "linear"),
                ("detectron2/mask_rcnn_R_50_C4_3x", "gaussian"),
                ("torchvision/keypointrcnn_resnet50_fpn", "linear"),
            )
        ),
    ],
)
def test_a_model_detects(preset, nms, tmp_path):
    from tiny import shapes

    model, data = tiny_model(preset, tmp_path, nms), shapes(2)
    found = model.detect([data.load_image(i) for i in range(2)])
    assert all(0 < each.count <= model.config.DETECTION_MAX_INSTANCES for each in found)
    for each in found:
        assert (np.diff(each["scores"]) <= 0).all() and each["boxes"].shape == (each.count, 4)
        masks = model.settings.mask_head.enabled
        assert masks == ("masks" in each)
        assert not masks or each["masks"].shape == (64, 64, each.count)
        if model.settings.keypoint_head.enabled:
            assert each["keypoints"].shape == (each.count, 5, 3)
    assert len(list(model.detect(iter([data.load_image(0)]), stream=True))) == 1
