"""What one visitor has open."""

import dataclasses
import itertools
import tempfile
from pathlib import Path

import numpy as np

from mrcnn.page import correcting
from mrcnn.page.clips import Clip
from mrcnn.page.collecting import Kept, write_files
from mrcnn.page.errors import PageError


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a visitor may bring.

    Args:
        pixels: int, height times width of a picture or frame.
        frames: int, of a video that are looked at.
        kept: int, pictures of a collection.
    """

    pixels: int = 2**25
    frames: int = 300
    kept: int = 500


class Session:
    """The picture of a visitor with all that was computed of it, each once.

    Attributes:
        name: str, the file's name of the picture, None before there is one.
        path: str, its file; None of a sample and of a frame.
        image: the picture as the first model takes it.
        found: `Detections` of the first model as they were found.
        corrected: the same as a person left them.
        clip: `Clip` of a video, or None.
        kept: list of `Kept`.
    """

    def __init__(self):
        self.name = self.path = self.image = self.found = self.corrected = self.clip = None
        self.kept = []
        self._others, self._stages = {}, {}

    def open(self, model, image, name, path=None):
        """Shows another picture.

        Args:
            model: `mrcnn.page.models.PageModel`, which looks at it.
            image: array as it takes it.
            name: str, the file's name.
            path: str, of the file, or None.

        Raises:
            PageError: an image that it cannot take.
        """
        found = model.detect(image)
        self.clip = None
        self._take(found, name, path)

    def open_clip(self, model, path, limits):
        """Opens a video, and yields (frames that are done, frames in all); shows its first frame.

        Raises:
            PageError: it cannot be read, or is too large.
        """
        clip = Clip(path, limits.frames, limits.pixels)
        for done in clip.detect(model):
            yield done, clip.expected
        self.clip = clip
        self.show_frame(0)

    def show_frame(self, index):
        """Shows a frame of the video."""
        self._take(
            self.clip.frame(index), f"{self.clip.name}_f{index * self.clip.step + 1:06d}.png"
        )

    def _take(self, found, name, path=None):
        self.image, self.name, self.path = found.image, name, path
        self.found = self.corrected = found
        self._others, self._stages = {}, {}

    def found_by(self, model, limits):
        """What another model finds in the same picture, computed once.

        Args:
            model: `PageModel`; it reads the file as it takes it, which may be other channels.
            limits: `Limits`.
        """
        if model not in self._others:
            image = self.image if self.path is None else model.read(self.path, limits.pixels)
            self._others[model] = model.detect(image)
        return self._others[model]

    def has_found(self, model):
        """Whether another model has looked at the picture."""
        return model in self._others

    @property
    def looked(self):
        """Whether the stages of the picture were looked at."""
        return bool(self._stages)

    def stages(self, model):
        """What the stages of a model say of the picture, computed once."""
        if model not in self._stages:
            self._stages[model] = model.look(self.image)
        return self._stages[model]

    def correct(self, change, *arguments):
        """Applies a function of `mrcnn.page.correcting` to the result."""
        self.corrected = change(self.corrected, *arguments)

    def paint(self, index, class_id, layers):
        """Takes what was painted: of an instance its mask and class, of None a new instance.

        Raises:
            PageError: nothing was painted for a new one, or nothing is left.
        """
        found = self.corrected
        canvas, before = self.canvas(index)
        mask = canvas.mask(np.shape(self.image), layers, before)
        if index is None:
            self.correct(correcting.add, mask, class_id)
            return
        if before is None and not mask.any():
            mask = None  # a box that was not painted on stays
        if mask is not None and (before is None or not np.array_equal(mask, before)):
            self.correct(correcting.set_mask, index, mask)
        if class_id != found["class_ids"][index]:
            self.correct(correcting.set_class, index, class_id)

    def canvas(self, index):
        """The `correcting.Canvas` of an instance, or of None, and its mask bool [H, W] or None."""
        found = self.corrected
        if index is None:
            return correcting.Canvas.around(np.shape(self.image)), None
        canvas = correcting.Canvas.around(np.shape(self.image), found["rois"][index])
        return canvas, found["masks"][:, :, index] if "masks" in found else None

    def keep(self, chosen, limits):
        """Puts the picture into the collection, in place of what was kept of it before.

        Args:
            chosen: int, indices of the instances that are right; those without a pixel are left
                out.
            limits: `Limits`.

        Raises:
            PageError: there is no picture, or there are enough.
        """
        if self.corrected is None:
            raise PageError("expected a picture, received none; drop one, or choose a sample")
        others = [each for each in self.kept if (each.name, each.path) != (self.name, self.path)]
        if len(others) >= limits.kept:
            raise PageError(
                f"expected at most {limits.kept} pictures, received one more; download these, and "
                "load the page again"
            )
        found = self.corrected[chosen]
        if "masks" in found:
            found = found[found["masks"].areas() > 0]  # no annotation can hold the others
        self.kept = [*others, Kept(self.name, self.path, found)]

    def write(self, things, kind):
        """Writes the collection: paths of the annotations and of the ZIP, see `write_files`."""
        folder = Path(tempfile.mkdtemp())
        numbers = (folder / f"corrected_{i}" for i in itertools.count(1))
        return write_files(self.kept, things, next(numbers), kind)
