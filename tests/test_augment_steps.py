"""The built-in steps on pictures small enough to check by eye."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrcnn import augment
from mrcnn.augment import Sample
from mrcnn.augment.microscopy import Mesh


class Drawn:
    """A generator whose draws are given, by the name of the method; integers are the lowest."""

    def __init__(self, uniform=(), random=(), integers=()):
        self.given = {"uniform": list(uniform), "random": list(random), "integers": list(integers)}

    def uniform(self, low, high, size=None):
        number = self.given["uniform"].pop(0)
        return number if size is None else np.full(size, number)

    def random(self):
        return self.given["random"].pop(0)

    def integers(self, low, high=None, size=None, dtype=int):
        if self.given["integers"]:
            found = self.given["integers"].pop(0)
            return found if size is None else np.full(size, found, dtype)
        return np.zeros_like(low) if high is None else low

    def choice(self, objects, count, replace):
        return objects[:count]


def sample(image, objects=(), window=None, points=None, **more):
    """A sample of grey values `[H, W]`, with objects of one pixel each: (row, column)."""
    image = np.asarray(image, np.uint8)
    masks = np.zeros((*image.shape, len(objects)), bool)
    for i, place in enumerate(objects):
        masks[(*place, i)] = True
    return Sample(image[:, :, None], masks, window=window, points=points, **more)


def pixels(mask):
    return np.argwhere(mask).tolist()


# ---- geometry


def test_flips():
    given = sample([[1, 2, 3, 4], [5, 6, 7, 8]], [(0, 3)], (0, 1, 2, 4), np.array([[[0.5, 1.25]]]))
    flipped = augment.FlipLeftRight(1).apply(given, Drawn(random=[0]))
    assert flipped.image[:, :, 0].tolist() == [[4, 3, 2, 1], [8, 7, 6, 5]]
    assert pixels(flipped.masks[:, :, 0]) == [[0, 0]]
    assert flipped.window == (0, 0, 2, 3)  # columns 4 - 4 to 4 - 1
    assert flipped.points.tolist() == [[[0.5, 2.75]]]
    upside = augment.FlipUpDown(0.5).apply(given.replace(window=(1, 0, 2, 4)), Drawn(random=[0.4]))
    assert upside.image[:, :, 0].tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]
    assert pixels(upside.masks[:, :, 0]) == [[1, 3]] and upside.window == (0, 0, 1, 4)
    assert upside.points.tolist() == [[[1.5, 1.25]]]
    assert augment.FlipUpDown(0.5).apply(given, Drawn(random=[0.5])) is given


def test_rotate90():
    given = sample([[1, 2], [3, 4]], [(0, 1)], (0, 0, 1, 2), np.array([[[0.5, 1.75]]]))
    turned = augment.Rotate90().apply(given, Drawn(integers=[1]))  # counterclockwise
    assert turned.image[:, :, 0].tolist() == [[2, 4], [1, 3]]
    assert pixels(turned.masks[:, :, 0]) == [[0, 0]]
    assert turned.window == (0, 0, 2, 1)  # what was on top is on the left
    assert turned.points.tolist() == [[[0.25, 0.5]]]
    wide = augment.Rotate90().apply(sample([[1, 2, 3]], [(0, 0)]), Drawn(integers=[1]))
    assert wide.image[:, :, 0].tolist() == [[3, 2, 1]]  # half a turn
    assert pixels(wide.masks[:, :, 0]) == [[0, 2]]


BAND = [[0] * 4, [10, 20, 30, 40], [50, 60, 70, 80], [0] * 4]  # a picture of 2 x 4 with padding


def test_scale_jitter_scales_the_picture_without_its_padding():
    given = sample(BAND, [(2, 3), (1, 1)], (1, 0, 3, 4), np.array([[[2.5, 3.5]], [[1.5, 1.5]]]))
    small = augment.ScaleJitter().apply(given, Drawn(uniform=[np.log(0.5)]))
    # 1 x 2 at the upper left. A new pixel takes the mask under its centre: rows 1 of 2, columns 1
    # and 3 of 4. Points: (2.5 - 1) / 2, 3.5 / 2.
    assert small.window == (0, 0, 1, 2)
    assert pixels(small.masks[:, :, 0]) == [[0, 1]] and not small.masks[:, :, 1].any()
    assert small.points.tolist() == [[[0.75, 1.75]], [[0.25, 0.75]]]
    # The mean over 2 x 2 pixels and, of half the weight and less, over their neighbours.
    assert 35 <= small.image[0, 0, 0] <= 40 and 50 <= small.image[0, 1, 0] <= 55
    assert small.image.sum() == small.image[0, :2].sum()
    large = augment.ScaleJitter().apply(given, Drawn(uniform=[np.log(2)]))
    # 4 rows fit, 8 columns do not: the left half is seen, each pixel 2 x 2.
    assert large.window == (0, 0, 4, 4)
    assert pixels(large.masks[:, :, 1]) == [[0, 2], [0, 3], [1, 2], [1, 3]]
    assert not large.masks[:, :, 0].any()
    assert large.points.tolist() == [[[3, 7]], [[1, 3]]]
    # The last column lies a quarter beyond the centre of column 1; padding below does not count.
    assert large.image[[0, 0, 3, 3], [0, 3, 0, 3], 0].tolist() == [10, 23, 50, 63]


def test_large_scale_jitter_fits_the_canvas_at_1():
    # 2 x 2 on 4 x 4 is scaled by 2 * 1, then by 2 * 0.5.
    given = sample([[0] * 4, [0, 9, 9, 0], [0, 9, 9, 0], [0] * 4], [(1, 2)], (1, 1, 3, 3))
    full = augment.LargeScaleJitter().apply(given, Drawn(uniform=[1.0]))
    assert full.window == (0, 0, 4, 4) and (full.image == 9).all()
    assert pixels(full.masks[:, :, 0]) == [[0, 2], [0, 3], [1, 2], [1, 3]]
    half = augment.LargeScaleJitter().apply(given, Drawn(uniform=[0.5]))
    assert half.window == (0, 0, 2, 2) and half.image[:2, :2].sum() == half.image.sum() == 36
    assert augment.LargeScaleJitter().scale == (0.1, 2.0)


# ---- values of pixels


def test_gaussian_blur_and_padding_that_stays_black():
    # sigma 0.5: weights 1, exp(-2) = 0.1353, exp(-8) = 0.0003 over their sum 1.2713: 0.787, 0.106,
    # 0.0003. At the border the picture is repeated: 0.106 of 200 comes from beyond it once more.
    given = sample([[0, 0, 100, 0, 0, 200, 0]], window=(0, 0, 1, 6))
    found = augment.GaussianBlur(0.5).apply(given, Drawn(uniform=[0.5])).image[0, :, 0]
    # 200 * (0.7866 + 0.1065 + 0.0003) = 178.7; its neighbour 200 * (0.1065 + 0.0003) = 21.3; 100 *
    # 0.7866 = 78.7; that to its left 10.6, to its right 10.65 + 0.05 = 10.7.
    assert found.tolist() == [0, 11, 79, 11, 21, 179, 0]


def test_gaussian_noise():
    # 0.84134 of all normal numbers are below 1, 0.84134 * 65536 = 55138; half are below 0.
    given = sample([[100, 250]], window=(0, 0, 1, 2))
    noisy = augment.GaussianNoise(10).apply(given, Drawn(uniform=[10], integers=[55138]))
    assert noisy.image[:, :, 0].tolist() == [[110, 255]]
    calm = augment.GaussianNoise(10).apply(given, Drawn(uniform=[10], integers=[32768]))
    assert calm.image[:, :, 0].tolist() == [[100, 250]]
    many = sample(np.full((64, 64), 100))
    found = augment.GaussianNoise(10).apply(many, np.random.default_rng(0)).image.astype(float)
    assert abs(found.mean() - 100) < 1 and abs(found.std() - 10) < 0.5


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_jpeg_compression(channels):
    # A block of 8 x 8 with 120 and 136 in turn: at quality 5 no step is fine enough for it but
    # that of its mean.
    checks = np.where(np.indices((8, 8)).sum(axis=0) % 2, np.uint8(136), np.uint8(120))
    image = np.repeat(checks[:, :, None], channels, axis=2)
    given = Sample(image, np.zeros((8, 8, 0), bool))
    found = augment.JPEGCompression(5).apply(given, Drawn(uniform=[5.2])).image
    assert found.shape == image.shape and np.abs(found.astype(int) - 128).max() <= 1
    fine = augment.JPEGCompression(95).apply(given, Drawn(uniform=[95])).image
    assert np.abs(fine.astype(int) - image).max() <= 5
    if channels == 3:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=95)
        np.testing.assert_array_equal(fine, np.asarray(Image.open(file)))


def test_what_changes_values_keeps_the_dtype_and_draws_by_p():
    given = Sample(np.full((8, 8, 3), 99.5, np.float32), np.zeros((8, 8, 0), bool))
    steps = [augment.GaussianBlur, augment.GaussianNoise, augment.JPEGCompression]
    for step in (*steps, augment.StainJitter, augment.ColorJitter, augment.ElasticTransform):
        found = step().apply(given, np.random.default_rng(0)).image
        assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 255
        assert step(p=0.0).apply(given, np.random.default_rng(0)) is given


# ---- microscopy


def rgb(*values):
    return Sample(np.array([values], np.uint8), np.zeros((1, len(values), 0), bool))


def stained(hematoxylin, eosin):
    """The colour of tissue with so much of each: optical densities of Ruifrok and Johnston."""
    density = hematoxylin * np.array([0.65, 0.70, 0.29]) + eosin * np.array([0.07, 0.99, 0.11])
    return np.rint(256 * np.exp(-density) - 1).astype(int).tolist()


def test_stain_jitter():
    # Every stain twice: the densities double. (127 + 1)^2 / 256 - 1 = 63; white has none.
    doubled = augment.StainJitter(1.0, 0).apply(
        rgb((127, 127, 127), (255, 255, 255)), Drawn(uniform=[1, 1])
    )
    assert doubled.image[0].tolist() == [[63, 63, 63], [255, 255, 255]]
    # 0.1 more of each on white: densities 0.1 * (0.65 + 0.07 + 0.27) = 0.099, 0.226 and 0.118:
    # 256 * exp(-0.099) - 1 = 230.9, 203.2 and 226.5.
    shifted = augment.StainJitter(0, 0.1).apply(rgb((255, 255, 255)), Drawn(uniform=[1, 1]))
    assert shifted.image[0].tolist() == [[231, 203, 227]]

    class EosinAlone(Drawn):
        def uniform(self, low, high, size=None):
            return np.array([0, 1, 0])

    given = rgb(stained(0.8, 0), stained(0, 0.5), stained(0.4, 0.3))
    found = augment.StainJitter(1.0, 0).apply(given, EosinAlone()).image[0].astype(int)
    expected = [stained(0.8, 0), stained(0, 1.0), stained(0.4, 0.6)]
    assert np.abs(found - expected).max() <= 1


def test_stain_jitter_wants_rgb():
    with pytest.raises(ValueError, match="expected RGB for StainJitter, received 1 channels"):
        augment.StainJitter().apply(sample([[1]]), np.random.default_rng(0))


def test_a_mesh_bends_image_masks_and_points_alike():
    # Four pixels in a row; the left edge shows what was at 1, the right edge stays: x comes from
    # 1 + 0.75 x. Centres 0.5, 1.5, 2.5, 3.5 come from 1.375, 2.125, 2.875, 3.625.
    nodes = [np.array([0, 4]), np.array([0, 4])]
    at = np.array([[[0, 0], [4, 4]], [[1, 4], [1, 4]]], float)
    mesh = Mesh(nodes, at)
    ramp = np.tile(np.array([0, 80, 160, 240], np.uint8), (4, 1))[:, :, None]
    # 80 a pixel from the centre 0.5 on: 70, 130, 190; the last is between 240 and the border.
    found = mesh.image(ramp)[1, :, 0].astype(int)
    assert np.abs(found - [70, 130, 190, 240]).max() <= 1
    masks = np.repeat(ramp == 160, 2, axis=2)
    masks[:, :, 1] = ramp[:, :, 0] == 0
    out = np.ones_like(masks)
    mesh.masks(masks, out=out[:, :, :])
    assert out[1, :, 0].tolist()[1:3] == [True, True]  # 2.125 and 2.875 are in pixel 2
    assert not (out & masks[..., [1, 1]])[1, :, 1].any()  # no pixel comes from pixel 0
    # x 2.5 is shown where 1 + 0.75 x = 2.5: at 2.
    np.testing.assert_allclose(mesh.points(np.array([[3.0, 2.5], [9, 9]])), [[3, 2], [9, 9]])


def test_elastic_transform_keeps_border_and_padding():
    rng = np.random.default_rng(1)
    image = np.zeros((100, 140, 3), np.uint8)
    image[10:90, 20:120] = 40
    image[30:70, 40:90] = 220
    masks = (image[:, :, :1] == 220).repeat(2, axis=2)
    masks[:, :, 1] = False
    points = np.array([[[30.0, 40.0], [70.0, 90.0]]])  # two corners of the object
    given = Sample(image, masks, window=(10, 20, 90, 120), points=points)
    bent = augment.ElasticTransform(std=4, spacing=30).apply(given, rng)
    assert bent.window == (10, 20, 90, 120) and not bent.masks[:, :, 1].any()
    inside = bent.image[10:90, 20:120]
    assert bent.image.astype(int).sum() == inside.astype(int).sum() and inside.min() == 40
    on, mask = bent.image[:, :, 0] > 130, bent.masks[:, :, 0]
    assert (on & mask).sum() / (on | mask).sum() > 0.97
    assert (mask ^ masks[:, :, 0]).sum() > 50
    # The corners of the bent object are where the points say, to a pixel or two.
    for corner, sign in zip(bent.points[0], (1, -1), strict=True):
        y, x = np.floor(corner + 2.5 * sign).astype(int)
        assert mask[y, x]
        y, x = np.floor(corner - 2.5 * sign).astype(int)
        assert not mask[y, x]


# ---- copy-paste


def board(**more):
    """4 x 4 of 10 with an object of 2 x 2 at the upper left, class 1, and a pixel, class 2."""
    masks = np.zeros((4, 4, 2), bool)
    masks[:2, :2, 0] = masks[3, 3, 1] = True
    image = np.full((4, 4, 1), 10, np.uint8)
    return Sample(image, masks, np.array([1, 2], np.int32), **more)


def stamp(scale=1.0, class_ids=(3, -3), points=None):
    """What `Sample.other` returns: 4 x 4 of 200, an object of 2 x 2 and a crowd, 1 row of 4."""
    masks = np.zeros((4, 4, 2), bool)
    masks[:2, :2, 0] = masks[3, :, 1] = True
    other = Sample(np.full((4, 4, 1), 200, np.uint8), masks, np.array(class_ids), points=points)
    return lambda rng: (other, scale)


def paste(given, uniform=(1.0, 1.0), random=(0.0, 0.9), **draws):
    # scale, share; whether at all, whether mirrored
    return augment.CopyPaste().apply(given, Drawn(uniform=uniform, random=random, **draws))


def test_a_pasted_object_covers_what_lies_below():
    pasted = paste(board(other=stamp()))
    assert pasted.class_ids.tolist() == [2, 3]  # nothing of class 1 is left; the crowd stays away
    assert pixels(pasted.masks[:, :, 0]) == [[3, 3]]
    assert pixels(pasted.masks[:, :, 1]) == [[0, 0], [0, 1], [1, 0], [1, 1]]
    expected = np.full((4, 4), 10)
    expected[:2, :2] = 200
    assert pasted.image[:, :, 0].tolist() == expected.tolist()


def test_a_mirrored_object_and_one_of_half_the_size():
    mirrored = paste(board(other=stamp()), random=(0.0, 0.4))
    assert mirrored.class_ids.tolist() == [1, 2, 3]
    assert pixels(mirrored.masks[:, :, 2]) == [[0, 2], [0, 3], [1, 2], [1, 3]]
    # Half as large, 2 x 2 in all, and placed at row 1, column 0: it covers one pixel of class 1.
    small = paste(board(other=stamp(0.5)), integers=[1, 0])
    assert pixels(small.masks[:, :, 2]) == [[1, 0]] and small.image[1, 0, 0] == 200
    assert pixels(small.masks[:, :, 0]) == [[0, 0], [0, 1], [1, 1]]


def test_an_object_that_hardly_reaches_the_canvas_is_not_pasted():
    # Twice as large, 8 x 8, from row -4 and column -3 on: its 4 x 4 pixels end at row 0, column 1.
    far = board(other=stamp(2.0))
    assert paste(far, integers=[-4, -3]) is far
    near = paste(far, integers=[-3, -3])  # 1 of 16 pixels, less than a tenth
    assert near is far
    part = paste(far, integers=[-2, -2])  # 4 of 16
    assert pixels(part.masks[:, :, -1]) == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_points_and_window_of_pasted_objects():
    points = np.array([[[0.5, 1.0]], [[3.5, 3.5]]])
    other = stamp(points=np.array([[[1.0, 0.5]], [[0, 0]]]))
    given = board(other=other, points=points, window=(2, 2, 4, 4))
    pasted = paste(given, random=(0.0, 0.4))
    # Mirrored: x 4 - 0.5. It lies on rows 0 to 2, which the window then holds.
    assert pasted.points.tolist() == [[[0.5, 1.0]], [[3.5, 3.5]], [[1.0, 3.5]]]
    assert pasted.window == (0, 2, 4, 4)
    with pytest.raises(ValueError, match="expected points of the pasted objects"):
        paste(board(other=stamp(), points=points))


def test_nothing_to_paste():
    given = board(other=lambda rng: None)
    assert paste(given) is given
    crowds = board(other=stamp(class_ids=(-3, -3)))
    assert paste(crowds) is crowds
    assert augment.CopyPaste(p=0.3).apply(given, Drawn(random=[0.3])) is given
    with pytest.raises(ValueError, match="expected other pictures to paste from"):
        augment.CopyPaste().apply(board(), Drawn())


# ---- names and arguments


def test_the_steps_of_the_documentation():
    page = Path(__file__).resolve().parents[1] / "docs" / "augmentation.md"
    block = re.search(
        r"```python\n(from mrcnn.augment import Photometric.*?)```", page.read_text(), re.S
    )
    names = {}
    exec(block[1], names)
    given = sample([[1, 2], [3, 4]], [(0, 1)], (0, 0, 1, 2), np.array([[[0.5, 1.75]]]))
    inverted = names["Invert"]().apply(given, None)
    assert inverted.image[:, :, 0].tolist() == [[254, 253], [0, 0]]  # the second row is padding
    swapped = names["Transpose"]().apply(given, None)
    assert swapped.image[:, :, 0].tolist() == [[1, 3], [2, 4]] and swapped.window == (0, 0, 2, 1)
    assert pixels(swapped.masks[:, :, 0]) == [[1, 0]]
    assert swapped.points.tolist() == [[[1.75, 0.5]]]


def test_the_documentation_has_every_name():
    page = (Path(__file__).resolve().parents[1] / "docs" / "augmentation.md").read_text()
    names = set(re.findall(r"^\| `(\w+)", page, re.M))
    helpers = {"Photometric", "Sample", "Step", "COMPOSITIONS"}
    assert names == {x for x in augment.__all__ if x[0].isupper()} - helpers | set(
        augment.COMPOSITIONS
    )


@pytest.mark.parametrize("name", augment.COMPOSITIONS)
def test_named_compositions(name):
    augmentation = augment.named(name)
    if name == "none":
        assert augmentation is None
        return
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    masks = np.zeros((64, 64, 1), bool)
    masks[20:40, 20:40] = True
    other = Sample(image, masks)
    given = Sample(image, masks, other=lambda rng: (other, 1.0))
    for seed in range(8):
        first, again = (augmentation.apply(given, np.random.default_rng(seed)) for _ in range(2))
        assert first.image.shape == image.shape and first.image.dtype == np.uint8
        assert first.masks.shape[2] == len(first.class_ids)
        np.testing.assert_array_equal(first.image, again.image)


def test_a_name_that_does_not_exist():
    with pytest.raises(ValueError, match=r"expected an augmentation of none, flip, .*'flop'"):
        augment.named("flop")


@pytest.mark.parametrize(
    "build",
    [
        lambda: augment.FlipLeftRight(1.5),
        lambda: augment.GaussianBlur(0),
        lambda: augment.GaussianNoise((5, 2)),
        lambda: augment.JPEGCompression((50, 100)),
        lambda: augment.StainJitter(-0.1),
        lambda: augment.ElasticTransform(spacing=0),
        lambda: augment.CopyPaste(flip=2),
        lambda: augment.CopyPaste(scale=(0, 1)),
        lambda: augment.LargeScaleJitter((2.0, 0.1)),
    ],
)
def test_arguments_that_cannot_be(build):
    with pytest.raises(ValueError, match=r"Expected .*received"):
        build()
