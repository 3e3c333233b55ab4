"""A picture's detections as a row of a Parquet file, and back.

| column | type | what |
| --- | --- | --- |
| `path` | string | of the picture, absolute, or its URL |
| `page` | int32 | of a file of several pages or frames, from 1 on; else null |
| `height`, `width` | int32 | in pixels |
| `error` | string | why nothing could be detected; else null. Then all that follows is null, and the size |
| `boxes` | list of [y1, x1, y2, x2], float32 | pixels |
| `class_ids` | list of int32 | from 1 on |
| `class_names` | list of string | |
| `scores` | list of float32 | the best first |
| `masks` | list of string | COCO's compressed run-length codes, whose `size` is height and width; null of a model without masks |
| `keypoints` | list of lists of float32 | y x score of each point; null of a model without keypoints |

The lists of a row are of one length. The file's metadata has, under `mrcnn`, JSON with
`class_names`, a list by class id, and `keypoints`, what COCO's categories say of them, or null.
"""  # noqa: E501

import io
import json

from mrcnn.data.class_names import class_name
from mrcnn.data.keypoints import to_coco
from mrcnn.distribute.packages import import_pyarrow
from mrcnn.evaluate.annotations import coco_results

METADATA = b"mrcnn"


def schema(class_names=None, keypoint_scheme=None):
    """The `pyarrow.Schema` of a file.

    Args:
        class_names: list by class id, or None.
        keypoint_scheme: `mrcnn.data.KeypointScheme`, or None.
    """
    pa = import_pyarrow()
    number, text = pa.float32(), pa.string()
    points = None if keypoint_scheme is None else keypoint_scheme.to_coco()
    content = {"class_names": class_names, "keypoints": points}
    return pa.schema(
        {
            "path": text,
            "page": pa.int32(),
            "height": pa.int32(),
            "width": pa.int32(),
            "error": text,
            "boxes": pa.list_(pa.list_(number)),
            "class_ids": pa.list_(pa.int32()),
            "class_names": pa.list_(text),
            "scores": pa.list_(number),
            "masks": pa.list_(text),
            "keypoints": pa.list_(pa.list_(number)),
        },
        metadata={METADATA: json.dumps(content).encode()},
    )


def found_row(path, page, found):
    """The row of a picture.

    Args:
        path: str.
        page: int, or None.
        found: `mrcnn.inference.Detections`.

    Returns:
        dict by column; what is missing is null.
    """
    height, width = found.image.shape[:2]
    row = {"path": path, "page": page, "height": height, "width": width}
    row |= {
        "boxes": found.get("boxes", found["rois"]).astype("float32").tolist(),
        "class_ids": found["class_ids"].tolist(),
        "class_names": [class_name(each, found.class_names) for each in found["class_ids"]],
        "scores": found["scores"].tolist(),
    }
    if "masks" in found:
        row["masks"] = [each["segmentation"]["counts"] for each in coco_results(0, found)]
    if "keypoints" in found:
        points = found["keypoints"]
        row["keypoints"] = points.reshape(len(points), -1).tolist()
    return row


def error_row(path, page, error):
    """The row of a picture in which nothing could be detected, dict by column."""
    return {"path": path, "page": page, "error": str(error)}


def table_bytes(tables):
    """Tables, one after another, as the bytes of a Parquet file."""
    pa, file = import_pyarrow(), io.BytesIO()
    # The lists of one picture belong together: many to a group, for readers of whole groups.
    pa.parquet.write_table(pa.concat_tables(tables), file, compression="zstd")
    return file.getvalue()


def annotations_of(row):
    """The instances of a row as COCO results, list of dicts without `image_id`."""
    size, found = [row["height"], row["width"]], []
    for i, (y1, x1, y2, x2) in enumerate(row["boxes"] or ()):
        each = {"category_id": row["class_ids"][i], "score": row["scores"][i]}
        each["bbox"] = [x1, y1, x2 - x1, y2 - y1]
        if row["masks"] is not None:
            each["segmentation"] = {"size": size, "counts": row["masks"][i]}
        if row["keypoints"] is not None:
            points = row["keypoints"][i]
            each["keypoints"] = to_coco([points[k : k + 3] for k in range(0, len(points), 3)])
        found.append(each)
    return found
