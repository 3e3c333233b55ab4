"""Find balloons in photos, and leave the colour in them only: matterport's example.

    python samples/balloon/balloon.py train --dataset DIR --weights coco
    python samples/balloon/balloon.py splash --weights last --image FILE
    python samples/balloon/balloon.py splash --weights last --video FILE

DIR holds `train` and `val`, each with photos and a `via_region_data.json` of the VGG Image
Annotator; https://github.com/matterport/Mask_RCNN/releases has one as balloon_dataset.zip.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import draw as shapes

ROOT_DIR = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT_DIR))  # lets the script run from a clone without installation

from mrcnn.config import Config  # noqa: E402
from mrcnn.data import Dataset  # noqa: E402

DEFAULT_LOGS_DIR = ROOT_DIR / "logs"
ANNOTATIONS = "via_region_data.json"


class BalloonConfig(Config):
    """Training; detection takes one picture at a time."""

    NAME = "balloon"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 1  # background + balloon
    STEPS_PER_EPOCH = 100
    DETECTION_MIN_CONFIDENCE = 0.9


def read_via(path):
    """Reads the annotated images of a file of the VGG Image Annotator, 1.x, 2.x or a project.

    Args:
        path: the file.

    Returns:
        list of (file name, list of regions). A region is VIA's `shape_attributes`.

    Raises:
        ValueError: names the file, and the image where one is at fault.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, {error}. Export the annotations anew") from None
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    entries = list(content.values()) if isinstance(content, dict) else [None]
    images = []
    for entry in entries:
        if not isinstance(entry, dict) or "filename" not in entry or "regions" not in entry:
            raise ValueError(
                f"{path}: expected images with 'filename' and 'regions'. "
                "In VIA choose Annotation > Export Annotations (as json), not CSV or COCO"
            )
        regions = entry["regions"]
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        try:
            images.append((entry["filename"], [region["shape_attributes"] for region in regions]))
        except (KeyError, TypeError):
            raise ValueError(
                f"{path}, {entry['filename']}: expected regions with 'shape_attributes', "
                f"got {str(regions)[:80]}"
            ) from None
    return images


def region_pixels(region, image_shape):
    """Returns the rows and columns of the pixels in a VIA region, cut at the image's border.

    Args:
        region: VIA's `shape_attributes`: a polygon, polyline (taken as closed), rect, circle or
            ellipse.
        image_shape: height and width.

    Raises:
        ValueError: another shape, or one without its numbers.
    """
    kind = region.get("name")
    try:
        if kind in ("polygon", "polyline"):
            ys, xs = region["all_points_y"], region["all_points_x"]
            if len(ys) != len(xs) or len(xs) < 3:
                raise ValueError(f"{len(xs)} x and {len(ys)} y; expected as many, at least three")
            return shapes.polygon(ys, xs, image_shape)
        if kind == "rect":
            corner, size = (region["y"], region["x"]), (region["height"], region["width"])
            return shapes.rectangle(corner, extent=size, shape=image_shape)
        if kind == "circle":
            return shapes.disk((region["cy"], region["cx"]), region["r"], shape=image_shape)
        if kind == "ellipse":
            # VIA turns clockwise, scikit-image the other way.
            center, radii = (region["cy"], region["cx"]), (region["ry"], region["rx"])
            return shapes.ellipse(*center, *radii, image_shape, -region.get("theta", 0))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a {kind} that cannot be drawn: {error!r}") from None
    raise ValueError(f"shape {kind!r}; expected polygon, polyline, rect, circle or ellipse")


class BalloonDataset(Dataset):
    """Photos with the outlines of balloons."""

    def load_balloon(self, dataset_dir, subset):
        """Adds the annotated photos of a subset.

        Args:
            dataset_dir: the folder that holds the subsets' folders.
            subset: "train" or "val".
        """
        if subset not in ("train", "val"):
            raise ValueError(f"subset is {subset!r}; expected 'train' or 'val'")
        folder = Path(dataset_dir) / subset
        if not (folder / ANNOTATIONS).is_file():
            raise ValueError(f"Expected the annotations in {folder / ANNOTATIONS}: no such file")
        self.add_class("balloon", 1, "balloon")
        images = read_via(folder / ANNOTATIONS)
        for name, regions in images:
            if not regions:
                continue
            with Image.open(folder / name) as photo:  # VIA does not say the size
                width, height = photo.size
            self.add_image(
                "balloon",
                image_id=name,
                path=str(folder / name),
                width=width,
                height=height,
                polygons=regions,
            )

    def load_mask(self, image_id):
        """Returns masks [H, W, N] bool and class ids [N]."""
        info = self.image_info[image_id]
        if info["source"] != "balloon":
            return super().load_mask(image_id)
        masks = np.zeros((info["height"], info["width"], len(info["polygons"])), bool)
        for i, region in enumerate(info["polygons"]):
            rows, columns = region_pixels(region, masks.shape[:2])
            masks[rows, columns, i] = True
        return masks, np.ones(masks.shape[-1], np.int32)

    def image_reference(self, image_id):
        """Returns the path of the photo."""
        info = self.image_info[image_id]
        return info["path"] if info["source"] == "balloon" else super().image_reference(image_id)
