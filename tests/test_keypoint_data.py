"""Keypoints of data sets: files, ground truth, mirrors of every kind, batches."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for a newer version otherwise

import albumentations
import numpy as np
import pytest
from coco_folder import ANNOTATIONS, CATEGORIES, truth, write_annotations, write_images
from tiny import TinyConfig

from mrcnn import augment
from mrcnn.augment import Sample
from mrcnn.cli.main import main
from mrcnn.data import DataGenerator, Dataset, KeypointScheme, convert, load, load_image_gt
from mrcnn.data.annotations.notes import Notes
from mrcnn.data.augmentation import as_callable
from mrcnn.data.corners import NAMES, CornersDataset
from mrcnn.data.distortions import distorted_points
from mrcnn.data.fitting import check_keypoints, check_same_keypoints
from mrcnn.data.formats.coco import CocoDataset
from mrcnn.data.sample import apply_augmentation
from mrcnn.settings import Settings

iaa = augment.load_imgaug().augmenters
HANDS = ["head", "left_hand", "right_hand"]


class PointsConfig(TinyConfig):
    USE_KEYPOINTS = True
    NUM_KEYPOINTS = 3
    NUM_CLASSES = 2
    IMAGES_PER_GPU = 1
    MAX_GT_INSTANCES = 3


class Person(Dataset):
    """A picture of 32 x 64 with an object that fills rows 4 to 20, columns 8 to 24, and another
    without keypoints."""

    keypoint_scheme = KeypointScheme(HANDS)
    points = ((6.5, 16, 2), (12, 9, 1), (0, 0, 0))

    def load_image(self, image_id):
        return np.full((32, 64, 3), 100, np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((32, 64, 2), bool)
        masks[4:20, 8:24, 0] = masks[25:30, 40:50, 1] = True
        return masks, np.array([1, 1], np.int32)

    def load_keypoints(self, image_id):
        return np.array([self.points, np.zeros((3, 3))])


def person(**changes):
    dataset = type("Own", (Person,), changes)()
    dataset.add_class("own", 1, "person")
    dataset.add_image("own", 0, path=None)
    dataset.prepare()
    return dataset


def batch(config=PointsConfig, augmentation=None, **changes):
    return DataGenerator(person(**changes), config(), False, augmentation)[0][0]


# ---- ground truth


@pytest.mark.parametrize("use_mask", [True, False])
def test_keypoints_are_resized_and_padded(use_mask):
    # 32 x 64 on 64 x 64: scale 1, 16 rows of padding on top. Visibilities become 2 and 0.
    config = type("Own", (PointsConfig,), {"USE_MASK": use_mask})
    found = batch(config)["input_gt_keypoints"]
    assert found.shape == (1, 3, 3, 3) and found.dtype == np.float32
    assert found[0, 0].tolist() == [[22.5, 16, 2], [28, 9, 2], [0, 0, 0]]
    assert not found[0, 1:].any()


def test_a_mirrored_left_hand_is_a_right_one():
    found = batch(augmentation=augment.FlipLeftRight(1))["input_gt_keypoints"][0, 0]
    # x 64 - 16 and 64 - 9; what was the left hand, index 1, is the right one, index 2.
    assert found.tolist() == [[22.5, 48, 2], [0, 0, 0], [28, 55, 2]]


class Zoom:
    """Draws for `ScaleJitter`: twice as large, from a column of 128 on."""

    def __init__(self, column):
        self.column = column

    def uniform(self, low, high):
        return np.log(2)

    def integers(self, high):
        return np.array([0, self.column]) if np.array_equal(high, [1, 65]) else np.zeros(2, int)


def zoomed(column, **changes):
    jitter = augment.ScaleJitter(2.0)
    return DataGenerator(person(**changes), PointsConfig(), False, jitter)._load_image(
        0, Zoom(column)
    )


def test_points_that_leave_the_picture_are_none():
    # From column 24 on: x 2 * 16 - 24 = 8, and 2 * 9 - 24 < 0.
    assert zoomed(24)["keypoints"][0].tolist() == [[13, 8, 2], [0, 0, 0], [0, 0, 0]]


def test_objects_that_leave_the_picture_take_their_keypoints_along():
    # From column 64 on, the first, columns 16 to 48 then, is gone: x 2 * 45 - 64 = 26.
    points = np.full((2, 3, 3), [[[6, 16, 2]], [[26, 45, 2]]])
    found = zoomed(64, load_keypoints=lambda self, image_id: points)
    assert found["boxes"].tolist() == [[50, 16, 60, 36]]
    assert found["keypoints"].tolist() == [[[52, 26, 2]] * 3]


def test_objects_that_are_left_out_take_their_keypoints_along():
    class One(PointsConfig):
        MAX_GT_INSTANCES = 1

    points = {"load_keypoints": lambda self, i: np.full((2, 3, 3), [[[6, 16, 2]], [[26, 45, 2]]])}
    kept = [
        DataGenerator(person(**points), One(), False)._load_image(0, np.random.default_rng(seed))
        for seed in range(8)
    ]
    pairs = {(tuple(x["boxes"][0].tolist()), x["keypoints"][0, 0, 0]) for x in kept}
    assert pairs == {((20, 8, 36, 24), 22.0), ((41, 40, 46, 50), 42.0)}


def test_without_keypoints_nothing_of_them_is_loaded():
    def broken(self, image_id):
        raise AssertionError

    class Without(PointsConfig):
        USE_KEYPOINTS = False

    assert "input_gt_keypoints" not in batch(Without, load_keypoints=broken)
    assert len(load_image_gt(person(load_keypoints=broken), Without(), 0)) == 5


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        (np.zeros((1, 3, 3)), r"expected keypoints \[2, 3, 3\], .* received \[1, 3, 3\]"),
        (np.full((2, 3, 3), 3.0), r"expected visibilities of 0 .* received visibilities \[3.0\]"),
        (np.full((2, 3, 3), np.nan), "expected visibilities of 0"),
    ],
)
def test_keypoints_that_cannot_be(keypoints, message):
    dataset = person(load_keypoints=lambda self, image_id: keypoints)
    generator = DataGenerator(dataset, PointsConfig(), False)
    with pytest.raises(ValueError, match=f"Image 0 .*load_keypoints: {message}"):
        generator._load_image(0, np.random.default_rng(0))


def test_an_image_may_have_none():
    assert not batch(load_keypoints=lambda self, image_id: None)["input_gt_keypoints"].any()


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        (None, "received a Own without. Override load_keypoints"),
        (KeypointScheme(["a", "b"]), r"received a data set of 2: a, b. Set NUM_KEYPOINTS = 2"),
    ],
)
def test_a_data_set_of_other_keypoints_is_refused(scheme, message):
    with pytest.raises(ValueError, match=message):
        check_keypoints(person(keypoint_scheme=scheme), Settings.from_config(PointsConfig()))


def test_validation_data_of_keypoints_in_another_order_are_refused():
    settings = Settings.from_config(PointsConfig())
    other = person(keypoint_scheme=KeypointScheme([HANDS[0], HANDS[2], HANDS[1]]))
    with pytest.raises(ValueError, match=r"head, left_hand, .*, received head, right_hand, left_"):
        check_same_keypoints(person(), other, settings)
    check_same_keypoints(person(), person(), settings)
    check_same_keypoints(person(), None, settings)
    without = Settings.from_config(type("Own", (PointsConfig,), {"USE_KEYPOINTS": False})())
    check_same_keypoints(person(), other, without)


def test_tiles_have_no_keypoints():
    with pytest.raises(ValueError, match="TILE_SIZE is 64 and USE_KEYPOINTS is set"):
        type("Tiled", (PointsConfig,), {"TILE_SIZE": 64})().validate()


# ---- mirrors


def hands(sides=(8, 8)):
    """A picture with a left hand at x 2.5 of 8, and no right one."""
    image = np.full((*sides, 3), 50, np.uint8)
    masks = np.zeros((*sides, 1), bool)
    masks[1, 2] = True
    points = np.array([[[1.5, 2.5], [np.nan, np.nan]]])
    return Sample(image, masks, points=points, flip_pairs=((0, 1),))


def moved(augmentation, given=None, seed=0):
    given = given or hands()
    return apply_augmentation(as_callable(augmentation), given, np.random.default_rng(seed)).points


MIRRORS = {
    "built-in": augment.FlipLeftRight(1),
    "imgaug": iaa.Fliplr(1.0),
    "albumentations": albumentations.HorizontalFlip(p=1),
}


@pytest.mark.parametrize("flip", MIRRORS.values(), ids=MIRRORS)
def test_pairs_trade_places_in_every_mirror(flip):
    found = moved(flip)
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_allclose(found[0, 1], [1.5, 5.5], atol=1e-6)


TURNS = {
    "both ways": augment.Compose([augment.FlipLeftRight(1), augment.FlipUpDown(1)]),
    "imgaug": iaa.Rot90(2, keep_size=False),
    "albumentations": albumentations.Rotate((180, 180), p=1),
}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_pairs_keep_their_places_where_the_picture_turns(turn):
    found = moved(turn)
    assert np.isnan(found[0, 1]).all()
    np.testing.assert_allclose(found[0, 0], [6.5, 5.5], atol=0.01)


def test_distorted_points():
    # A pixel comes from two to its right: all moves two to the left, beyond the edge too. Doubled
    # in height, row 3 becomes row 6.
    y, x = np.mgrid[:12, :8].astype(np.float32)
    points = np.array([[5.25, 3, 0, 9], [0, 1, 0, 8], [-0.5, -0.5, 0, 7]])
    moved_left = distorted_points(points, x + 2, y, shape=(12, 8))
    assert moved_left.tolist() == [[3.25, 3, 0, 9], [-2, 1, 0, 8], [-2.5, -0.5, 0, 7]]
    np.testing.assert_allclose(distorted_points(points, x, y / 2)[:2, 1], [6, 2], atol=1e-6)


def test_points_that_no_pixel_shows_are_lost():
    # Rows 0 to 5 come from -4 to 1, rows 6 and on from 10 and on: row 5.75 is nowhere.
    y, x = np.mgrid[:12, :8].astype(np.float32)
    cut = y + np.where(y < 6, -4, 4)
    assert distorted_points(np.array([[2, 5.75], [2, 0.5]]), x, cut).tolist() == [[2, 4.5]]


DISTORTIONS = {
    "elastic": albumentations.ElasticTransform(alpha=200, sigma=8, p=1),
    "grid": albumentations.GridDistortion(p=1),
    "optical": albumentations.OneOf([albumentations.OpticalDistortion(p=1)], p=1),
}


@pytest.mark.parametrize("distortion", DISTORTIONS.values(), ids=DISTORTIONS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_points_stay_on_what_a_distortion_moves(distortion, mirrored):
    image, masks = np.full((96, 128, 3), 50, np.uint8), np.zeros((96, 128, 4), bool)
    centres = np.array([[20.5, 20.5], [20.5, 100.5], [70.5, 30.5], [60.5, 90.5]])
    for i, (y, x) in enumerate(centres.astype(int)):
        masks[y - 2 : y + 3, x - 2 : x + 3, i] = True
    # The second point is missing, the third at the corner that NaN once became.
    points = np.stack([centres, np.full((4, 2), np.nan), np.zeros((4, 2))], axis=1)
    given = Sample(image, masks, points=points, flip_pairs=((0, 1),))
    flip = [albumentations.HorizontalFlip(p=1)] if mirrored else []
    augmentation = as_callable(albumentations.Compose([*flip, distortion]))
    changed = apply_augmentation(augmentation, given, np.random.default_rng(0))
    own, none = changed.points[:, int(mirrored)], changed.points[:, int(not mirrored)]
    assert np.isnan(none).all()
    centroids = [np.argwhere(changed.masks[:, :, i]).mean(axis=0) + 0.5 for i in range(4)]
    np.testing.assert_allclose(own, centroids, atol=1)  # of whole pixels


def test_distortions_leave_pictures_to_train_on():
    distorted = albumentations.ElasticTransform(alpha=100, sigma=8, p=1)
    found = batch(augmentation=distorted)["input_gt_keypoints"][0, 0]
    assert found[:, 2].tolist() == [2, 2, 0]
    np.testing.assert_allclose(found[:2, :2], [[22.5, 16], [28, 9]], atol=8)


def test_pairs_of_pasted_objects_trade_places_too():
    class Drawn:
        def uniform(self, low, high):
            return 1.0

        def random(self):
            return 0.0

        def integers(self, low, high=None):
            return 0

        def choice(self, objects, count, replace):
            return objects[:count]

    given = hands().replace(other=lambda rng: (hands(), 1.0))
    found = augment.CopyPaste().apply(given, Drawn()).points
    # Mirrored: the left hand at 2.5 of 8 is the right one at 5.5; what was there keeps its places.
    assert found[0, 0].tolist() == [1.5, 2.5]
    assert np.isnan(found[1, 0]).all() and found[1, 1].tolist() == [1.5, 5.5]


# ---- COCO's files

POINTED = [
    {**CATEGORIES[1], "keypoints": HANDS, "skeleton": [[1, 2], [1, 3]]},
    CATEGORIES[0],
    CATEGORIES[2],
]


def pointed(numbers=(0, 1, 2, 0, 2, 1, 0, 0, 0), categories=POINTED, person=0):
    """COCO's content; the first annotation, a person, has keypoints."""
    content = truth(annotations=[dict(each) for each in ANNOTATIONS])
    content["annotations"][person]["keypoints"] = list(numbers)
    return {**content, "categories": categories}


def coco(folder, content, name="person_keypoints_val2017"):
    write_annotations(folder, "val2017", content)
    (folder / "annotations" / "instances_val2017.json").rename(
        folder / "annotations" / f"{name}.json"
    )
    return folder / "annotations" / f"{name}.json"


def test_coco_keypoints_are_read(tmp_path):
    write_images(tmp_path, "val2017")
    path = coco(tmp_path, pointed())
    both = CocoDataset(), CocoDataset()
    both[0].load(path)
    both[1].load_coco(tmp_path, "val", 2017, keypoints=True)
    for dataset in both:
        dataset.prepare()
        assert dataset.keypoint_scheme.names == tuple(HANDS)
        assert dataset.keypoint_scheme.skeleton == ((0, 1), (0, 2))
        assert dataset.keypoint_scheme.flip_pairs == ((1, 2),)
        image_id = dataset.image_from_source_map["coco.7"]
        # The person's, y x from x y, centres of pixels half a pixel on; the car has none.
        assert dataset.load_keypoints(image_id).tolist() == [
            [[1.5, 0.5, 2], [2.5, 0.5, 1], [0, 0, 0]],
            np.zeros((3, 3)).tolist(),
        ]
        assert dataset.load_keypoints(dataset.image_from_source_map["coco.5"]).shape == (0, 3, 3)


def test_points_of_detections_are_seen_where_they_have_a_score(tmp_path):
    write_images(tmp_path, "val2017")
    content = pointed([0, 1, 0.25, 0, 2, -3.5, 1, 1, 7])
    content["annotations"][0]["score"] = 0.9
    dataset = CocoDataset()
    dataset.load(coco(tmp_path, content))
    dataset.prepare()
    found = dataset.load_keypoints(dataset.image_from_source_map["coco.7"])[0]
    assert found.tolist() == [[1.5, 0.5, 2], [0, 0, 0], [1.5, 1.5, 2]]


def test_instances_without_a_pixel_take_their_keypoints_along(tmp_path):
    write_images(tmp_path, "val2017")
    content = pointed(person=1)
    content["annotations"][0]["segmentation"] = {"size": [4, 3], "counts": [12]}
    content["annotations"][1]["category_id"] = 1
    dataset = CocoDataset()
    dataset.load(coco(tmp_path, content))
    dataset.prepare()
    image_id = dataset.image_from_source_map["coco.7"]
    with pytest.warns(UserWarning, match="covers no pixel"):
        found = dataset.load_keypoints(image_id)
    assert found.shape == (1, 3, 3) and found[0, 0].tolist() == [1.5, 0.5, 2]


@pytest.mark.parametrize("numbers", [[1, 2], [1, 2, 3] * 3, ["x"] * 9, [float("nan")] * 9])
def test_annotations_with_other_numbers_are_refused(tmp_path, numbers):
    write_images(tmp_path, "val2017")
    with pytest.raises(
        ValueError, match="Annotation 0 of image 7: expected 9 numbers in keypoints"
    ):
        CocoDataset().load(coco(tmp_path, pointed(numbers)))


def test_categories_with_other_keypoints_and_odd_skeletons_are_told(tmp_path):
    write_images(tmp_path, "val2017")
    categories = [
        {**CATEGORIES[1], "keypoints": HANDS, "skeleton": [[0, 9]]},
        {**CATEGORIES[2], "keypoints": ["wheel"]},
        CATEGORIES[0],
    ]
    dataset = CocoDataset()
    with pytest.warns(UserWarning) as told:
        dataset.load(coco(tmp_path, pointed(categories=categories)))
    text = " ".join(str(each.message) for each in told)
    assert "skeletons that are no pairs" in text and "other than those of the first" in text
    assert dataset.keypoint_scheme.skeleton == () and len(dataset.keypoint_scheme) == 3


def loaded(path):
    dataset = CocoDataset()
    dataset.load(path)
    dataset.prepare()
    return dataset


def test_keypoints_of_categories_that_share_a_name(tmp_path):
    # Roboflow writes a parent of the name of its child, which alone has keypoints.
    write_images(tmp_path, "val2017")
    content = pointed(categories=[{"id": 0, "name": "person"}, *POINTED])
    with pytest.warns(UserWarning, match="several categories have one name"):
        dataset = loaded(coco(tmp_path, content))
    found = dataset.load_keypoints(dataset.image_from_source_map["coco.7"])
    assert found[0].tolist() == [[1.5, 0.5, 2], [2.5, 0.5, 1], [0, 0, 0]]


def reloaded(dataset, folder, notes=None):
    found = load(convert(dataset, folder, "coco", notes), verbose=0)
    assert found.keypoint_scheme == dataset.keypoint_scheme
    return found


def test_written_coco_has_the_keypoints_of_what_was_read(tmp_path):
    write_images(tmp_path / "in", "val2017")
    before = loaded(coco(tmp_path / "in", pointed()))
    after = reloaded(before, tmp_path / "out")
    for image_id in range(3):
        found, expected = after.load_keypoints(image_id), before.load_keypoints(image_id)
        assert found.tolist() == expected.tolist()
    assert after.instances(2)[0].extra["keypoints"] == [0, 1, 2, 0, 2, 1, 0, 0, 0]


def test_written_coco_has_the_keypoints_of_a_data_set_of_ones_own(tmp_path):
    scheme = KeypointScheme(HANDS, [(0, 1)], flip_pairs=[(2, 1)], sigmas=[0.1, 0.2, 0.3])
    after = reloaded(person(keypoint_scheme=scheme), tmp_path / "out")
    assert after.load_keypoints(0)[0].tolist() == np.array(Person.points).tolist()
    assert not after.load_keypoints(0)[1].any()


def test_written_coco_has_the_keypoints_of_a_subclass(tmp_path):
    class Centres(CocoDataset):
        keypoint_scheme = KeypointScheme(["centre"])

        def load_keypoints(self, image_id):
            return np.full((len(list(self.drawn(image_id))), 1, 3), [1.5, 0.5, 2])

    write_images(tmp_path / "in", "val2017")
    content = truth(annotations=[dict(each) for each in ANNOTATIONS])
    content["annotations"][0]["segmentation"] = {"size": [4, 3], "counts": [12]}  # no pixel
    dataset = Centres()
    dataset.load(coco(tmp_path / "in", content, "instances_val2017"))
    dataset.prepare()
    with pytest.warns(UserWarning, match="covers no pixel|without a pixel"):
        after = reloaded(dataset, tmp_path / "out")
    assert [after.load_keypoints(i).tolist() for i in range(3)] == [
        [[[1.5, 0.5, 2]]] * 2,
        [],
        [[[1.5, 0.5, 2]]],
    ]


def test_other_formats_tell_of_keypoints(tmp_path):
    notes = Notes()
    convert(person(), tmp_path / "out", "via", notes)
    (message,) = notes.messages()
    told = "keypoints are left out, which coco and shards alone are written with: 0.png"
    assert message == told
    notes = Notes()
    convert(person(load_keypoints=lambda self, i: None), tmp_path / "none", "via", notes)
    assert not list(notes.messages())


def test_a_cleaned_copy_has_keypoints(tmp_path):
    write_images(tmp_path / "in", "val2017")
    coco(tmp_path / "in", pointed(), "instances_val2017")
    line = ["check", str(tmp_path / "in"), "--fix", str(tmp_path / "out")]
    assert main(line) == 0
    found = load(tmp_path / "out", verbose=0)
    assert found.keypoint_scheme.names == tuple(HANDS)
    assert sum(found.load_keypoints(i)[..., 2].sum() for i in found.image_ids) == 3


def test_keypoints_that_no_category_names_are_told(tmp_path):
    # The car's three numbers are none of the points that the person has, even of one name with it.
    write_images(tmp_path, "val2017")
    categories = [POINTED[0], {**CATEGORIES[2], "name": "person"}, CATEGORIES[0]]
    content = pointed(categories=categories)
    content["annotations"][1]["keypoints"] = [1, 1, 2]
    with pytest.warns(UserWarning) as told:
        dataset = loaded(coco(tmp_path, content))
    text = " ".join(str(each.message) for each in told)
    assert "keypoints of categories that name none are left out, of annotations: 1" in text
    found = dataset.load_keypoints(dataset.image_from_source_map["coco.7"])
    assert found[0, 0].tolist() == [1.5, 0.5, 2] and not found[1].any()


# ---- shapes with corners


def test_corners_of_shapes():
    dataset = CornersDataset()
    dataset.load_shapes(0, 16, 16)
    # A square of rows 2 to 6, columns 3 to 7, whose lower right corner a triangle covers: its top
    # is row 4, column 9, and its base of 2 * 4 / sin 60 = 9.2 reaches beyond the picture.
    shapes = [("square", (9, 9, 9), (5, 4, 2)), ("triangle", (200, 0, 0), (9, 8, 4))]
    circle = [("circle", (1, 1, 1), (8, 8, 3))]
    for i, each in enumerate((shapes, circle)):
        info = {"height": 16, "width": 16, "bg_color": (0, 0, 0), "shapes": each}
        dataset.add_image("shapes", image_id=i, path=None, **info)
    dataset.prepare()
    square, triangle = dataset.load_keypoints(0)
    found = {name: point.tolist() for name, point in zip(NAMES, square, strict=True)}
    assert found == {
        "top": [0, 0, 0],
        "left_top": [2.5, 3.5, 2],
        "right_top": [2.5, 7.5, 2],
        "left_bottom": [6.5, 3.5, 2],
        "right_bottom": [6.5, 7.5, 2],
    }
    assert triangle[0].tolist() == [4.5, 9.5, 2]
    np.testing.assert_allclose(triangle[3], [12.5, 9 - 4 / np.sin(np.pi / 3) + 0.5, 2], rtol=1e-6)
    assert triangle[4].tolist() == [12.5, pytest.approx(14.1188, abs=1e-4), 2]
    assert not dataset.load_keypoints(1).any()


def test_corners_behind_others_are_none():
    dataset = CornersDataset()
    dataset.load_shapes(0, 16, 16)
    shapes = [("square", (9, 9, 9), (5, 5, 3)), ("square", (200, 0, 0), (10, 10, 4))]
    info = {"height": 16, "width": 16, "bg_color": (0, 0, 0), "shapes": shapes}
    dataset.add_image("shapes", image_id=0, path=None, **info)
    dataset.prepare()
    # The second covers rows and columns 6 to 14, and with them pixel 8, 8 and its neighbours.
    back, front = dataset.load_keypoints(0)
    assert back[:, 2].tolist() == [0, 2, 2, 2, 0]
    assert front[:, 2].tolist() == [0, 2, 2, 2, 2]
