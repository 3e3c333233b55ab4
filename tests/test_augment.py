"""Every kind of augmentation: image and masks move together, and a seed repeats them."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for a newer version otherwise

import albumentations
import keras
import numpy as np
import pytest
from skimage.io import imread
from tiny import TinyConfig, shapes

from mrcnn import augment
from mrcnn.data import Dataset, load_image_gt
from mrcnn.data.augmentation import as_callable
from mrcnn.data.sample import takes_rng
from mrcnn.model import DataGenerator, MaskRCNN
from mrcnn.startup import imgaug_import

imgaug = augment.load_imgaug()
iaa = imgaug.augmenters
layers = keras.layers

HEIGHT, WIDTH = 96, 128


def l_shape():
    """An image of a light L, and the masks of the L and of a bar that is not to be seen."""
    masks = np.zeros((HEIGHT, WIDTH, 2), bool)
    masks[20:70, 30:45, 0] = True
    masks[55:70, 30:80, 0] = True
    masks[10:25, 90:115, 1] = True
    return np.repeat(np.where(masks[:, :, :1], np.uint8(200), np.uint8(40)), 3, axis=2), masks


def draws(augmentation, count=20):
    """Yields `count` augmented versions of the L."""
    image, masks = l_shape()
    augmentation = as_callable(augmentation)
    for seed in range(count):
        yield augmentation(image.copy(), masks, np.random.default_rng(seed))


def iou(first, second):
    return (first & second).sum() / max(1, (first | second).sum())


FLIPS = {
    "built-in": lambda: augment.FlipLeftRight(),
    "imgaug": lambda: iaa.Fliplr(0.5),
    "albumentations": lambda: albumentations.HorizontalFlip(p=0.5),
    "keras": lambda: layers.RandomFlip("horizontal"),
}


@pytest.mark.parametrize("kind", FLIPS)
def test_a_flip_moves_a_pixel_with_its_mask(kind):
    image, masks = np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8, 1), bool)
    image[1, 2] = (10, 20, 30)
    masks[1, 2] = True
    augmentation, seen = as_callable(FLIPS[kind]()), set()
    for seed in range(20):
        new_image, new_masks = augmentation(image.copy(), masks, np.random.default_rng(seed))
        ((row, column),) = np.argwhere(new_masks[:, :, 0])
        assert new_image[row, column].tolist() == [10, 20, 30] and new_image.sum() == 60
        seen.add((row, column))
    assert seen == {(1, 2), (1, 8 - 1 - 2)}


MOVING = {
    "ScaleJitter": lambda: augment.ScaleJitter(),
    "Rotate90": lambda: augment.Rotate90(),
    "LargeScaleJitter": lambda: augment.LargeScaleJitter(),
    "ElasticTransform": lambda: augment.ElasticTransform(std=3, spacing=32),
    "Compose": lambda: augment.Compose([augment.FlipUpDown(), iaa.Affine(rotate=(-45, 45))]),
    "imgaug Affine": lambda: iaa.Affine(rotate=(-90, 90), scale=(0.7, 1.3)),
    "imgaug Affine reflect": lambda: iaa.Affine(rotate=(-90, 90), mode="reflect"),
    "imgaug Affine wrap": lambda: iaa.Affine(shear=(-30, 30), mode="wrap"),
    "imgaug PiecewiseAffine": lambda: iaa.PiecewiseAffine(scale=(0.01, 0.05)),
    "imgaug CropAndPad": lambda: iaa.CropAndPad(percent=(-0.2, 0.2)),
    "imgaug CropAndPad modes": lambda: iaa.CropAndPad(percent=(0.1, 0.4), pad_mode=["wrap"]),
    "imgaug Crop": lambda: iaa.Crop(percent=(0, 0.3)),
    "imgaug Rot90": lambda: iaa.Rot90((0, 3)),
    "imgaug PerspectiveTransform": lambda: iaa.PerspectiveTransform(scale=(0.01, 0.15)),
    "imgaug ElasticTransformation": lambda: iaa.ElasticTransformation(alpha=(0, 30), sigma=5),
    "albumentations Affine": lambda: albumentations.Affine(rotate=(-90, 90), p=1),
    "albumentations crop": lambda: albumentations.Compose(
        [albumentations.RandomResizedCrop(size=(HEIGHT, WIDTH), p=1)]
    ),
    "albumentations ElasticTransform": lambda: albumentations.ElasticTransform(alpha=30, p=1),
    "keras RandomRotation": lambda: layers.RandomRotation(0.5),
    "keras RandomZoom": lambda: layers.RandomZoom(0.3, 0.2, fill_mode="constant"),
    "keras RandomElasticTransform": lambda: layers.RandomElasticTransform(1.0),
    "keras Pipeline": lambda: layers.Pipeline([layers.RandomFlip(), layers.RandomShear(0.3, 0.3)]),
    "keras Sequential": lambda: keras.Sequential([layers.RandomFlip(), layers.RandomZoom(0.2)]),
}


@pytest.mark.parametrize("name", MOVING)
def test_image_and_masks_agree(name):
    moved = 0
    for image, masks in draws(MOVING[name]()):
        assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
        assert masks.shape == (HEIGHT, WIDTH, 2) and masks.dtype == bool
        if masks[:, :, 0].sum() > 50:
            assert iou(image[:, :, 0] > 127, masks[:, :, 0]) >= 0.9
        moved += not np.array_equal(masks, l_shape()[1])
    assert moved >= 5


def test_keras_rand_augment_moves_masks():
    # Its colours change too, so the L is what differs from the background, lighter or darker.
    moved = 0
    for image, masks in draws(layers.RandAugment(), 8):
        grey, mask = image.mean(axis=2), masks[:, :, 0]
        inside, outside = np.median(grey[mask]), np.median(grey[~mask])
        assert iou(np.abs(grey - inside) < np.abs(grey - outside), mask) > 0.8
        moved += not np.array_equal(masks, l_shape()[1])
    assert moved >= 2


@pytest.mark.parametrize(
    "augmentation",
    [
        augment.ColorJitter(),
        iaa.GaussianBlur(3),
        iaa.Multiply(1.5),
        iaa.Add(40),
        iaa.AdditiveGaussianNoise(scale=30),
        iaa.JpegCompression(80),
        iaa.Fog(),  # by noise that needs np.complex
        iaa.CoarseDropout(0.2, size_percent=0.1),
        albumentations.GaussianBlur(p=1),
        albumentations.RandomBrightnessContrast(p=1),
        layers.RandomContrast(0.5),
        layers.RandomGaussianBlur(1.0),
    ],
    ids=lambda augmentation: type(augmentation).__module__ + "." + type(augmentation).__name__,
)
def test_what_changes_values_leaves_masks_alone(augmentation):
    changed = 0
    for image, masks in draws(augmentation, 5):
        np.testing.assert_array_equal(masks, l_shape()[1])
        changed += not np.array_equal(image, l_shape()[0])
    assert changed >= 3


# ---- imgaug


def test_blur_and_flip_leave_the_mask_crisp():
    image, masks = l_shape()
    for new_image, new_masks in draws(iaa.Sequential([iaa.Fliplr(1.0), iaa.GaussianBlur(4.0)]), 2):
        np.testing.assert_array_equal(new_masks, masks[:, ::-1])
        assert not np.array_equal(new_image, image[:, ::-1])


@pytest.mark.parametrize(
    "augmenter",
    [
        iaa.Sequential([iaa.Fliplr(1.0)]),
        iaa.SomeOf(1, [iaa.Fliplr(1.0)]),
        iaa.OneOf([iaa.Fliplr(1.0)]),
        iaa.Sometimes(1.0, iaa.Fliplr(1.0)),
        iaa.Fliplr(1.0),
        iaa.Flipud(1.0),
        iaa.CropAndPad(px=8),
        iaa.Affine(rotate=30),
        iaa.PiecewiseAffine(scale=0.05),
        # Not in matterport's list, which so moves the image alone.
        iaa.Rot90(2),
        iaa.Crop(px=8),
    ],
    ids=lambda augmenter: type(augmenter).__name__,
)
def test_what_matterport_applies_to_masks_is_applied(augmenter):
    for _, masks in draws(augmenter, 2):
        assert not np.array_equal(masks, l_shape()[1])


def test_a_fill_value_of_the_image_is_no_object():
    # A quarter turn of 96 x 128 fills at least the 32 columns that no row of 96 reaches.
    for augmentation in (iaa.Affine(rotate=90, cval=255), turn_with_fill_value()):
        for image, masks in draws(augmentation, 1):
            assert image[:, :10].min() == 255 and not masks[:, :10].any()
            assert masks[:, :, 0].sum() > 500


def turn_with_fill_value():
    return layers.RandomRotation((0.25, 0.25), fill_mode="constant", fill_value=255.0)


def test_an_augmenter_is_left_as_it_was():
    augmenter = iaa.Sequential([iaa.Affine(rotate=(-90, 90), seed=3), iaa.Fliplr(0.5, seed=4)])
    image, masks = l_shape()
    states = [repr(child.random_state.state) for child in augmenter]
    as_callable(augmenter)(image, masks, np.random.default_rng(0))
    assert [repr(child.random_state.state) for child in augmenter] == states
    assert augmenter[0]._mode_segmentation_maps == "constant"


def test_many_masks_and_none():
    # Eight masks share a map: 19 need three, the last of which is not full.
    image, rng = l_shape()[0], np.random.default_rng(0)
    masks = rng.random((HEIGHT, WIDTH, 19)) < 0.5
    for flip in (iaa.Fliplr(1.0), albumentations.HorizontalFlip(p=1)):
        np.testing.assert_array_equal(as_callable(flip)(image, masks, rng)[1], masks[:, ::-1])
        assert as_callable(flip)(image, masks[:, :, :0], rng)[1].shape == (HEIGHT, WIDTH, 0)
    turned = as_callable(layers.RandomRotation((0.5, 0.5)))(image, masks, rng)[1]
    assert (turned == masks[::-1, ::-1]).mean() > 0.99
    assert as_callable(layers.RandomFlip())(image, masks[:, :, :0], rng)[1].shape[2] == 0


IMPORTED = "import warnings; warnings.simplefilter('error'); import sys, numpy as np\n"

# What imgaug 0.4.0 asks of NumPy: `np.sctypes` while it is imported, the rest when it is used.
IMGAUG_040 = {
    "__init__.py": "import numpy as np\nFLOATS = np.sctypes['float']\nfrom . import parameters\n",
    "parameters.py": "import numpy as np\ndef types():\n    return np.bool, np.complex\n",
}


@pytest.fixture
def run_imgaug_040(run_python, tmp_path):
    """Runs code in a new process in which `import imgaug` finds a stand-in for imgaug 0.4.0."""
    (tmp_path / "imgaug").mkdir()
    for name, text in IMGAUG_040.items():
        (tmp_path / "imgaug" / name).write_text(text)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    return lambda code: run_python(code, PYTHONPATH=path)


def test_imgaug_040_is_importable_after_mrcnn_and_leaves_numpy_alone(run_imgaug_040):
    done = run_imgaug_040(
        IMPORTED + "import mrcnn.config, mrcnn.data.augmentation\n"
        "assert 'imgaug' not in sys.modules and 'albumentations' not in sys.modules\n"
        "before = dict(vars(np))\n"
        "import imgaug\n"
        "new = {name: value for name, value in vars(np).items() if name not in before}\n"
        "assert all(isinstance(value, type(np)) for value in new.values()), new\n"
        "assert not hasattr(np, 'sctypes') or 'sctypes' in before\n"
        "assert all(vars(np)[name] is before[name] for name in before)\n"
        "assert imgaug.parameters.types() == (np.bool_, complex)\n"
        "print(np.float32 in imgaug.FLOATS)\n"
    )
    assert done.strip() == "True"


def test_imgaug_040_without_mrcnn_says_why_the_finder_exists(run_imgaug_040):
    code = "import numpy as np\ntry:\n    import imgaug\nexcept AttributeError as e:\n    print(e)"
    assert "sctypes" in run_imgaug_040(code) or np.lib.NumpyVersion(np.__version__) < "2.0.0"


AUGMENTS = (
    "from imgaug import augmenters as iaa\n"
    "from mrcnn.data.augmentation import as_callable\n"
    "image = np.zeros((8, 8, 3), 'uint8')\n"
    "crop = iaa.SomeOf(2, [iaa.Fliplr(1.0), iaa.CropAndPad(px=-2)])\n"
    "print(as_callable(crop)(image, image > 0, np.random.default_rng(0))[1].shape)\n"
)


def test_imgaug_augments_after_mrcnn(run_python):
    assert run_python(IMPORTED + "import mrcnn\n" + AUGMENTS).strip() == "(8, 8, 3)"


@pytest.mark.skipif(imgaug.__version__ == "0.4.0", reason="imgaug 0.4.0 needs mrcnn to be imported")
def test_a_fork_of_imgaug_augments_when_it_is_imported_before_mrcnn(run_python):
    assert run_python(IMPORTED + AUGMENTS).strip() == "(8, 8, 3)"


@pytest.mark.parametrize(
    ("length", "start", "end", "expected"),
    [
        (8, 2, 3, (2, 3)),  # 3 are left
        (4, 3, 3, (1, 2)),  # 3 too many: 2 fewer at the start, 1 fewer at the end
        (5, 0, 9, (0, 4)),  # 5 too many: all of them at the end, as the start has none
        (5, 9, 0, (4, 0)),
    ],
)
def test_a_crop_leaves_a_pixel(length, start, end, expected):
    assert imgaug_import.keep_a_pixel(length, start, end) == expected


def test_imgaug_that_is_not_installed(run_python):
    code = (
        "import sys; sys.modules['imgaug'] = None\n"
        "from mrcnn import augment\n"
        "try:\n    augment.load_imgaug()\nexcept ImportError as e:\n    print(e)\n"
    )
    assert "pip install 'mrcnn[imgaug]'" in run_python(code)


# ---- albumentations and Keras


def test_steps_of_albumentations_draw_independently():
    # set_random_seed() would flip both ways or neither.
    flips = [albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)]
    seen = {masks.tobytes() for _, masks in draws(albumentations.Compose(flips), 30)}
    assert len(seen) == 4


@pytest.mark.parametrize("value", [0, 120.5, 255])
def test_float_images_keep_their_scale(value):
    image, masks = np.full((8, 8, 3), value, np.float32), np.ones((8, 8, 1), bool)
    for kind in FLIPS.values():
        new_image, _ = as_callable(kind())(image.copy(), masks, np.random.default_rng(0))
        assert new_image.dtype == np.float32
        np.testing.assert_allclose(new_image, value, rtol=1e-6)


def test_albumentations_change_float_images_as_uint8_ones():
    image, masks = l_shape()
    bright = as_callable(
        albumentations.RandomBrightnessContrast((0.2, 0.2), (0, 0), p=1)
    )  # adds 0.2 * 255 = 51
    for pixels in (image, image.astype(np.float32)):
        new_image, _ = bright(pixels, masks, np.random.default_rng(0))
        np.testing.assert_allclose(new_image, image + 51.0, atol=0.6)


def test_keras_layers_round_to_uint8():
    # 100 + 0.25 * 255 = 163.75
    brighten = as_callable(layers.RandomBrightness((0.25, 0.25)))
    image, masks = np.full((4, 4, 3), 100, np.uint8), np.ones((4, 4, 1), bool)
    assert np.unique(brighten(image, masks, np.random.default_rng(0))[0]).tolist() == [164]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: layers.MixUp(), "received MixUp, which mixes images"),
        (lambda: layers.Pipeline([layers.RandomFlip(), layers.CutMix()]), "received CutMix"),
        (lambda: layers.Rescaling(1 / 255), "received Rescaling"),
        (lambda: layers.RandomFlip(data_format="channels_first"), "data_format 'channels_last'"),
    ],
)
def test_keras_layers_that_cannot_be_used(layer, words):
    with pytest.raises(ValueError, match=words):
        as_callable(layer())


@pytest.mark.slow
@pytest.mark.thorough
def test_keras_layers_on_jax(run_python):
    code = (
        "import keras, numpy as np\n"
        "from mrcnn.data.augmentation import as_callable\n"
        "turn = as_callable(keras.layers.RandomRotation(0.25))\n"
        "mask = np.zeros((64, 64, 1), bool); mask[20:50, 10:25] = mask[40:50, 10:50] = True\n"
        "image = np.repeat(mask * np.uint8(255), 3, axis=2)\n"
        "for seed in range(3):\n"
        "    a, m = turn(image, mask, np.random.default_rng(seed))\n"
        "    b = turn(image, mask, np.random.default_rng(seed))[0]\n"
        "    on = a[:, :, 0] > 127\n"
        "    print((on & m[:, :, 0]).sum() / (on | m[:, :, 0]).sum() > 0.9, (a == b).all())\n"
    )
    assert run_python(code, "jax").split() == ["True"] * 6


# ---- built-in steps


class Fixed:
    """A generator whose every draw is the number given, or the lowest integer."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def uniform(self, low, high):
        number = self.numbers.pop(0)
        assert low - 1e-9 <= number <= high + 1e-9
        return number

    def integers(self, high):
        return np.zeros_like(high)


def test_scale_jitter_by_hand():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 10
    masks = image == 50  # row 1, column 1
    # Twice: the top left 2 x 2, each pixel now 2 x 2 pixels; pixel (1, 1) fills rows and columns
    # 2 and 3. The last row and column that are seen lie a quarter of a pixel beyond the centre of
    # row 1 and column 1: 10 + 2.5, 40 + 10, and 62.5.
    zoomed, zoomed_masks = augment.ScaleJitter()(image, masks, Fixed(np.log(2)))
    assert np.argwhere(zoomed_masks[:, :, 0]).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert zoomed[[0, 0, 3, 3], [0, 3, 0, 3], 0].tolist() == [0, 13, 50, 63]
    # Half: 2 x 2 at the top left; new pixel (0, 0) takes the mask at (1, 1), the one under its
    # centre; the rest is black.
    small, small_masks = augment.ScaleJitter()(image, masks, Fixed(np.log(0.5)))
    assert np.argwhere(small_masks[:, :, 0]).tolist() == [[0, 0]]
    assert small[:2, :2].min() > 0 and small[2:].max() == small[:, 2:].max() == 0


def test_scale_jitter_draws_places_and_both_directions():
    sums = [masks.sum() for _, masks in draws(augment.ScaleJitter((0.5, 2.0)), 40)]
    whole = l_shape()[1].sum()
    assert min(sums) < 0.5 * whole and max(sums) > 1.5 * whole
    halves = draws(augment.ScaleJitter((0.5, 0.5)), 10)
    assert len({tuple(np.argwhere(masks).min(axis=0)) for _, masks in halves}) > 5


@pytest.mark.parametrize(("shape", "count"), [((8, 8), 4), ((8, 6), 2)])
def test_rotate90_by_right_angles(shape, count):
    image = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(*shape, 1)
    masks, seen = image == 3, set()
    for seed in range(30):
        turned, turned_masks = augment.Rotate90()(image, masks, np.random.default_rng(seed))
        assert turned.shape == image.shape and turned[turned_masks].tolist() == [3]
        seen.add(tuple(np.argwhere(turned_masks)[0][:2].tolist()))
    # (0, 3) goes to (7 - 3, 0), (7, 7 - 3) and (3, 7); in 8 x 6 to (7, 5 - 3) only.
    square = {(0, 3), (4, 0), (7, 4), (3, 7)}
    assert seen == (square if count == 4 else {(0, 3), (7, 2)})


@pytest.mark.parametrize("seed", range(5))
def test_color_jitter_of_eight_bits_is_that_of_floats(seed):
    # Of 8-bit colours Pillow does it. Within one grey value: it adds halves another way.
    image = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)
    masks = np.ones((9, 11, 1), bool)
    jitter = augment.ColorJitter(0.4, 0.4, 0.4)
    fast = jitter(image, masks, np.random.default_rng(seed))[0]
    exact = jitter(image.astype(np.float32), masks, np.random.default_rng(seed))[0]
    assert fast.dtype == np.uint8
    np.testing.assert_allclose(fast, np.clip(np.rint(exact), 0, 255), atol=1)
    assert np.abs(fast.astype(int) - image).max() > 10  # it did something


def test_color_jitter_by_hand():
    image = np.array([[[100, 100, 100], [200, 200, 200]]], np.uint8)
    masks = np.ones((1, 2, 1), bool)
    # Brightness 1.1: 110 and 220, mean 165; contrast 0.8: 165 - 44 and 165 + 44; grey stays grey.
    jitter = augment.ColorJitter()
    assert jitter(image, masks, Fixed(1.1, 0.8, 1.2))[0][0, :, 0].tolist() == [121, 209]
    # Two pixels of 5 channels, 10 to 50 with mean 30: saturation 0.8 makes 30 - 16, 30 - 8, ...
    many = np.tile(np.arange(10, 60, 10, dtype=np.uint8), (1, 2, 1))
    assert jitter(many, masks, Fixed(1, 1, 0.8))[0][0, 0].tolist() == [14, 22, 30, 38, 46]
    # Red, luminance 0.299 * 100 = 29.9, saturation 0: grey; float32 is not rounded.
    red = np.array([[[100, 0, 0]]], np.float32)
    grey = augment.ColorJitter(saturation=(0, 0))(red, masks, Fixed(1, 1, 0))[0]
    np.testing.assert_allclose(grey, 29.9, rtol=1e-5)
    assert grey.dtype == np.float32
    # 200 * 1.2 * 1.2 leaves the range
    bright = np.full((1, 2, 3), 200, np.uint8)
    bright[0, 0] = 0
    found = jitter(bright, masks, Fixed(1.2, 1.2, 1))[0]
    assert found.max() == 255 and found.min() == 0


@pytest.mark.parametrize(
    "build",
    [
        lambda: augment.ScaleJitter((2.0, 0.5)),
        lambda: augment.ScaleJitter((0, 1)),
        lambda: augment.ColorJitter(contrast=(1.2, 0.8)),
        lambda: augment.ColorJitter(saturation=-0.1),
    ],
)
def test_ranges_that_cannot_be_drawn_from(build):
    with pytest.raises(ValueError, match=r"Expected .* received"):
        build()


def test_no_built_in_changes_its_arguments():
    image, masks = l_shape()
    steps = [augment.FlipLeftRight(1), augment.FlipUpDown(1), augment.Rotate90()]
    steps += [augment.ScaleJitter(), augment.ColorJitter()]
    augment.Compose(steps)(image, masks, np.random.default_rng(1))
    np.testing.assert_array_equal(image, l_shape()[0])
    np.testing.assert_array_equal(masks, l_shape()[1])


def test_compose_takes_all_kinds_and_steps_without_rng():
    def darken(image, masks):
        return image // 2, masks

    steps = [darken, iaa.Fliplr(1.0), albumentations.VerticalFlip(p=1), None]
    image, masks = l_shape()
    for new_image, new_masks in draws(augment.Compose(steps), 1):
        np.testing.assert_array_equal(new_image, image[::-1, ::-1] // 2)
        np.testing.assert_array_equal(new_masks, masks[::-1, ::-1])


# ---- through the data


class LDataset(Dataset):
    def __init__(self, count=1, size=(HEIGHT, WIDTH)):
        super().__init__()
        self.add_class("letters", 1, "L")
        self.add_class("letters", 2, "bar")
        for i in range(count):
            self.add_image("letters", i, f"{i}.png")
        self.prepare()

    def load_image(self, image_id):
        return l_shape()[0]

    def load_mask(self, image_id):
        return l_shape()[1], np.array([1, 2], np.int32)


class LConfig(TinyConfig):
    NUM_CLASSES = 1 + 2
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    USE_MINI_MASK = False
    SEED = 7


def nucleus_pipeline():
    """That of matterport's nucleus sample."""
    turns = [iaa.Affine(rotate=90), iaa.Affine(rotate=180), iaa.Affine(rotate=270)]
    changes = [iaa.Fliplr(0.5), iaa.Flipud(0.5), iaa.OneOf(turns)]
    changes += [iaa.Multiply((0.8, 1.5)), iaa.GaussianBlur(sigma=(0.0, 5.0))]
    return iaa.SomeOf((0, 2), changes)


KINDS = {
    "built-in": lambda: augment.Compose([augment.FlipUpDown(), augment.ScaleJitter()]),
    "copy-paste": lambda: augment.Compose([augment.Rotate90(), augment.CopyPaste(p=1)]),
    "imgaug": lambda: iaa.Sequential([nucleus_pipeline(), iaa.Affine(rotate=(-45, 45))]),
    "albumentations": lambda: albumentations.Compose(
        [albumentations.HorizontalFlip(), albumentations.Affine(rotate=(-45, 45), p=0.8)]
    ),
    "keras": lambda: layers.Pipeline([layers.RandomFlip(), layers.RandomRotation(0.2)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_batches_depend_on_the_seed_not_on_the_workers(kind):
    def batches(workers):
        data = DataGenerator(
            LDataset(6), LConfig(), augmentation=KINDS[kind](), workers=workers, steps=6
        )
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(data.__getitem__, range(len(data))))
        return [batch[0]["input_image"] for batch in found], found

    (alone, found), (together, _) = batches(1), batches(3)
    np.testing.assert_array_equal(alone, together)
    assert len({image.tobytes() for batch in alone for image in batch}) > 6
    for (inputs,) in found:  # boxes are those of the masks
        box, mask = inputs["input_gt_boxes"][0, 0], inputs["input_gt_masks"][0, :, :, 0]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        edges = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        assert box.tolist() == edges


@pytest.mark.parametrize("kind", KINDS)
def test_workers_are_not_limited_by_a_seed(kind):
    class Config(LConfig):
        WORKERS = 3

    assert DataGenerator(LDataset(), Config(), augmentation=KINDS[kind]()).workers == 3
    assert takes_rng(as_callable(KINDS[kind]()))


def test_the_nucleus_pipeline_in_load_image_gt():
    seen = set()
    for seed in range(30):
        image, _, class_ids, boxes, masks = load_image_gt(
            LDataset(),
            LConfig(),
            0,
            augmentation=nucleus_pipeline(),
            rng=np.random.default_rng(seed),
        )
        assert class_ids.tolist() == [1, 2] and masks.dtype == bool
        assert masks[:, :, 0].sum() == l_shape()[1][:, :, 0].sum()  # turned and mirrored, unblurred
        # 200 * 0.8 = 160 where sharp; blur mixes it with at most 40 * 1.5 = 60.
        assert image[masks[:, :, 0]].mean() > 110
        seen.add(tuple(boxes[0].tolist()))
    # 128 x 128 with 16 rows of padding above: rows 20 to 70 become 36 to 86.
    assert (36, 30, 86, 80) in seen and (36, 48, 86, 98) in seen and len(seen) > 4


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "mode"),
    [
        (("imgaug", "keras"), "square"),
        pytest.param(("keras",), "shortest_edge", marks=pytest.mark.thorough),
    ],
)
def test_training_with_augmenters(kinds, mode, tmp_path):
    class Config(TinyConfig):
        IMAGE_RESIZE_MODE = mode
        WORKERS = 2

    model = MaskRCNN("training", Config(), str(tmp_path))
    for epoch, kind in enumerate(kinds, start=1):
        augmentation = nucleus_pipeline() if kind == "imgaug" else KINDS[kind]()
        history = model.train(shapes(), None, 0.001, epoch, "all", augmentation=augmentation)
        assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(
    "augmentation",
    [
        lambda: iaa.Crop(px=8, keep_size=False),
        lambda: albumentations.Compose([albumentations.RandomCrop(32, 32)]),
        lambda: albumentations.Compose([albumentations.Normalize()]),
        lambda: layers.RandomCrop(32, 32),
    ],
)
def test_a_change_of_shape_or_dtype_is_refused(augmentation):
    words = r"^Image 0 \(0.png\), augmentation: expected the image's shape .* received .*Leave out"
    with pytest.raises(ValueError, match=words):
        load_image_gt(LDataset(), LConfig(), 0, augmentation=augmentation())


def test_a_list_is_no_augmentation():
    with pytest.raises(ValueError, match=r"received list\. .*augment\.Compose"):
        DataGenerator(LDataset(), LConfig(), augmentation=[iaa.Fliplr(1.0)])


# ---- preview


def test_preview_draws_the_augmented_ground_truth(tmp_path):
    path = tmp_path / "preview.png"
    flip = augment.FlipLeftRight()
    picture = augment.preview(
        LDataset(), LConfig(), 0, flip, count=7, columns=3, tile=128, save_path=path
    )
    # Three rows and columns of 128 with gaps of 6; the last row has one tile.
    assert picture.shape == (3 * 128 + 12, 3 * 128 + 12, 3) and picture.dtype == np.uint8
    assert (picture[268:, 134:] == 255).all()
    np.testing.assert_array_equal(imread(path), picture)
    tiles = [picture[i // 3 * 134 :, i % 3 * 134 :][:128, :128] for i in range(7)]
    again = augment.preview(LDataset(), LConfig(), 0, flip, count=7, columns=3, tile=128, seed=1)
    assert len({tile.tobytes() for tile in tiles}) == 2 and not np.array_equal(picture, again)
