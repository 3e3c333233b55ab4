"""Augmentation of pictures that are no photos: kelvin, metres, 12 bits in 16, any channels."""

import albumentations
import imgaug.augmenters as iaa
import numpy as np
import pytest

from mrcnn import augment
from mrcnn.augment import Sample
from mrcnn.config import Config
from mrcnn.data import Dataset, load_image_gt
from mrcnn.data.augmentation import as_callable
from mrcnn.data.sample import augment_sample
from mrcnn.image.value_scale import ValueScale
from mrcnn.settings import Settings


class Drawn:
    """A generator that gives every step its lowest integers, and the numbers it is made of."""

    def __init__(self, *uniform, integers=0):
        self.given, self.integer = list(uniform), integers

    def uniform(self, low, high):
        return self.given.pop(0)

    def integers(self, low, size=None, dtype=int):
        return np.full(np.shape(low) if size is None else size, self.integer, dtype)


def sample(*channels, **more):
    """A sample of float32 channels `[H, W]`, without objects."""
    image = np.stack(channels, axis=-1).astype(np.float32)
    return Sample(image, np.zeros((*image.shape[:2], 0), bool), **more)


# 300 is 0 and 310 is 255: a grey value is 10 / 255 K.
KELVIN = [[300.0, 302.0, 310.0]]


def test_grey_values_of_a_channel_go_from_its_least_to_its_largest_value():
    given = sample(KELVIN, [[7.0, 7, 7]]).image
    scale = ValueScale.of(given)
    grey = scale.to_grey(given)
    np.testing.assert_allclose(grey[0], [[0, 0], [51, 0], [255, 0]], atol=1e-3)
    np.testing.assert_allclose(scale.restore(grey), given, rtol=1e-6)
    assert grey.dtype == scale.restore(grey).dtype == np.float32 and not scale.limited
    # 510 is 20 K more than 300; a channel of one value stays what it is.
    assert scale.restore(grey * 0 + 510)[0, 0].tolist() == pytest.approx([320, 7])


@pytest.mark.parametrize(
    ("values", "channels", "limited"),
    [
        ([0, 255], 3, True),
        ([0, 255.5], 3, False),
        ([-0.5, 1], 3, False),
        ([0, 255], 1, False),
        ([0, 255], 4, False),
        (np.array([0, 255], np.uint8), 4, True),
    ],
)
def test_photos_stay_as_they_are(values, channels, limited):
    image = np.repeat(np.array([values])[:, :, None], channels, axis=2)
    image = image if image.dtype == np.uint8 else image.astype(np.float32)
    scale = ValueScale.of(image)
    assert scale.limited == limited
    assert not limited or scale.to_grey(image) is scale.restore(image) is image


def test_noise_and_brightness_of_kelvin():
    # One standard deviation of 25.5 grey values is 1 K; half of all drawn numbers are below 0.
    one = augment.GaussianNoise(25.5).apply(sample(KELVIN), Drawn(25.5, integers=55138))
    np.testing.assert_allclose(one.image[0, :, 0], [301, 303, 311], atol=1e-3)
    # Twice as bright, from the least value on: 300 + 2 * (0, 2, 10); nothing is cut off.
    bright = augment.ColorJitter(1, 0, 0).apply(sample(KELVIN), Drawn(2, 1, 1))
    np.testing.assert_allclose(bright.image[0, :, 0], [300, 304, 320], atol=1e-3)
    # Contrast about the mean, 304: 304 + 2 * (-4, -2, 6).
    strong = augment.ColorJitter(0, 1, 0).apply(sample(KELVIN), Drawn(1, 2, 1))
    np.testing.assert_allclose(strong.image[0, :, 0], [296, 300, 316], atol=1e-3)


@pytest.mark.parametrize("step", [augment.JPEGCompression(95), augment.GaussianBlur(0.3)])
def test_jpeg_and_blur_of_metres_keep_their_range(step):
    metres = np.tile(np.repeat([[2.0, 4.5]], 8, axis=1), (16, 1))
    found = step.apply(sample(metres, metres * 100), np.random.default_rng(0)).image
    # JPEG is off by some grey values, of which one is 2.5 / 255 m.
    np.testing.assert_allclose(found[:, :, 0], metres, atol=0.05)
    np.testing.assert_allclose(found[:, :, 1], metres * 100, atol=5)


def test_three_channels_beyond_255_are_not_cut_off():
    # Hounsfield units, three slices: -1000 to 3000 are 4000 / 255 a grey value.
    slices = sample(*[[[-1000.0, 0, 3000]]] * 3)
    calm = augment.GaussianNoise(0).apply(slices, Drawn(0))
    np.testing.assert_allclose(calm.image, slices.image, atol=1e-3)
    within = sample(*[[[0.0, 250]]] * 3)
    bright = augment.ColorJitter(1, 0, 0).apply(within, Drawn(2, 1, 1))
    assert bright.image[0, 1].tolist() == [255] * 3  # as ever


@pytest.mark.parametrize(
    ("augmentation", "expected"),
    [
        (albumentations.InvertImg(p=1), [310, 308, 300]),
        (iaa.Multiply(0.5), [300, 301, 305]),
        (iaa.Affine(translate_px={"x": 1}, order=0), [290, 300, 302]),
    ],
    ids=["albumentations", "imgaug", "padding"],
)
def test_other_libraries(augmentation, expected):
    given = sample(KELVIN, fill=290.0)
    found = as_callable(augmentation).apply(given, np.random.default_rng(0))
    np.testing.assert_allclose(found.image[0, :, 0], expected, atol=1e-3)


# ---- padding


def test_padding_holds_what_it_is_filled_with():
    given = sample([[300.0, 302, 0]], fill=(290.0,), window=(0, 0, 1, 2))
    calm = augment.GaussianNoise(0).apply(given, Drawn(0))
    assert calm.image[0, :, 0].tolist() == [300, 302, 290]
    half = augment.ScaleJitter(0.5).apply(
        sample(np.full((4, 4), 300.0), fill=290.0), Drawn(np.log(0.5))
    )
    expected = np.full((4, 4), 290.0)
    expected[:2, :2] = 300
    assert half.image[:, :, 0].tolist() == expected.tolist() and half.window == (0, 0, 2, 2)
    alone = augment_sample(augment.FlipLeftRight(1), given, np.random.default_rng(0), True)
    assert alone.image[0, :, 0].tolist() == [302, 300, 290]


def test_padding_of_8_bits_is_rounded():
    image = np.zeros((1, 1, 3), np.uint8)
    given = Sample(image, np.zeros((1, 1, 0), bool), fill=(128.6, 300.0, -1.0))
    assert given.padding().tolist() == [[[129, 255, 0]]]


def test_photos_are_padded_black_and_others_with_their_mean():
    class Thermal(Config):
        NUM_CLASSES, IMAGE_CHANNEL_COUNT, MEAN_PIXEL = 2, 1, np.array([290.0])

    assert Settings.from_config(Config()).image.padding_value == 0
    assert Settings.from_config(Thermal()).image.padding_value == (290.0,)


# ---- through the data


class Rooms(Dataset):
    """RGB and depth: room i is 10 + 90 * i, in metres a tenth of that, with an object on top."""

    def __init__(self):
        super().__init__()
        self.add_class("x", 1, "chair")
        for i in range(2):
            self.add_image("x", i, None)
        self.prepare()

    def load_image(self, image_id):
        value = 10.0 + 90 * image_id
        image = np.full((64, 64, 4), value, np.float32)
        image[:, :, 3] = value / 10
        return image

    def load_mask(self, image_id):
        masks = np.zeros((64, 64, 1), bool)
        masks[20:30, 20:30] = True
        return masks, np.ones(1, np.int32)


class RGBD(Config):
    NAME, NUM_CLASSES = "rgbd", 2
    IMAGE_CHANNEL_COUNT, MEAN_PIXEL = 4, np.array([50.0, 50.0, 50.0, 4.0])
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64


def loaded(augmentation, seed):
    rng = np.random.default_rng(seed)
    return load_image_gt(Rooms(), RGBD(), 0, augmentation=augmentation, rng=rng)


def test_pasted_objects_have_all_channels():
    pasting = augment.CopyPaste(scale=1.0, share=1.0, p=1.0)
    images = [loaded(pasting, seed)[0] for seed in range(8)]
    values = {tuple(pixel) for image in images for pixel in image.reshape(-1, 4).tolist()}
    assert values == {(10, 10, 10, 1), (100, 100, 100, 10)}  # both, and no mixture


def test_pictures_that_are_made_smaller_lie_on_the_mean():
    image, meta, _, boxes, _ = loaded(augment.ScaleJitter(0.5), 0)
    y1, x1, y2, x2 = meta[7:11].astype(int)
    assert (y2 - y1, x2 - x1) == (32, 32) and (boxes[:, 2:] - boxes[:, :2]).tolist() == [[5, 5]]
    np.testing.assert_allclose(image[y1:y2, x1:x2], [[[10, 10, 10, 1]]] * np.ones((32, 32, 1)))
    image[y1:y2, x1:x2] = RGBD.MEAN_PIXEL
    assert (image == RGBD.MEAN_PIXEL).all()


@pytest.mark.parametrize("name", sorted(set(augment.COMPOSITIONS) - {"none", "histology"}))
def test_named_compositions_keep_kelvin_in_reason(name):
    rng = np.random.default_rng(0)
    image = rng.normal(300, 3, (32, 32, 2)).astype(np.float32)
    masks = np.zeros((32, 32, 1), bool)
    masks[8:20, 8:20] = True
    other = Sample(image, masks)
    given = Sample(image, masks, other=lambda rng: (other, 1.0), fill=(295.0, 295.0))
    for seed in range(8):
        found = augment.named(name).apply(given, np.random.default_rng(seed)).image
        assert found.dtype == np.float32 and found.min() > 270 and found.max() < 330
