"""`CocoDataset`: COCO, or any data annotated in its format, as a `Dataset`."""

import os
import warnings

import numpy as np
from pycocotools import mask as mask_utils

from mrcnn.data.dataset import Dataset
from mrcnn.data.formats import coco_download as coco_files
from mrcnn.data.formats.coco_annotations import read_annotations, to_id
from mrcnn.data.formats.outlines import to_code
from mrcnn.image.pixels import is_first


class CocoDataset(Dataset):
    """Images with COCO's annotations: polygons or run-length codes, crowds among them.

    COCO numbers its 80 classes with gaps; here they are 1 to 80 in the same order.

    Example:

    >>> dataset = CocoDataset()
    >>> dataset.load_coco("coco", "val", year=2017)
    >>> dataset.prepare()
    """

    def load_coco(
        self,
        dataset_dir,
        subset,
        year="2014",
        class_ids=None,
        class_map=None,
        return_coco=False,
        auto_download=False,
    ):
        """Adds the classes and images of a subset, images in the order of their ids.

        Args:
            dataset_dir: folder of `<subset><year>/` and of
                `annotations/instances_<subset><year>.json`.
            subset: "train", "val", of 2014 also "minival" and "valminusminival"; or your own.
            year: str or int.
            class_ids: list of COCO's ids of classes: only these, in this order, and only images
                that have one. By default all classes and all images, also those without objects.
            class_map: not used; accepted for scripts written for matterport's library.
            return_coco: bool, whether to return the annotations.
            auto_download: bool, whether to fetch what is missing; see `auto_download`.

        Returns:
            `pycocotools.coco.COCO` with `return_coco`, otherwise None.

        Raises:
            ValueError: a file or folder is missing, or the annotations cannot be used.
        """
        if auto_download:
            self.auto_download(dataset_dir, subset, year)
        image_dir = coco_files.image_folder(dataset_dir, subset, year)
        coco = _read_annotations(dataset_dir, subset, year, image_dir)
        everything = class_ids is None or not len(class_ids)
        chosen = _in_order(coco.cats) if everything else _known_classes(coco, class_ids)
        if not os.path.isdir(image_dir):
            raise ValueError(_missing("pictures in the folder", image_dir, subset, year))
        for class_id in chosen:
            self.add_class("coco", class_id, coco.cats[class_id]["name"])
        for image_id in _in_order(coco.imgs):
            info = coco.imgs[image_id]
            annotations = [
                a for a in coco.imgToAnns.get(image_id, []) if a["category_id"] in chosen
            ]
            if annotations or everything:
                self.add_image(
                    "coco",
                    image_id,
                    os.path.join(image_dir, info["file_name"]),
                    width=info["width"],
                    height=info["height"],
                    annotations=annotations,
                )
        return coco if return_coco else None

    def auto_download(self, dataDir, dataType, dataYear):
        """Fetches the pictures and annotations of a subset from COCO's server where they lack.

        Args:
            dataDir: str, as `dataset_dir` of `load_coco`; made if there is none.
            dataType: "train", "val", "minival" or "valminusminival".
            dataYear: 2014 or 2017; 2014 only for the last two.

        Raises:
            ValueError, OSError: as `mrcnn.data.formats.coco_download.fetch_subset`.
        """
        coco_files.fetch_subset(dataDir, dataType, dataYear)

    def load_mask(self, image_id):
        """Returns masks bool [H, W, N] and class ids int32 [N], negative for a crowd.

        A crowd whose code has another size than the image covers all of it. An object without a
        pixel is left out; the first one of the data set warns.
        """
        info = self.image_info[image_id]
        if info["source"] != "coco":
            return super().load_mask(image_id)
        size = [info["height"], info["width"]]
        codes, class_ids = [], []
        for annotation in info["annotations"]:
            class_id = self.map_source_class_id(f"coco.{annotation['category_id']}")
            code, crowd = self.annToRLE(annotation, *size), annotation.get("iscrowd", 0)
            if list(code["size"]) != size:
                if not crowd:
                    raise ValueError(
                        f"Image {info['id']}, annotation {annotation.get('id')}: expected a mask "
                        f"of the image's size {size}, received {list(code['size'])}. Correct the "
                        "annotation."
                    )
                code = mask_utils.encode(np.ones(size, np.uint8, order="F"))
            if mask_utils.area(code):
                codes.append(code)
                class_ids.append(-class_id if crowd else class_id)
            elif is_first(self, "vanished"):
                warnings.warn(
                    f"image {info['id']}, annotation {annotation['id']}: the outline covers no "
                    "pixel, and is left out; others like it are left out without a word",
                    stacklevel=2,
                )
        masks = mask_utils.decode(codes) if codes else np.zeros((*size, 0), np.uint8)
        return masks.view(bool), np.array(class_ids, np.int32)

    def image_reference(self, image_id):
        """Returns the link of an image in COCO's explorer."""
        info = self.image_info[image_id]
        if info["source"] != "coco":
            return super().image_reference(image_id)
        return f"http://cocodataset.org/#explore?id={info['id']}"

    def annToRLE(self, ann, height, width):
        """Returns the run-length code of an annotation.

        Args:
            ann: dict with `segmentation`: list of polygons [x, y, x, y, ...], the parts of one
                object; or a code, `counts` as a list or compressed.
            height, width: of the image; a code brings its own.
        """
        name = f"Annotation {ann.get('id')} of image {ann.get('image_id')}"
        return to_code(ann["segmentation"], height, width, name)

    def annToMask(self, ann, height, width):
        """Returns the mask of an annotation, uint8 [H, W]; the arguments are `annToRLE`'s."""
        return mask_utils.decode(self.annToRLE(ann, height, width))


def _read_annotations(dataset_dir, subset, year, image_dir):
    path = coco_files.annotation_file(dataset_dir, subset, year)
    if not os.path.isfile(path):
        raise ValueError(_missing("annotations in the file", path, subset, year))
    return read_annotations(path, image_dir)


def _in_order(ids):
    """Numbers first, then texts."""
    return sorted(ids, key=lambda value: (isinstance(value, str), value))


def _missing(what, path, subset, year):
    return (
        f"Expected COCO's {what} {path}, but it does not exist (subset {subset!r}, year {year}; "
        f"COCO has {', '.join(coco_files.SUBSETS)}, the last two of 2014, and the years "
        f"{', '.join(coco_files.YEARS)}). Correct them or dataset_dir, or download the subset: "
        "load_coco(..., auto_download=True), on the command line --download."
    )


def _known_classes(coco, class_ids):
    class_ids = [to_id(class_id, "class_ids") for class_id in class_ids]
    unknown = [class_id for class_id in class_ids if class_id not in coco.cats]
    if unknown:
        raise ValueError(
            f"Expected class_ids of {_in_order(coco.cats)}, received {unknown}. They are COCO's "
            "own ids; coco.cats has their names."
        )
    return class_ids
