"""Detection in any number of pictures, one batch after another; one that is broken stops nothing.

`streams` writes what is found into a folder of pictures, `mrcnn.distribute` into a table.
"""

from mrcnn.image.channels import PageRegions
from mrcnn.image.pixels import to_model_image
from mrcnn.image.regions import ModelRegions, TiffRegions


class PictureDetector:
    """Detects in pictures, in the memory of one batch.

    Args:
        model: a `DetectionModel`.
        proposals: `mrcnn.data.Proposals` of the pictures, or None.
        progress: function of a text, called within a picture detected in by tiles, or None.

    Example:

    >>> for picture, found in PictureDetector(model).over(pictures):  # doctest: +SKIP
    ...     print(picture.name, found)
    """

    def __init__(self, model, proposals=None, progress=None):
        self.model, self.proposals, self.progress = model, proposals, progress
        self.tile_size = model.settings.tiles.size

    def over(self, pictures):
        """Yields (picture, `Detections`) of each, or (picture, ValueError) that says what is wrong.

        A picture that cannot be read may come before others of its batch.

        Args:
            pictures: iterable of `mrcnn.inference.inputs.Picture`.
        """
        size, batch = self.model.settings.runtime.batch_size, []
        for picture in pictures:
            try:
                image = self._image(picture)
            except ValueError as error:
                yield picture, error
                continue
            large = self.tile_size is not None and max(image.shape[:2]) > self.tile_size
            if batch and (large or len(batch) == size):  # a large picture is by itself
                yield from self._detect(batch)
                batch = []
            batch.append((picture, image))
            if large:
                yield from self._detect(batch)
                batch = []
        if batch:
            yield from self._detect(batch)

    def _image(self, picture):
        """The pixels of a picture as the model takes them."""
        page = "" if picture.page is None else f", page {picture.page}"
        options = self.model.settings.image.channels, f"{picture.source.path}{page}", self
        image = picture.load()
        if isinstance(image, (TiffRegions, PageRegions)):
            return ModelRegions(image, *options)
        return to_model_image(image, *options)

    def _detect(self, batch):
        """Yields what was found in a batch; if one cannot be used, the others are one by one."""
        images, options = [image for _, image in batch], {}
        if self.tile_size is not None and self.progress is not None:
            name = batch[0][0].name
            options["progress"] = lambda done, count: self.progress(
                f"{name}: tile {done} of {count}"
            )
        try:
            if self.proposals is not None:
                pictures = [picture for picture, _ in batch]
                options["proposals"] = [self.proposals.of(x.name, x.source.path) for x in pictures]
            results = self.model.detect(images, **options)
        except ValueError as error:
            if len(batch) == 1:
                yield batch[0][0], error
                return
            for one in batch:
                yield from self._detect([one])
        else:
            yield from zip((picture for picture, _ in batch), results, strict=True)
