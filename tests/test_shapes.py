import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mrcnn.data.shapes import ShapesConfig, ShapesDataset


def prepared(*images, height=8, width=8):
    """A dataset of hand-made pictures on black, each a list of shapes."""
    dataset = ShapesDataset()
    dataset.load_shapes(0, height, width)
    for i, shapes in enumerate(images):
        info = {"height": height, "width": width, "bg_color": (0, 0, 0), "shapes": shapes}
        dataset.add_image("shapes", image_id=i, path=None, **info)
    dataset.prepare()
    return dataset


def test_config_has_matterports_values():
    config = ShapesConfig()
    assert config.NAME == "shapes"
    assert config.BATCH_SIZE == 8
    assert config.NUM_CLASSES == 4
    assert tuple(config.IMAGE_SHAPE) == (128, 128, 3)
    assert config.RPN_ANCHOR_SCALES == (8, 16, 32, 64, 128)
    assert (config.TRAIN_ROIS_PER_IMAGE, config.STEPS_PER_EPOCH, config.VALIDATION_STEPS) == (
        32,
        100,
        5,
    )


@pytest.mark.parametrize(
    "shape, rows",
    [
        # Center (2, 2), half size 1: rows and columns 1 to 3.
        ("square", ["00000", "01110", "01110", "01110", "00000"]),
        # Within 1.5 of the center: the corners lie sqrt(2) = 1.41 away, so they belong to it.
        ("circle", ["00000", "01110", "01110", "01110", "00000"]),
        # Apex (1, 2), base at row 3 from 2 - 1.15 to 2 + 1.15; at row 2 half as wide: +- 0.58.
        ("triangle", ["00000", "00100", "00100", "01110", "00000"]),
    ],
)
def test_draw_shape(shape, rows):
    mask = ShapesDataset().draw_shape(np.zeros((5, 5), int), shape, (2, 2, 1), 1)
    assert ["".join(map(str, row)) for row in mask] == rows


def test_circle_leaves_out_the_corners():
    mask = ShapesDataset().draw_shape(np.zeros((9, 9), bool), "circle", (4, 4, 3), True)
    # Half width at row offset d is sqrt(3.5^2 - d^2): 3.5, 3.35, 2.87, 1.80 -> 7 7 5 3 pixels.
    assert mask.sum(axis=1).tolist() == [0, 3, 5, 7, 7, 7, 5, 3, 0]


def test_draw_shape_is_cut_at_the_border_and_needs_a_known_name():
    image = ShapesDataset().draw_shape(np.zeros((4, 4, 3), int), "square", (0, 0, 1), (1, 2, 3))
    assert image.sum() == 2 * 2 * (1 + 2 + 3)
    with pytest.raises(ValueError, match="'star'"):
        ShapesDataset().draw_shape(image, "star", (1, 1, 1), 1)


def test_front_hides_back():
    back, front = ("square", (9, 9, 9), (2, 2, 2)), ("square", (5, 5, 5), (4, 4, 2))
    dataset = prepared([back, front])
    masks, class_ids = dataset.load_mask(0)
    # 5 x 5 pixels each; rows and columns 2 to 4 are shared: 9 pixels belong to the front only.
    assert masks.dtype == bool
    assert masks.sum(axis=(0, 1)).tolist() == [25 - 9, 25]
    assert not masks.all(axis=-1).any()
    assert class_ids.tolist() == [1, 1]
    assert class_ids.dtype == np.int32
    image = dataset.load_image(0)
    assert image[3, 3].tolist() == [5, 5, 5]
    assert image[1, 1].tolist() == [9, 9, 9]


def test_hidden_instance_is_not_listed():
    hidden, front = ("circle", (9, 9, 9), (3, 3, 1)), ("square", (5, 5, 5), (3, 3, 3))
    masks, class_ids = prepared([hidden, front]).load_mask(0)
    assert masks.shape == (8, 8, 1)
    assert class_ids.tolist() == [1]


def test_random_image_suppresses_and_lists_only_visible_shapes(monkeypatch):
    def shape(dims, i):
        return "square", (255 - 80 * i, 0, 255 * (i % 2)), dims

    # Drawn from back to front. IoU of bounding squares: of 2 and 3 20*40 / (2*1600 - 800) = 1/3,
    # above 0.3, so 2 goes. 0 is 10*10 inside 1's 40*40: 100/1600 = 0.06 passes, but it is hidden.
    queue = [(30, 30, 5), (30, 30, 20), (80, 80, 20), (100, 80, 20)]
    shapes = [shape(dims, i) for i, dims in enumerate(queue)]
    calls = iter(shapes)
    dataset = ShapesDataset()
    monkeypatch.setattr(dataset, "random_shape", lambda *args: next(calls))

    class Fixed:  # a generator that draws four shapes on green
        @staticmethod
        def integers(low, high, size=None):
            return np.array([0, 255, 0]) if size else 4

    monkeypatch.setattr(np.random, "default_rng", lambda rng: rng)
    background, kept = dataset.random_image(128, 128, Fixed())
    assert background == (0, 255, 0)
    assert kept == [shapes[1], shapes[3]]


def test_pictures_depend_on_seed_and_index_only():
    few, many, other = ShapesDataset(), ShapesDataset(), ShapesDataset()
    few.load_shapes(2, 64, 96, seed=3)
    many.load_shapes(5, 64, 96, seed=3)
    other.load_shapes(2, 64, 96, seed=4)
    state = np.random.get_state()[1].copy()
    for i in range(2):
        image = few.load_image(i)
        assert image.shape == (64, 96, 3)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, many.load_image(i))
        assert not np.array_equal(image, other.load_image(i))
    assert np.array_equal(state, np.random.get_state()[1])  # the global state is left alone


def test_every_listed_shape_is_visible_and_in_its_color():
    dataset = ShapesDataset()
    dataset.load_shapes(30, 128, 128, seed=0)
    dataset.prepare()
    for i in dataset.image_ids:
        image, (masks, class_ids) = dataset.load_image(i), dataset.load_mask(i)
        shapes = dataset.image_reference(i)
        assert 1 <= len(shapes) <= 4
        assert [dataset.class_names[k] for k in class_ids] == [shape[0] for shape in shapes]
        colors = [np.array(dataset.image_info[i]["bg_color"])]
        for mask, (_, color, _) in zip(np.moveaxis(masks, -1, 0), shapes, strict=True):
            assert mask.any()
            assert (image[mask] == color).all()
            assert min(np.abs(np.array(color) - each).max() for each in colors) >= 64
            colors.append(np.array(color))


def test_small_pictures_have_shapes_too():
    dataset = ShapesDataset()
    dataset.load_shapes(5, 16, 16)
    dataset.prepare()
    assert all(dataset.load_mask(i)[0].any() for i in range(5))


def test_sample_exports_matterports_names():
    path = Path(__file__).parents[1] / "samples" / "shapes" / "shapes.py"
    spec = importlib.util.spec_from_file_location("shapes_sample", path)
    sample = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sample)
    assert sample.ShapesDataset is ShapesDataset
    assert sample.ShapesConfig is ShapesConfig
