"""`Dataset`: images, their classes and instance masks.

Shape legend: H, W size in pixels; N instances of an image; K classes, background included.
"""

import numpy as np

from mrcnn.data.image_loading import check_instances, image_name
from mrcnn.data.panoptic import thing_masks
from mrcnn.image.channels import Channels
from mrcnn.image.masks import extract_bboxes
from mrcnn.settings import Settings

_SET_BY_PREPARE = {
    "num_classes", "class_ids", "class_names", "num_images", "image_ids", "sources",
    "class_from_source_map", "image_from_source_map", "source_class_ids",
}  # fmt: skip


class NotPreparedError(AttributeError, ValueError):
    """A `Dataset` is asked for what only `prepare()` makes."""


class Dataset:
    """Images, their classes and instance masks; subclass it for your data.

    A subclass adds classes and images, and overrides `load_mask` (for pictures that are not
    files also `load_image`). Several sources may be mixed: the classes of each keep their own
    ids, and `"source.id"` strings map them to the ids that the network uses.

    Args:
        class_map: not used; accepted for scripts written for matterport's library.

    Attributes:
        keypoint_scheme: `mrcnn.data.KeypointScheme` of what `load_keypoints` returns, or None:
            there are no keypoints.
        channels: `mrcnn.image.Channels`, or an int: how many channels `load_image` returns, and of
            which files and pages. `read_as` sets it; by default three.
        num_stuff_classes: int, how many of the classes, the last ones, are stuff, such as sky:
            regions without instances.
        proposals: `mrcnn.data.Proposals` of a file, that `load_proposals` looks into, or None.

    Example:

    >>> dataset = Dataset()
    >>> dataset.add_class("pets", 1, "cat")
    >>> dataset.add_image("pets", image_id="felix", path="felix.jpg")
    >>> dataset.prepare()
    >>> dataset.class_names
    ['BG', 'cat']
    """

    channels = Channels()
    keypoint_scheme = None
    num_stuff_classes = 0
    proposals = None

    def __init__(self, class_map=None):
        self.class_info = [{"source": "", "id": 0, "name": "BG"}]
        self.image_info = []

    def __getattr__(self, name):
        if name in _SET_BY_PREPARE:
            raise NotPreparedError(
                f"Expected a prepared data set, but {type(self).__name__}.{name} does not exist "
                "yet. Call prepare() after the last add_class() and add_image()."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def add_class(self, source, class_id, class_name):
        """Adds a class; one that `source` has already is ignored.

        Args:
            source: str without a dot, the name of the data set that the class comes from.
            class_id: int or str, the class's id there; 0 is the background.
            class_name: str.
        """
        if "." in source:
            raise ValueError(f"Expected a source name without a dot, received {source!r}.")
        if all((info["source"], info["id"]) != (source, class_id) for info in self.class_info):
            self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source, image_id, path, **kwargs):
        """Adds an image; `kwargs` are kept in `image_info` for `load_mask`."""
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})

    def prepare(self, class_map=None):
        """Numbers classes and images; call it after the last `add_class` and `add_image`."""
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        self.class_names = [short_name(info["name"]) for info in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = _source_map(self.class_info)
        self.image_from_source_map = self._map_images()
        self.sources = list(dict.fromkeys(info["source"] for info in self.class_info))
        self.source_class_ids = {
            source: [i for i, info in enumerate(self.class_info) if info["source"] in ("", source)]
            for source in self.sources
        }

    def _map_images(self):
        """The id of each image by `"source.id"`."""
        return _source_map(self.image_info)

    @property
    def image_ids(self):
        """int array, the ids of all images: 0 to `num_images` - 1."""
        return self._image_ids

    @property
    def thing_names(self):
        """The names of the classes that have instances, "BG" first: all but those of stuff."""
        return self.class_names[: self.num_classes - self.num_stuff_classes]

    def map_source_class_id(self, source_class_id):
        """Returns the network's id of the class `"source.id"`."""
        return self.class_from_source_map[source_class_id]

    def get_source_class_id(self, class_id, source):
        """Returns the id in `source` of the network's class `class_id`."""
        info = self.class_info[class_id]
        if info["source"] != source:
            raise ValueError(
                f"Expected a class of source {source!r}, received class {class_id} "
                f"({info['name']!r}) of source {info['source']!r}."
            )
        return info["id"]

    def image_reference(self, image_id):
        """Returns a link or a description of the image; override it to have one."""
        return ""

    def source_image_link(self, image_id):
        """Returns the path or URL of the image."""
        return self.image_info[image_id]["path"]

    def check(self, config=None, progress=None):
        """Reads all pictures and masks; returns a `mrcnn.data.checking.Report` of what is wrong.

        Args:
            config: the `Config` that it is to be trained with; by default matterport's.
            progress: function of how many pictures are done, and of how many there are; or None.
        """
        from mrcnn.data.checking import check

        return check(self, config, progress)

    def read_as(self, config):
        """Has `load_image` return the channels that a config asks for; returns the data set.

        Args:
            config: `Config`: IMAGE_CHANNEL_COUNT, IMAGE_CHANNEL_FILES and IMAGE_PAGES.
        """
        self.channels = Channels.of(Settings.from_config(config).image)
        return self

    def load_image(self, image_id):
        """Reads an image file as a viewer shows it; see `mrcnn.image.reading`.

        Returns:
            `[H, W, 3]` RGB, uint8 (float32 for a float file), or of other `channels`; see
            `to_model_image`.

        Raises:
            ValueError: if the file is missing or is no picture.
        """
        name, path = image_name(self, image_id), self.image_info[image_id]["path"]
        if path is None:
            raise ValueError(f"{name}: expected a path, received None. Override load_image().")
        try:
            return Channels.of(self.channels).read(path, name, owner=self)
        except ValueError as e:
            if str(e).startswith(name):
                raise
            raise ValueError(f"{name}: {e}. Correct the path or remove the image.") from e

    def load_mask(self, image_id):
        """Returns the instances of an image; override it, or `load_panoptic`, whose things they
        are.

        Returns:
            masks: bool `[H, W, N]`, one channel an instance, of the image's size.
            class_ids: int `[N]`, 1 to K - 1; negative for a crowd of that class.
        """
        found = self.load_panoptic(image_id)
        if found is not None:
            return thing_masks(*found)
        return np.zeros((0, 0, 0), bool), np.zeros(0, np.int32)

    def load_panoptic(self, image_id):
        """Returns the segments of an image, things and stuff; None where there are none.

        Override it for Panoptic FPN, Semantic FPN and MaX-DeepLab, and set `num_stuff_classes`.

        Returns:
            ids: int `[H, W]`, the id of the segment of each pixel; 0 where nothing is known.
            segments: list of dicts: `id` above 0, `class_id`, `is_thing`, and `is_crowd`, by
            default False: many things as one, which no score counts.
        """
        return None

    def load_boxes(self, image_id, image_shape):
        """Returns the boxes of an image, for networks without masks (`USE_MASK = False`).

        By default those of `load_mask`; override it where boxes are known without masks.

        Args:
            image_id: int.
            image_shape: (H, W, ...) of the image, which the annotations must fit.

        Returns:
            boxes: int `[N, 4]`, y1 x1 y2 x2 in pixels of the image, half-open.
            class_ids: int `[N]`, as of `load_mask`.
        """
        instances = check_instances(self.load_mask(image_id), image_shape, self.num_classes)
        return extract_bboxes(instances[0]), instances[1]

    def load_keypoints(self, image_id):
        """Returns the keypoints of an image; override it, and set `keypoint_scheme`.

        Returns:
            float `[N, K, 3]`, y x in pixels and visibility of the instances in the order of
            `load_mask`, see `mrcnn.data.keypoints`; None where an image has none.
        """
        return None

    def load_proposals(self, image_id):
        """Returns the proposals of an image, for networks that are given some
        (`USE_RPN_ROIS = False`); override it, or set `proposals`.

        Returns:
            float `[N, 4]`, y1 x1 y2 x2 in pixels of the image, the best first; None where there
            are none known.
        """
        if self.proposals is None:
            return None
        info = self.image_info[image_id]
        return self.proposals.of(info["id"], info.get("path"))

    def image_class_ids(self, image_id):
        """Returns the class ids of an image's instances, int `[N]`.

        Override it where they are known without masks: `REPEAT_FACTOR_THRESHOLD` asks for all.
        """
        return np.asarray(self.load_mask(image_id)[1], int)


def short_name(name):
    """The name of a class in `class_names`: ImageNet, for example, has "tench, Tinca tinca"."""
    return name.split(",")[0].strip()


def _source_map(infos):
    return {f"{info['source']}.{info['id']}": i for i, info in enumerate(infos)}
