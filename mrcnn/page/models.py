"""A model as the page needs it.

Shapes: H W of a picture, n instances.
"""

import contextlib
import threading

import numpy as np

from mrcnn.data.class_names import class_name
from mrcnn.image.channels import Channels
from mrcnn.image.cropped_masks import CroppedMasks
from mrcnn.image.reading import image_size
from mrcnn.inference.images import read_images
from mrcnn.inference.stages import Inspector
from mrcnn.page.errors import PageError

SURE = 0.5  # where the least score begins, unless the model's own is higher


class PageModel:
    """One of the models of the page; visitors take turns with its network.

    Args:
        model: a `DetectionModel`, or a `mrcnn.export.ExportedModel`, in which nothing but the
            result can be seen. It returns all that the page may show: its least score is low.
        name: str, what the page calls it.
        least_score: float, `DETECTION_MIN_CONFIDENCE` as its config had it.

    Attributes:
        stages: list of str, the fields of `mrcnn.inference.stages.Stages` that it has.
    """

    def __init__(self, model, name, least_score=0.0):
        self.model, self.name = model, name
        self.first_score = max(SURE, least_score or 0.0)
        self._inspector = Inspector(model) if hasattr(model, "graphs") else None
        self.stages = self._inspector.available if self._inspector else []
        self._turn = threading.Lock()

    @property
    def names(self):
        """List of str, the names of all classes by id, the background first."""
        names = self.model.class_names
        count = max(self.model.config.NUM_CLASSES, len(names or ()))
        return ["BG", *(class_name(i, names) for i in range(1, count))]

    @property
    def things(self):
        """List of str, the classes of which there are instances."""
        stuff = self.model.config.NUM_STUFF_CLASSES if self.finds_segments else 0
        return self.names[1 : len(self.names) - stuff]

    @property
    def finds_instances(self):
        return self.model.finds_instances

    @property
    def finds_segments(self):
        return self.model.finds_segments

    @property
    def has_masks(self):
        return bool(self.model.config.USE_MASK) and self.finds_instances

    @property
    def facts(self):
        """str, what the page says of the model."""
        config = self.model.config
        kind = "exported file" if self._inspector is None else config.ARCHITECTURE
        names = ", ".join(self.names[1:6]) + (", …" if len(self.names) > 6 else "")
        return f"{kind}, {len(self.names) - 1} classes ({names})"

    def read(self, path, max_pixels):
        """The picture of a file, as the model takes it.

        Args:
            path: of the file.
            max_pixels: int, height times width that it has at most.

        Raises:
            PageError: it cannot be read, or is larger.
        """
        settings = self.model.settings
        owner = getattr(self.model, "detector", self.model)
        with _refused():
            height, width = image_size(path)
            if height * width > max_pixels:
                raise PageError(
                    f"expected at most {max_pixels} pixels, received {height} x {width}; make the "
                    "picture smaller, or start the page with a larger --max-pixels"
                )
            channels, tile = Channels.of(settings.image), settings.tiles.size
            return next(read_images([path], owner, channels, tile))

    def detect(self, image):
        """What the network finds: `Detections` whose masks are `CroppedMasks`.

        Raises:
            PageError: an image that it cannot take.
        """
        with self._turn, _refused():
            (found,) = self.model.detect([image])
        return with_cropped_masks(found)

    def warm_up(self):
        """Looks at an empty picture, so that no visitor waits for a graph."""
        self.detect(np.zeros((64, 64, self.model.settings.image.channels), np.uint8))

    def look(self, image):
        """What the stages say, see `mrcnn.inference.stages.Inspector.look`.

        Raises:
            PageError: nothing can be seen of this model, or of so large a picture.
        """
        if self._inspector is None:
            raise PageError(
                f"{self.name} is an exported file, whose stages cannot be seen: open the weights "
                "that it was made of"
            )
        size = self.model.settings.tiles.size
        if size is not None and max(np.shape(image)[:2]) > size:
            raise PageError(
                f"the model looks at tiles of {size} pixels (TILE_SIZE), and the picture is "
                f"larger: crop it to {size} x {size} to see the stages"
            )
        with self._turn, _refused():
            return self._inspector.look(np.asarray(image))


@contextlib.contextmanager
def _refused():
    """Says on the page what a model says of a picture that it cannot take."""
    try:
        yield
    except ValueError as error:
        raise PageError(str(error).removeprefix("images[0]: ")) from error


def with_cropped_masks(found):
    """`Detections` with each mask kept inside its box, which takes less memory."""
    masks = found.get("masks")
    if masks is not None and not isinstance(masks, CroppedMasks):
        found = found.copy()
        found["masks"] = CroppedMasks.of(np.moveaxis(masks, -1, 0), *masks.shape[:2])
    return found
