"""`VocDataset`: Pascal VOC's XML files and pictures of instances."""

import os

from mrcnn.data.annotations.annotated import AnnotatedDataset
from mrcnn.data.annotations.files import annotated_size
from mrcnn.data.annotations.instances import Picture
from mrcnn.data.annotations.xml_files import read_xml
from mrcnn.data.formats.voc.layout import find_places, picture_of, stems_of, xml_of
from mrcnn.data.formats.voc.objects import read_objects
from mrcnn.data.formats.voc.pixels import class_map, segmented


class VocDataset(AnnotatedDataset):
    """Pictures with XML files of Pascal VOC, and with its pictures of instances where there are.

    An instance of `SegmentationObject` has a mask; an object of an XML file alone is a box without
    an outline, or the polygon that some tools write beside it. Void pixels, 255, belong to nothing.
    What an XML file says of an object (`difficult`, `truncated`, ...) is in its `extra`.

    Example:

    >>> dataset = VocDataset()
    >>> dataset.load("VOCdevkit/VOC2012", subset="train")
    >>> dataset.prepare()
    """

    source = "voc"

    @classmethod
    def find(cls, path):
        """An XML file; a folder of `Annotations` or `SegmentationObject`, or one level above it; or
        XML files beside the pictures, also in folders of subsets.

        The subsets are the lists of `ImageSets/Segmentation` where there are pictures of
        instances, else those of `ImageSets/Main`.
        """
        return find_places(path)

    def read(self, found, notes, images=None, one_based=True):
        """Reads XML files and pictures of instances.

        Args:
            found: list of `mrcnn.data.formats.voc.layout.Place`.
            notes: `Notes`.
            images: folder of the pictures; by default `JPEGImages` or `images`, or beside the XML.
            one_based: bool, whether the first pixel is 1 and `xmax` the last one of a box, as VOC
                has it: it reaches from `xmin - 1` to `xmax`. False: from `xmin` to `xmax`, as
                tools write that count from 0. The same goes for the points of polygons.
        """
        pictures = []
        for place in found:
            classes = class_map(place.root) if place.root else None
            for stem in stems_of(place, notes):
                with notes.entry():
                    picture = _picture(place, stem, images, one_based, classes, notes)
                    pictures += [picture] if picture else []
        return None, pictures


def _picture(place, stem, images, one_based, classes, notes):
    xml = xml_of(place, stem)
    masks = place.root and place.root / "SegmentationObject" / f"{stem}.png"
    masks = masks if masks and os.path.isfile(masks) else None
    if xml is None and masks is None:
        what = "pictures that a list names, but nothing annotates, are left out"
        notes.leave_out(what, f"{stem} of {place.listed}")
        return None
    root = None if xml is None else read_xml(xml)
    if root is not None and root.tag != "annotation":
        raise ValueError(f"{xml}: expected <annotation> of Pascal VOC, received <{root.tag}>")
    name = None if root is None else (root.findtext("filename") or "").strip()
    path, size = picture_of(place, stem, name, images, str(xml or masks))
    objects = None
    if root is not None:
        sides = (root.findtext(f"size/{side}") for side in ("height", "width"))
        size = annotated_size(*sides, size)
        objects = read_objects(root, size, one_based, str(xml), notes)
    if masks:
        objects = segmented(place, stem, objects, size, classes, notes)
    return Picture(stem, str(path), *size, objects, entry=str(xml or masks))
