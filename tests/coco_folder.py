"""A folder in COCO's layout with three pictures of 4 x 3, for tests."""

import json

import numpy as np
from skimage.io import imsave

# COCO numbers classes with gaps, and lists them and images in any order.
CATEGORIES = [
    {"id": 90, "name": "toothbrush"},
    {"id": 1, "name": "person"},
    {"id": 3, "name": "car"},
]
# 4 x 3, column by column: 1 off, 2 on, 9 off: rows 1 and 2 of column 0.
PERSON = {"size": [4, 3], "counts": [1, 2, 9]}
# A rectangle from x 1 to 3 and y 0 to 2: rows 0 and 1 of columns 1 and 2.
CAR = [[1, 0, 3, 0, 3, 2, 1, 2]]


def annotation(number, image_id, category_id, segmentation, bbox, **facts):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "bbox": bbox,
        "area": bbox[2] * bbox[3],
        "iscrowd": 0,
        **facts,
    }


# Image 7 has a person and a car, image 3 a crowd of cars and a toothbrush, image 5 nothing.
ANNOTATIONS = [
    annotation(0, 7, 1, PERSON, [0, 1, 1, 2]),
    annotation(1, 7, 3, CAR, [1, 0, 2, 2]),
    annotation(2, 3, 3, {"size": [2, 2], "counts": [0, 4]}, [0, 0, 2, 2], iscrowd=1),
    annotation(3, 3, 90, CAR, [1, 0, 2, 2]),
]


def truth(image_ids=(7, 3, 5), annotations=ANNOTATIONS):
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 4, "width": 3} for i in image_ids],
        "annotations": [each for each in annotations if each["image_id"] in image_ids],
        "categories": CATEGORIES,
    }


def write_annotations(folder, subset, content):
    path = folder / "annotations" / f"instances_{subset}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def write_images(folder, name, image_ids=(7, 3, 5)):
    (folder / name).mkdir(parents=True)
    for i in image_ids:
        imsave(folder / name / f"{i}.png", np.full((4, 3, 3), i, np.uint8), check_contrast=False)


def write_coco(folder, subset="val2017", content=None):
    write_annotations(folder, subset, content or truth())
    write_images(folder, subset)
    return folder
