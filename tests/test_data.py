import dataclasses
import gc
import itertools
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from skimage import io

from mrcnn.config import Config
from mrcnn.data import DataGenerator, Dataset, load_image_gt
from mrcnn.data import generator as generator_module
from mrcnn.image import minimize_mask, mold, to_model_image
from mrcnn.settings import Image

SIZE = 64


class TinyConfig(Config):
    NAME = "tiny"
    NUM_CLASSES = 3
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = SIZE
    IMAGE_MAX_DIM = SIZE
    MINI_MASK_SHAPE = (4, 5)
    MAX_GT_INSTANCES = 3
    MEAN_PIXEL = np.array([1.0, 2.0, 3.0])
    SEED = 5


class TinyDataset(Dataset):
    """Image i is filled with i; it has one square instance for each of its class ids."""

    def __init__(self, *class_ids, size=(SIZE, SIZE)):
        super().__init__()
        self.add_class("tiny", 1, "one")
        self.add_class("tiny", 2, "two")
        self.size = size
        for i, ids in enumerate(class_ids):
            self.add_image("tiny", i, f"tiny/{i}.png", ids=ids)
        self.prepare()

    def load_image(self, image_id):
        return np.full((*self.size, 3), image_id, "uint8")

    def load_mask(self, image_id):
        ids = np.array(self.image_info[image_id]["ids"], np.int32)
        masks = np.zeros((*self.size, len(ids)), bool)
        for i in range(len(ids)):
            masks[4 * i + 8 : 4 * i + 16, 16:32, i] = True
        return masks, ids


def config(**keys):
    return type("AConfig", (TinyConfig,), keys)()


def ids_of(batch):
    return batch[0]["input_image_meta"][:, 0].astype(int).tolist()


def assert_equal_batches(first, second):
    for name, array in first[0].items():
        assert array.dtype == second[0][name].dtype
        np.testing.assert_array_equal(array, second[0][name], err_msg=name)


# ---- Dataset


def two_sources():
    dataset = Dataset()
    dataset.add_class("a", 7, "cat, house cat")
    dataset.add_class("b", "x", "dog")
    dataset.add_class("a", 3, "bird")
    dataset.add_class("a", 7, "again")
    dataset.add_image("b", "p", "p.png", width=4)
    dataset.add_image("a", "q", "q.png")
    dataset.prepare()
    return dataset


def test_class_maps_over_two_sources():
    dataset = two_sources()
    assert dataset.class_names == ["BG", "cat", "dog", "bird"]
    assert dataset.num_classes == 4 and dataset.class_ids.tolist() == [0, 1, 2, 3]
    assert dataset.class_from_source_map == {".0": 0, "a.7": 1, "b.x": 2, "a.3": 3}
    assert dataset.image_from_source_map == {"b.p": 0, "a.q": 1}
    assert dataset.sources == ["", "a", "b"]
    assert dataset.source_class_ids == {"": [0], "a": [0, 1, 3], "b": [0, 2]}
    assert dataset.map_source_class_id("a.3") == 3
    assert dataset.get_source_class_id(3, "a") == 3 and dataset.get_source_class_id(1, "a") == 7
    assert dataset.num_images == 2 and dataset.image_ids.tolist() == [0, 1]
    assert dataset.source_image_link(0) == "p.png" and dataset.image_reference(0) == ""
    assert dataset.image_info[0] == {"id": "p", "source": "b", "path": "p.png", "width": 4}


def test_dataset_errors():
    dataset = two_sources()
    with pytest.raises(ValueError, match=r"class 2 .'dog'. of source 'b'"):
        dataset.get_source_class_id(2, "a")
    with pytest.raises(ValueError, match=r"received 'a\.b'"):
        dataset.add_class("a.b", 1, "cat")
    for name in ("image_ids", "num_classes", "class_names", "source_class_ids"):
        with pytest.raises(ValueError, match=f"Dataset.{name} .* Call prepare"):
            getattr(Dataset(), name)
    with pytest.raises(AttributeError, match="no attribute 'image_idz'"):
        Dataset().image_idz  # noqa: B018
    with pytest.raises(ValueError, match="Call prepare"):
        load_image_gt(Dataset(), TinyConfig(), 0)


def test_load_image_reads_files(tmp_path):
    pictures = {
        "grey.png": np.array([[9, 200]], "uint8"),
        "rgba.png": np.array([[[1, 2, 3, 4]]], "uint8"),
        "deep.png": np.array([[0, 65535]], "uint16"),
    }
    expected = {
        "grey.png": [[[9] * 3, [200] * 3]],
        "rgba.png": [[[1, 2, 3]]],
        "deep.png": [[[0] * 3, [255] * 3]],
    }
    dataset = Dataset()
    for name, picture in pictures.items():
        io.imsave(tmp_path / name, picture, check_contrast=False)
        dataset.add_image("s", name, tmp_path / name)
    for i, name in enumerate(pictures):
        picture = dataset.load_image(i)
        assert picture.dtype == np.uint8
        assert picture.tolist() == expected[name], name


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_load_image_names_files_that_are_no_pictures(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    dataset = Dataset()
    for name in ("text.png", "missing.png"):
        dataset.add_image("s", name, str(tmp_path / name))
        with pytest.raises(ValueError, match=rf"^Image \d \(.*{name}\): .*cannot be read \(\w+: ."):
            dataset.load_image(len(dataset.image_info) - 1)
    dataset.add_image("s", "drawn", None)
    with pytest.raises(ValueError, match=r"^Image 2 \(drawn\): .*Override load_image"):
        dataset.load_image(2)
    gc.collect()  # the reader leaves its file open: warn here, not in a later test


def test_a_data_set_of_floats_up_to_one_warns_once():
    class Floats(TinyDataset):
        def load_image(self, image_id):
            return to_model_image(np.linspace(0, 1, SIZE * SIZE).reshape(SIZE, SIZE), owner=self)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # as libraries do, which has Python forget what it showed
        for _ in range(2):
            dataset = Floats([1], [2], [1], [2])
            for i in range(4):
                load_image_gt(dataset, config(), i)
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(DataGenerator(dataset, config()).__getitem__, [0, 1]))
    assert ["multiply by 255" in str(item.message) for item in caught] == [True, True]


def test_files_of_floats_up_to_one_warn_once(monkeypatch):
    monkeypatch.setattr("mrcnn.image.channels.read_image", lambda *_, **__: np.array([[0.0, 1.0]]))
    dataset = Dataset()
    for i in range(3):
        dataset.add_image("s", i, f"{i}.tif")
    with pytest.warns(UserWarning, match=r"Image 0 .*multiply by 255") as caught:
        warnings.simplefilter("always")
        for i in range(3):
            dataset.load_image(i)
    assert len(caught) == 1


def test_default_mask_is_empty():
    masks, class_ids = Dataset().load_mask(0)
    assert masks.shape == (0, 0, 0) and masks.dtype == bool
    assert class_ids.shape == (0,) and class_ids.dtype == np.int32


# ---- load_image_gt


def test_ground_truth_values():
    # 32x16 -> scale 2 -> 64x32, padding (64 - 32) / 2 = 16 columns on each side
    dataset = TinyDataset([2, -1], size=(32, 16))
    masks = np.zeros((32, 16, 2), bool)
    masks[1:5, 2:4, 0] = True  # rows 2..10, columns 16 + 4 .. 16 + 8
    masks[31, 15, 1] = True  # rows 62..64, columns 16 + 30 .. 16 + 32
    dataset.load_mask = lambda image_id: (masks, [2, -1])
    image, meta, class_ids, boxes, mini = load_image_gt(dataset, config(), 0, use_mini_mask=True)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    assert meta.tolist() == [0, 32, 16, 3, 64, 64, 3, 0, 16, 64, 48, 2, 1, 1, 1]
    assert class_ids.tolist() == [2, -1] and class_ids.dtype == np.int32
    assert boxes.tolist() == [[2, 20, 10, 24], [62, 46, 64, 48]] and boxes.dtype == np.int32
    assert mini.shape == (4, 5, 2) and mini.dtype == bool and mini.all()
    full = load_image_gt(dataset, config(), 0, use_mini_mask=False)[4]
    assert full.shape == (64, 64, 2) and full.sum() == 8 * 4 + 2 * 2
    assert full[2:10, 20:24, 0].all() and full[62:64, 46:48, 1].all()
    # As matterport's, whatever the config: what is not asked for is not cut.
    assert load_image_gt(dataset, config(USE_MINI_MASK=True), 0)[4].shape == (64, 64, 2)


def test_active_classes_are_those_of_the_source():
    dataset = two_sources()
    dataset.load_image = lambda image_id: np.zeros((SIZE, SIZE, 3), "uint8")
    metas = [load_image_gt(dataset, config(NUM_CLASSES=4), i)[1] for i in (0, 1)]
    assert [meta[12:].tolist() for meta in metas] == [[1, 0, 1, 0], [1, 1, 0, 1]]


@pytest.mark.parametrize("masks", [np.zeros((0, 0, 0)), np.zeros((SIZE, SIZE, 0), bool), []])
def test_image_without_objects(masks):
    dataset = TinyDataset([])
    dataset.load_mask = lambda image_id: (masks, [])
    for mini, shape in ((True, (4, 5, 0)), (False, (SIZE, SIZE, 0))):
        _, _, class_ids, boxes, mask = load_image_gt(dataset, config(), 0, use_mini_mask=mini)
        assert class_ids.shape == (0,) and class_ids.dtype == np.int32
        assert boxes.shape == (0, 4) and boxes.dtype == np.int32
        assert mask.shape == shape and mask.dtype == bool


def test_instances_left_empty_are_dropped():
    def erase_first(image, masks):
        masks[:, :, 0] = False
        return image, masks

    _, _, class_ids, boxes, mask = load_image_gt(
        TinyDataset([1, 2]), config(), 0, augmentation=erase_first
    )
    # the second square: rows 4 + 8 .. 4 + 16
    assert class_ids.tolist() == [2] and boxes.tolist() == [[12, 16, 20, 32]]
    assert mask.shape[2] == 1


@pytest.mark.parametrize("mode", ["square", "crop", "none"])
def test_mini_masks_are_those_of_the_full_size(mode):
    dataset = TinyDataset([1, 2, 2], size=(128, 128))
    masks = np.random.default_rng(0).random((128, 128, 3)) > 0.5
    masks[:, :, 0] = masks[40:, :, 1] = False  # no pixel; maybe outside the crop
    dataset.load_mask = lambda image_id: (masks, [1, 2, 2])
    seen = set()
    for seed in range(8):
        full, mini = (
            load_image_gt(
                *(dataset, config(IMAGE_RESIZE_MODE=mode), 0),
                use_mini_mask=small,
                rng=np.random.default_rng(seed),
            )
            for small in (False, True)
        )
        for one, other in zip(full[:4], mini[:4], strict=True):
            np.testing.assert_array_equal(one, other)
        expected = minimize_mask(full[3], full[4], (4, 5))
        np.testing.assert_array_equal(mini[4], expected)
        seen.add(len(full[2]))
    assert seen == ({1, 2} if mode == "crop" else {2})


def test_masks_of_full_size_are_made_once():
    # 40 masks of 640 x 640 are 16.4 MB; the picture takes 1.2 MB, its resizing in float64 2.4.
    dataset = TinyDataset([1] * 40, size=(320, 320))
    masks = np.zeros((320, 320, 40), bool)
    masks[8:16, 16:32] = True
    dataset.load_mask = lambda image_id: (masks, [1] * 40)
    large = config(IMAGE_MIN_DIM=640, IMAGE_MAX_DIM=640)
    tracemalloc.start()
    load_image_gt(dataset, large, 0, use_mini_mask=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    full_size = 640 * 640 * 40
    assert full_size < peak < 1.5 * full_size


def test_augmentation_moves_image_masks_and_boxes_together():
    dataset = TinyDataset([1])
    picture = np.zeros((SIZE, SIZE, 3), "uint8")
    picture[8:16, 16:32] = 9
    dataset.load_image = lambda image_id: picture

    def flip_in_place(image, masks):
        image[:] = image[:, ::-1].copy()
        return image, masks[:, ::-1]

    keys = config(IMAGE_RESIZE_MODE="none", USE_MINI_MASK=False)
    image, _, _, boxes, mask = load_image_gt(dataset, keys, 0, augmentation=flip_in_place)
    # columns 64 - 32 .. 64 - 16
    assert boxes.tolist() == [[8, 32, 16, 48]]
    np.testing.assert_array_equal(image[:, :, 0] == 9, mask[:, :, 0])
    assert picture[8, 16, 0] == 9  # the data set's own picture is untouched


def square_mask(**changes):
    return {"masks": np.ones((SIZE, SIZE, 1), bool), "ids": np.array([1]), **changes}


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        (square_mask(masks=np.ones((SIZE, SIZE), bool)), r"received \[64, 64\]"),
        (square_mask(masks=np.ones((32, SIZE, 1), bool)), r"received \[32, 64, 1\]"),
        (square_mask(masks=np.arange(SIZE * SIZE).reshape(SIZE, SIZE, 1) % 3), "received int64"),
        (square_mask(masks=np.full((SIZE, SIZE, 1), np.nan)), "received float64"),
        (square_mask(masks=np.full((SIZE, SIZE, 1), "1")), "received <U1"),
        (square_mask(ids=np.array([1, 2])), "1 masks and 2 class ids"),
        (square_mask(ids=np.zeros(0, int)), "1 masks and 0 class ids"),
        (square_mask(masks=np.zeros((SIZE, SIZE, 0))), "0 masks and 1 class ids"),
        (square_mask(ids=np.array([1.5])), "received float64"),
        (square_mask(ids=np.array([[1]])), r"received int64 \[1, 1\]"),
        (square_mask(ids=np.array([0])), r"from 1 to 2 .* received \[0\]"),
        (square_mask(ids=np.array([3])), r"received \[3\]"),
        (square_mask(ids=np.array([-3])), r"received \[-3\]"),
        (None, "received NoneType"),
    ],
)
def test_bad_instances_name_the_image(instances, words):
    dataset = TinyDataset([1], [1])
    dataset.load_mask = lambda image_id: tuple(instances.values()) if instances else None
    with pytest.raises(ValueError, match=rf"^Image 1 \(tiny/1.png\), load_mask: expected.*{words}"):
        load_image_gt(dataset, config(), 1)


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint8", 1), ("int64", 1), ("float32", 1), ("uint8", 255)]
)
def test_masks_of_zero_and_one_other_value_are_converted(dtype, value):
    dataset = TinyDataset([1])
    masks, class_ids = dataset.load_mask(0)
    dataset.load_mask = lambda image_id: (masks.astype(dtype) * value, class_ids)
    mask = load_image_gt(dataset, config(USE_MINI_MASK=False), 0)[4]
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, masks)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((SIZE, SIZE, 3), bool), "dtype bool"),
        (np.full((SIZE, SIZE, 3), np.nan), "finite"),
        (np.zeros((0, SIZE, 3), "uint8"), r"\[0, 64, 3\]"),
    ],
)
def test_bad_pictures_name_the_image(picture, words):
    dataset = TinyDataset([1])
    dataset.load_image = lambda image_id: picture
    with pytest.raises(ValueError, match=rf"^Image 0 \(tiny/0.png\): expected.*{words}"):
        load_image_gt(dataset, config(), 0)


@pytest.mark.parametrize(
    "augmentation",
    [
        lambda image, masks: (image[:32], masks[:32]),
        lambda image, masks: (image, masks[:32]),
        lambda image, masks: (image, masks[:, :, :1]),
        lambda image, masks: (image / 255, masks),
        lambda image, masks: (image[:, :, :1], masks),
        lambda image, masks: (image, masks * np.arange(1, SIZE + 1)[:, None]),
    ],
)
def test_bad_augmentations_name_the_image(augmentation):
    with pytest.raises(ValueError, match=r"^Image 0 \(tiny/0.png\), augmentation: expected"):
        load_image_gt(TinyDataset([1, 2]), config(), 0, augmentation=augmentation)


def test_class_count_and_source_must_fit():
    with pytest.raises(ValueError, match="Set NUM_CLASSES = 3"):
        load_image_gt(TinyDataset([1]), config(NUM_CLASSES=2), 0)
    dataset = TinyDataset([1])
    dataset.image_info[0]["source"] = "other"
    with pytest.raises(ValueError, match=r"Image 0 .* received 'other'"):
        load_image_gt(dataset, config(), 0)


# ---- DataGenerator


def test_image_ids_cannot_be_set_past_prepare():
    dataset = Dataset()
    for i in range(3):
        dataset.add_image("a", i, f"{i}.png")
    dataset.prepare()
    assert dataset.image_ids.tolist() == [0, 1, 2]
    with pytest.raises(AttributeError):
        dataset.image_ids = [1]


def test_batch_contents():
    (inputs,) = DataGenerator(TinyDataset([1, -2], [2]), config(), shuffle=False)[0]
    assert {name: (array.shape, array.dtype.name) for name, array in inputs.items()} == {
        "input_image": ((2, SIZE, SIZE, 3), "float32"),
        "input_image_meta": ((2, 15), "float32"),
        "input_gt_class_ids": ((2, 3), "int32"),
        "input_gt_boxes": ((2, 3, 4), "float32"),
        "input_gt_masks": ((2, 4, 5, 3), "bool"),
    }
    # image i is filled with i; minus MEAN_PIXEL (1, 2, 3)
    np.testing.assert_array_equal(inputs["input_image"][:, 5, 5], [[-1, -2, -3], [0, -1, -2]])
    assert inputs["input_gt_class_ids"].tolist() == [[1, -2, 0], [2, 0, 0]]
    first = [[8, 16, 16, 32], [12, 16, 20, 32], [0, 0, 0, 0]]
    assert inputs["input_gt_boxes"].tolist() == [first, [first[0], [0] * 4, [0] * 4]]
    filled = inputs["input_gt_masks"].any(axis=(1, 2))
    assert filled.tolist() == [[True, True, False], [True, False, False]]


def test_full_size_masks():
    (inputs,) = DataGenerator(TinyDataset([1], [1]), config(USE_MINI_MASK=False))[0]
    assert inputs["input_gt_masks"].shape == (2, SIZE, SIZE, 3)
    # the square is 8 rows by 16 columns
    assert inputs["input_gt_masks"].sum(axis=(1, 2)).tolist() == [[128, 0, 0]] * 2


def test_more_instances_than_the_limit():
    subsets = set()
    for seed in range(8):
        keys = config(IMAGES_PER_GPU=1, SEED=seed, USE_MINI_MASK=False)
        (inputs,) = DataGenerator(TinyDataset([1, 2, 1, 2]), keys)[0]
        tops = inputs["input_gt_boxes"][0, :, 0]
        # instance i starts in row 4 i + 8 and has class i % 2 + 1
        indices = ((tops - 8) / 4).astype(int)
        assert len(set(indices)) == 3
        np.testing.assert_array_equal(inputs["input_gt_class_ids"][0], indices % 2 + 1)
        first_rows = inputs["input_gt_masks"][0, :, 16].argmax(axis=0)
        np.testing.assert_array_equal(first_rows, tops)
        subsets.add(tuple(indices))
    assert len(subsets) > 1


def test_an_epoch_is_every_image_once():
    generator = DataGenerator(TinyDataset(*[[1]] * 5), config())
    assert len(generator) == 3  # ceil(5 / 2)
    epochs = []
    for _ in range(3):
        generator.on_epoch_begin()
        batches = [ids_of(batch) for batch in generator]
        assert [len(batch) for batch in batches] == [2, 2, 1]
        epochs.append([i for batch in batches for i in batch])
        generator.on_epoch_end()
    # the permutations of seed 5 and passes 0, 1, 2
    expected = [np.random.default_rng([5, p]).permutation(5).tolist() for p in range(3)]
    assert epochs == expected and len({tuple(epoch) for epoch in epochs}) > 1


def test_natural_order():
    generator = DataGenerator(TinyDataset(*[[1]] * 3), config(), shuffle=False)
    assert [ids_of(batch) for batch in generator] == [[0, 1], [2]]


def test_steps_stream_over_passes_and_epochs():
    # 3 images, 2 steps of 2: epoch 0 reads stream places 0..3, epoch 1 4..7, epoch 2 8..11;
    # twelve places are four passes
    generator = DataGenerator(TinyDataset(*[[1]] * 3), config(), steps=2)
    stream = []
    for epoch in range(3):
        generator.epoch = epoch
        assert len(generator) == 2
        for batch in generator:
            assert len(ids_of(batch)) == 2
            stream += ids_of(batch)
    expected = [np.random.default_rng([5, p]).permutation(3) for p in range(4)]
    assert stream == np.concatenate(expected).tolist()


def test_a_batch_that_was_looked_at_comes_in_its_turn_and_is_made_once():
    dataset = TinyDataset(*[[1]] * 5)
    loaded, load = [], dataset.load_image
    dataset.load_image = lambda image_id: loaded.append(image_id) or load(image_id)
    generator = DataGenerator(dataset, config())
    looked_at = generator.peek()
    assert loaded == looked_at["input_image_meta"][:, 0].tolist()
    assert generator[1][0] is not looked_at and generator[0][0] is looked_at
    assert generator[0][0] is not looked_at  # no batch is held for longer
    generator.peek()
    generator.epoch = 1  # another batch is the first
    expected = np.random.default_rng([5, 1]).permutation(5)[:2]
    assert ids_of(generator[0]) == expected.tolist()


@pytest.mark.parametrize(
    ("position", "rest"), [((1, 0), [2, 2, 1]), ((1, 2), [1]), ((0, 3), [2, 2, 1])]
)
def test_it_goes_on_anywhere(position, rest):
    generator = DataGenerator(TinyDataset(*[[1]] * 5), config())
    generator.go_on(7, *position)
    ids = np.random.default_rng([7, 1]).permutation(5)[-sum(rest) :]
    batches = [ids_of(batch) for batch in generator]
    assert [len(batch) for batch in batches] == rest
    assert np.concatenate(batches).tolist() == ids.tolist()


def test_epochs_advance_only_when_one_began():
    generator = DataGenerator(TinyDataset([1]), config())
    generator.on_epoch_end()
    assert generator.epoch == 0
    generator.on_epoch_begin()
    generator.on_epoch_end()
    generator.on_epoch_end()
    assert generator.epoch == 1


CROP = {"IMAGE_RESIZE_MODE": "crop"}


def crop_generator(**keys):
    """Random crops of pictures whose pixels differ, one of them without objects."""
    dataset = TinyDataset([1], [], [1, 2, 1, 2], [2], [1], size=(96, 96))
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), "uint8")
    dataset.load_image = lambda image_id: picture
    return DataGenerator(dataset, config(**CROP, **keys))


def test_batches_depend_on_seed_epoch_and_index_only():
    ordered, backwards = crop_generator(), crop_generator()
    expected = list(ordered)
    for index in (2, 0, 1, 0):
        assert_equal_batches(expected[index], backwards[index])
    for threads in (2, 4):
        generator = crop_generator()
        with ThreadPoolExecutor(threads) as pool:
            for first, second in zip(
                expected, pool.map(generator.__getitem__, range(3)), strict=True
            ):
                assert_equal_batches(first, second)
    # one picture, but each place in a pass has its own crop
    assert (expected[0][0]["input_image"][0] != expected[0][0]["input_image"][1]).any()
    ordered.epoch = 1
    for other in (crop_generator(SEED=6), ordered):
        assert (other[0][0]["input_image"] != expected[0][0]["input_image"]).any()


def test_without_a_seed_one_is_drawn():
    keras.utils.set_random_seed(3)
    seeds = [DataGenerator(TinyDataset([1]), config(SEED=None)).seed for _ in range(2)]
    keras.utils.set_random_seed(3)
    assert DataGenerator(TinyDataset([1]), config(SEED=None)).seed == seeds[0] != seeds[1]


def test_images_without_objects_give_way_to_the_next():
    # crowds alone are no objects
    dataset = TinyDataset([1], [], [-1], [2])
    generator = DataGenerator(dataset, config(), shuffle=False)
    for _ in range(2):  # the second time the empty ones are known
        assert [ids_of(batch) for batch in generator] == [[0, 3], [3, 3]]
    dataset = TinyDataset([1], [])
    assert ids_of(DataGenerator(dataset, config(), shuffle=False)[0]) == [0, 0]  # around the end


def test_the_next_one_is_the_next_of_the_pass_around_its_end(monkeypatch):
    monkeypatch.setattr(generator_module, "MIN_TRIES", 7)
    generator = DataGenerator(TinyDataset(*[[1]] * 5), config())
    tried = []
    monkeypatch.setattr(generator, "_load_image", lambda image_id, rng: tried.append(image_id))
    with pytest.raises(ValueError, match="received 5 images without any"):
        generator._load(0, 3)
    order = np.random.default_rng([5, 0]).permutation(5).tolist()
    assert tried == [order[i] for i in (3, 4, 0, 1, 2, 3, 4)]


def test_a_picture_costs_no_copy_of_the_order():
    generator = DataGenerator(TinyDataset([1], [1]), config(), shuffle=False)
    ids = np.zeros(10**6, int)
    generator.passes = dataclasses.replace(generator.passes, ids=ids)
    tracemalloc.start()
    generator._load(0, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ids.nbytes / 8  # 1 MB; the picture and its mask have less than 0.1


def test_the_images_of_the_last_batches_are_remembered(monkeypatch):
    monkeypatch.setattr(generator_module, "KEPT", 3)
    generator = DataGenerator(TinyDataset(*[[1]] * 12), config(), shuffle=False)
    for index in (0, 1, 3, 2, 4, 5):  # as threads make them
        generator[index]
    assert generator.made_of == {3: [6, 7], 4: [8, 9], 5: [10, 11]}
    generator[0]
    assert generator.made_of[0] == [0, 1] and len(generator.made_of) == 4


def test_a_crop_that_misses_the_object_is_drawn_again():
    # crops start in 0..192; those that show the one pixel start in 129..192 on both axes: 1 in 9
    dataset = TinyDataset([1], size=(256, 256))
    mask = np.zeros((256, 256, 1), bool)
    mask[192, 192] = True
    dataset.load_mask = lambda image_id: (mask, [1])
    for epoch in range(5):
        generator = DataGenerator(dataset, config(**CROP))
        generator.epoch = epoch
        assert generator[0][0]["input_gt_class_ids"].tolist() == [[1, 0, 0]]


def test_images_without_objects_stay_if_wanted():
    generator = DataGenerator(TinyDataset([], []), config(INCLUDE_EMPTY_IMAGES=True), shuffle=False)
    (inputs,) = generator[0]
    assert ids_of((inputs,)) == [0, 1]
    assert not inputs["input_gt_class_ids"].any() and not inputs["input_gt_masks"].any()
    assert inputs["input_gt_boxes"].shape == (2, 3, 4) and not inputs["input_gt_boxes"].any()


def test_sources_without_augmentation():
    generator = DataGenerator(
        TinyDataset([1]),
        config(),
        augmentation=lambda image, masks: (image + np.uint8(9), masks),
        no_augmentation_sources=["tiny"],
    )
    assert generator[0][0]["input_image"].max() == -1  # 0 - 1
    generator.no_augmentation_sources.clear()
    assert generator[0][0]["input_image"].max() == 8  # 0 + 9 - 1


def test_generator_errors():
    with pytest.raises(ValueError, match="empty data set"):
        DataGenerator(TinyDataset(), config())
    with pytest.raises(ValueError, match="Call prepare"):
        DataGenerator(Dataset(), config())
    with pytest.raises(ValueError, match="Set NUM_CLASSES = 3"):
        DataGenerator(TinyDataset([1]), config(NUM_CLASSES=9))
    with pytest.raises(ValueError, match="received 0"):
        DataGenerator(TinyDataset([1]), config(), steps=0)
    with pytest.raises(ValueError, match="received 2 images without any after"):
        DataGenerator(TinyDataset([], [-1]), config())[0]
    with pytest.raises(IndexError):
        DataGenerator(TinyDataset([1]), config())[1]


def test_images_of_a_batch_must_have_one_shape():
    dataset = TinyDataset([1], [1])
    dataset.load_image = lambda image_id: np.zeros((64 + image_id, 64, 3), "uint8")
    dataset.load_mask = lambda image_id: (np.ones((64 + image_id, 64, 1), bool), [1])
    with pytest.raises(ValueError, match="IMAGES_PER_GPU = 1"):
        DataGenerator(dataset, config(IMAGE_RESIZE_MODE="none"))[0]
    single = DataGenerator(dataset, config(IMAGE_RESIZE_MODE="none", IMAGES_PER_GPU=1))
    assert sorted(batch[0]["input_image"].shape[1] for batch in single) == [64, 65]


@pytest.mark.parametrize("method", ["load_image", "load_mask"])
def test_errors_of_the_data_set_name_the_image(method):
    def fail(image_id):
        raise error

    dataset = TinyDataset([1])
    setattr(dataset, method, fail)
    error = KeyError("annotations")
    words = f"Image 0 .*0.png., {method}: KeyError: 'annot"
    with pytest.warns(UserWarning, match=words), pytest.raises(RuntimeError, match=words) as e:
        DataGenerator(dataset, config())[0]
    assert e.value.__cause__ is error
    error, words = ValueError("no such polygon"), f"Image 0 .*0.png., {method}: no such polygon"
    with pytest.warns(UserWarning, match=words), pytest.raises(ValueError, match=words):
        DataGenerator(dataset, config())[0]


@pytest.mark.parametrize("broken", [1, 5, 6])
def test_up_to_five_images_in_a_row_may_fail(broken):
    dataset = TinyDataset(*[[1]] * 8)
    load_mask = dataset.load_mask
    dataset.load_mask = lambda image_id: load_mask(image_id) if image_id >= broken else 1 / 0
    generator = DataGenerator(dataset, config(), shuffle=False)
    if broken > 5:
        with pytest.warns(UserWarning), pytest.raises(RuntimeError, match=r"Image 5 .*ZeroDiv"):
            generator[0]
        return
    with pytest.warns(UserWarning) as caught:
        # The places of the broken ones go to the next that is whole.
        assert ids_of(generator[0]) == [broken, max(1, broken)]
    assert len(caught) == broken
    assert "left out of training: Image 0 (tiny/0.png), load_mask" in str(caught[0].message)
    assert ids_of(generator[0])[0] == broken  # and warns no second time


class Consumer(keras.Model):
    """Takes the seven inputs; its loss is one weight."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)


def consumer():
    shapes = {
        "input_image": ((SIZE, SIZE, 3), "float32"),
        "input_image_meta": ((15,), "float32"),
        "input_gt_class_ids": ((3,), "int32"),
        "input_gt_boxes": ((3, 4), "float32"),
        "input_gt_masks": ((4, 5, 3), "bool"),
    }
    inputs = {
        name: keras.Input(shape, dtype=dtype, name=name) for name, (shape, dtype) in shapes.items()
    }
    flat = [keras.layers.Flatten()(keras.ops.cast(tensor, "float32")) for tensor in inputs.values()]
    output = keras.layers.Dense(1)(keras.layers.Concatenate()(flat))
    model = Consumer(inputs, output)
    model.compile(optimizer="sgd", run_eagerly=False)
    return model


@pytest.mark.parametrize("workers", [1, 2])
def test_fit_reads_every_image_once_and_stops_at_an_error(workers):
    class Recorder(DataGenerator):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            seen.append((self.epoch, index, *ids_of(batch)))
            return batch

    seen = []
    dataset = TinyDataset(*[[1]] * 6)
    generator = Recorder(dataset, config(), workers=workers)
    model = consumer()
    model.fit(generator, epochs=2, shuffle=False, verbose=0)
    assert generator.epoch == 2
    orders = [np.random.default_rng([5, p]).permutation(6).tolist() for p in range(2)]
    expected = [(p, i, *orders[p][2 * i : 2 * i + 2]) for p in range(2) for i in range(3)]
    assert set(seen) == set(expected)

    load_mask, loaded = dataset.load_mask, itertools.count()
    dataset.load_mask = lambda image_id: load_mask(image_id) if next(loaded) < 4 else 1 / 0
    generator.epoch = 0
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(Exception, match=r"Image \d \(tiny/\d.png\), load_mask: ZeroDiv"),
    ):
        model.fit(generator, epochs=9, shuffle=False, verbose=0)
    assert isinstance(generator.error, RuntimeError)
    assert isinstance(generator.error.__cause__, ZeroDivisionError)


def test_validation_order_is_the_same_in_each_epoch():
    generator = DataGenerator(TinyDataset(*[[1]] * 5), config(), shuffle=False, steps=2)
    assert [ids_of(generator[i]) for i in range(2)] == [[0, 1], [2, 3]]
    generator.on_epoch_begin()
    generator.on_epoch_end()
    assert [ids_of(generator[i]) for i in range(2)] == [[0, 1], [2, 3]]


def test_augmentation_with_rng_depends_on_the_place_only():
    def noise(image, masks, rng):
        return rng.integers(0, 256, image.shape).astype(image.dtype), masks

    data = TinyDataset(*[[1]] * 4)
    generators = [DataGenerator(data, config(), augmentation=noise) for _ in range(2)]
    forward = [generators[0][i] for i in (0, 1)]
    backward = [generators[1][i] for i in (1, 0)]
    assert_equal_batches(forward[0], backward[1])
    assert_equal_batches(forward[1], backward[0])
    assert not np.array_equal(forward[0][0]["input_image"], forward[1][0]["input_image"])


def test_augmentation_with_its_own_randomness_is_called_in_order_when_seeded():
    data = TinyDataset([1])

    def own(image, masks):
        return image, masks

    assert DataGenerator(data, config(WORKERS=4), augmentation=own).workers == 1
    assert DataGenerator(data, config(WORKERS=4, SEED=None), augmentation=own).workers == 4
    assert DataGenerator(data, config(WORKERS=4)).workers == 4


# ---- buckets


def test_buckets_bring_images_of_two_shapes_into_one_batch():
    class TwoSizes(TinyDataset):
        def load_image(self, image_id):
            return np.full((64, 64 + 64 * image_id, 3), 9, "uint8")

        def load_mask(self, image_id):
            masks = np.zeros((64, 64 + 64 * image_id, 1), bool)
            masks[8:16, 16:32] = True
            return masks, np.array([1])

    keys = {"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MIN_DIM": 64, "USE_MINI_MASK": False}
    data = TwoSizes([1], [1])
    with pytest.raises(ValueError, match="IMAGE_BUCKETS"):
        DataGenerator(data, config(**keys), shuffle=False, batch_size=2)[0]
    keys["IMAGE_BUCKETS"] = [(192, 192), (128, 192)]
    (inputs,) = DataGenerator(data, config(**keys), shuffle=False, batch_size=2)[0]
    assert inputs["input_image"].shape == (2, 128, 192, 3)
    assert inputs["input_image_meta"][:, 4:7].tolist() == [[128, 192, 3]] * 2
    # 9 - (1, 2, 3) in the pictures, black around them.
    for image, width in zip(inputs["input_image"], (64, 128), strict=True):
        assert (image[:64, :width] == [8, 7, 6]).all()
        assert (image[64:] == [-1, -2, -3]).all() and (image[:, width:] == [-1, -2, -3]).all()
    assert inputs["input_gt_boxes"][:, 0].tolist() == [[8, 16, 16, 32]] * 2
    assert inputs["input_gt_masks"].shape[1:3] == (128, 192)
    assert inputs["input_gt_masks"].sum() == 2 * 8 * 16


def test_crops_are_not_padded_to_buckets():
    keys = {"IMAGE_RESIZE_MODE": "crop", "IMAGE_MIN_DIM": 64, "IMAGE_BUCKETS": [(128, 128)]}
    (inputs,) = DataGenerator(TinyDataset([1], [1]), config(**keys), batch_size=2)[0]
    assert inputs["input_image"].shape == (2, 64, 64, 3)


# ---- mode shortest_edge


def test_padding_is_zero_after_molding_in_mode_shortest_edge():
    # (5 - 1) / 2, (5 - 2) / 2, (5 - 3) / 4 in the picture, rows 0 to 2 and columns 0 to 3.
    keys = {"STD_PIXEL": [2.0, 2.0, 4.0], "IMAGE_RESIZE_MODE": "shortest_edge"}
    image = np.full((3, 5, 3), 5, "uint8")
    molded = mold(image, (0, 0, 2, 3), Image.from_config(config(**keys)))
    assert molded.dtype == np.float32
    np.testing.assert_allclose(molded[:2, :3], np.tile([2, 1.5, 0.5], (2, 3, 1)))
    assert not molded[2:].any() and not molded[:, 3:].any()
    assert (image == 5).all()


@pytest.mark.parametrize("mode", ["none", "square", "pad64", "crop"])
def test_padding_is_black_before_molding_in_other_modes(mode):
    # (0 - 1, 0 - 2, 0 - 3), wherever the window ends.
    molded = mold(
        np.zeros((3, 5, 3), "uint8"),
        (0, 0, 2, 3),
        Image.from_config(config(IMAGE_RESIZE_MODE=mode)),
    )
    np.testing.assert_array_equal(molded, np.tile([-1, -2, -3], (3, 5, 1)))


@pytest.mark.parametrize("interpolation", ["constant", "edge", "antialias"])
def test_ground_truth_in_mode_shortest_edge(interpolation):
    # 64 x 64 to 96 x 96, 1.5 times: rows 8 to 16 and columns 16 to 32 become 12 to 24 and 24 to 48.
    keys = {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_INTERPOLATION": interpolation}
    keys |= {"IMAGE_MIN_DIM": 96, "IMAGE_MAX_DIM": 120}
    found = load_image_gt(TinyDataset([1]), config(**keys), 0, use_mini_mask=False)
    image, meta, class_ids, boxes, masks = found
    assert image.shape == (96, 96, 3) and masks.shape == (96, 96, 1)
    assert class_ids.tolist() == [1] and boxes.tolist() == [[12, 24, 24, 48]]
    assert masks.sum() == 12 * 24
    assert meta[4:12].tolist() == [96, 96, 3, 0, 0, 96, 96, 1.5]


def test_ground_truth_has_the_size_of_its_image_not_of_its_scale():
    # 640 * 800 / 480 = 1066.67: "edge" rounds down, `scale` alone would say 1067.
    keys = {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_INTERPOLATION": "edge"}
    keys |= {"IMAGE_MIN_DIM": 800, "IMAGE_MAX_DIM": 1333}

    class Whole(TinyDataset):
        def load_mask(self, image_id):
            return np.ones((*self.size, 1), bool), np.array([1])

    dataset = Whole([1], size=(480, 640))
    image, meta, _, boxes, masks = load_image_gt(dataset, config(**keys), 0, use_mini_mask=False)
    assert image.shape[:2] == masks.shape[:2] == (800, 1088)
    assert meta[7:11].tolist() == [0, 0, 800, 1066] and boxes.tolist() == [[0, 0, 800, 1066]]


def test_augmentation_in_mode_shortest_edge_leaves_the_padding_where_it_is():
    class Corner(TinyDataset):
        def load_mask(self, image_id):
            masks = np.zeros((*self.size, 1), bool)
            masks[:10, :20] = True
            return masks, np.array([1])

    def flip(image, masks):
        assert image.shape[:2] == masks.shape[:2] == (60, 70)
        return image[:, ::-1], masks[:, ::-1]

    keys = {"IMAGE_RESIZE_MODE": "shortest_edge", "IMAGE_MIN_DIM": 60, "IMAGE_MAX_DIM": 96}
    found = load_image_gt(
        Corner([1], size=(60, 70)), config(**keys), 0, augmentation=flip, use_mini_mask=False
    )
    image, meta, _, boxes, masks = found
    # 60 x 70 in 64 x 96; columns 0 to 20 of 70 become 50 to 70.
    assert image.shape[:2] == masks.shape[:2] == (64, 96)
    assert meta[7:11].tolist() == [0, 0, 60, 70] and boxes.tolist() == [[0, 50, 10, 70]]
