"""Draws the pictures of docs/config.md: `python docs/pictures.py [--output FOLDER]`.

What is drawn is computed by the package's own functions, on photos that come with scikit-image and
on shapes painted here. Seeds are fixed: the same versions of the packages give the same files.

Boxes are `y1 x1 y2 x2` in pixels, half-open.
"""

import argparse
import io
import pathlib

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image
from skimage import data

from mrcnn.config import Config
from mrcnn.data.shapes import ShapesDataset
from mrcnn.image.boxes import compute_iou, non_max_suppression
from mrcnn.image.masks import extract_bboxes, minimize_mask
from mrcnn.image.pasting import expand_mask
from mrcnn.image.resizing import resize_image
from mrcnn.ops.anchors import generate_pyramid_anchors
from mrcnn.ops.targets import ANCHOR_IOU, IGNORED, NEGATIVE, POSITIVE, match
from mrcnn.visualize import apply_mask

GREEN, RED, BLUE, ORANGE, GREY = "#1a9641", "#d7191c", "#2166ac", "#e66101", "#555555"
COLORS = (BLUE, RED, GREEN, ORANGE, "#762a83", GREY)
PALETTE = 40  # colors of a file
DPI = 100


def resize_modes():
    """The modes of IMAGE_RESIZE_MODE on one photo, all at the same scale."""
    photo = data.coffee()[8:392:2, 44:556:2]  # sides that mode "none" takes
    min_dim, max_dim = 256, 320
    notes = {
        "none": "as it is\n",
        "square": "short side up to {min_dim}, long side\n"
        "{max_dim} at most, padding to {max_dim} x {max_dim}",
        "pad64": "short side up to {min_dim},\npadding to multiples of 64",
        "crop": "short side up to {min_dim},\na random square of {min_dim} from it",
        "shortest_edge": "short side {min_dim}, long side\n"
        "{max_dim} at most, padding to multiples of 32",
        "longest_edge": "long side {max_dim},\npadding to {max_dim} x {max_dim}",
    }
    figure, axes = plt.subplots(2, 4, figsize=(10.6, 6), layout="constrained")
    for ax, (mode, note) in zip(axes.flat, notes.items(), strict=False):
        rng = np.random.default_rng(3)
        image, window, *_ = resize_image(photo, min_dim, max_dim, 0, mode, rng)
        height, width = image.shape[:2]
        note = note.format(min_dim=min_dim, max_dim=max_dim)
        ax.set_title(f'"{mode}": {height} x {width}\n{note}', fontsize=8.5)
        _add_padding(ax, (0, 0, height, width))
        y1, x1, y2, x2 = window
        ax.imshow(image[y1:y2, x1:x2], extent=(x1, x2, y2, y1))
        ax.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor=RED, linewidth=2))
        ax.set(xlim=(-6, 390), ylim=(326, -6))
        ax.axis("off")
    axes.flat[-1].axis("off")
    legend = axes.flat[-2]
    _add_padding(legend, (60, 20, 100, 80))
    legend.add_patch(Rectangle((20, 130), 60, 40, fill=False, edgecolor=RED, linewidth=2))
    legend.text(95, 80, "padding", va="center")
    legend.text(95, 150, "what the network takes", va="center")
    legend.text(20, 25, f"photo of {photo.shape[0]} x {photo.shape[1]}", va="center")
    values = f"IMAGE_MIN_DIM = {min_dim}\nIMAGE_MAX_DIM = {max_dim}"
    legend.text(20, 230, values, va="center", family="monospace")
    legend.set(xlim=(-6, 390), ylim=(326, -6))
    legend.axis("off")
    return figure


def anchors():
    """The anchors of one place: the scales, one a pyramid level, and the ratios."""
    image = resize_image(data.coffee(), 800, 1024, mode="square")[0]
    shapes = [(1024 // stride, 1024 // stride) for stride in Config.BACKBONE_STRIDES]
    scales, ratios = Config.RPN_ANCHOR_SCALES, Config.RPN_ANCHOR_RATIOS

    def around(scale_ratios):
        """The anchors at the centre of the image, level by level."""
        made = generate_pyramid_anchors(scales, scale_ratios, shapes, Config.BACKBONE_STRIDES, 1)
        return made[np.abs(0.5 * (made[:, :2] + made[:, 2:]) - 512).max(axis=1) < 1]

    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.8), layout="constrained")
    captions = [f"{scale}: P{level}" for level, scale in enumerate(scales, start=2)]
    _show_anchors(axes[0], image, around([1]), captions)
    axes[0].set_title(
        f"RPN_ANCHOR_SCALES = {scales}\none scale for each pyramid level", fontsize=10
    )
    boxes = around(ratios)
    boxes = boxes[np.isclose(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)), 256, atol=1)]
    captions = [f"{w / h:.3g}" for h, w in boxes[:, 2:] - boxes[:, :2]]
    _show_anchors(axes[1], image, boxes, captions)
    title = f"RPN_ANCHOR_RATIOS = {ratios}\nwidth / height; the area stays (here of scale 256)"
    axes[1].set_title(title, fontsize=10)
    return figure


def anchor_labels():
    """Which anchors train the RPN as object and which as background."""
    side, strides = 256, Config.BACKBONE_STRIDES
    shapes = [(side // stride, side // stride) for stride in strides]
    scales, ratios = Config.RPN_ANCHOR_SCALES, Config.RPN_ANCHOR_RATIOS
    boxes = generate_pyramid_anchors(scales, ratios, shapes, strides, 1)
    figure, axes = plt.subplots(1, 4, figsize=(10, 3.1), layout="constrained")
    image, box = _painted(side, [("circle", (120, 170, 220), (126, 130, 33))])
    labels, _ = _labels(boxes, box)
    positive, negative = ANCHOR_IOU
    panels = (
        (POSITIVE, GREEN, f"object:\nIoU of {positive} and more"),
        (IGNORED, GREY, f"not used:\nIoU of {negative} to {positive}"),
        (NEGATIVE, RED, f"background:\nIoU below {negative}"),
    )
    for ax, (label, color, title) in zip(axes, panels, strict=False):
        wanted = np.flatnonzero((labels == label) & _inside(boxes, side))
        some = wanted[:: max(1, len(wanted) // 7)][:7]
        _show_labelled(ax, image, box, boxes[some], color)
        ax.set_title(
            f"{title}\n({len(some)} of {(labels == label).sum()} anchors drawn)", fontsize=9
        )
    image, box = _painted(side, [("circle", (120, 170, 220), (126, 130, 4))])
    labels, overlaps = _labels(boxes, box)
    best = np.flatnonzero(labels == POSITIVE)
    _show_labelled(axes[3], image, box, boxes[best[len(best) // 2 :][:1]], GREEN)
    axes[3].set(xlim=(box[1] - 45, box[3] + 45), ylim=(box[2] + 45, box[0] - 45))
    title = f"object of {box[2] - box[0]:.0f} pixels (enlarged):\nno anchor has more than IoU "
    title += f"{overlaps.max():.2f};\nthe best train it (1 of {len(best)} drawn)"
    axes[3].set_title(title, fontsize=9)
    return figure


def mini_masks():
    """A mask that went through mini-masks of two sizes."""
    mask = np.pad(~data.horse()[..., None].astype(bool), ((8, 8), (8, 8), (0, 0)))
    box = extract_bboxes(mask)
    height, width = (box[0, 2:] - box[0, :2]).tolist()
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
    white = np.full((*mask.shape[:2], 3), 255, np.uint8)
    axes[0].imshow(apply_mask(white.copy(), mask[..., 0], (0.2, 0.2, 0.2), 1))
    axes[0].set_title(f"the mask: {height} x {width} pixels in its box", fontsize=10)
    for ax, side in zip(axes[1:], (56, 28), strict=True):
        mini = minimize_mask(box, mask, (side, side))
        found = expand_mask(box, mini, mask.shape)
        canvas = apply_mask(white.copy(), (found & mask)[..., 0], (0.2, 0.2, 0.2), 1)
        apply_mask(canvas, (mask & ~found)[..., 0], (0.84, 0.1, 0.11), 1)
        apply_mask(canvas, (found & ~mask)[..., 0], (0.13, 0.4, 0.8), 1)
        iou = (found & mask).sum() / (found | mask).sum()
        ax.imshow(canvas)
        ax.set_title(f"MINI_MASK_SHAPE = ({side}, {side}): IoU {iou:.2f}", fontsize=10)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    for ax in axes[1:]:
        ax.set_xlabel("red: lost    blue: added")
    return figure


def detection_thresholds():
    """What two thresholds of detections keep of the same candidates."""
    image, _ = _painted(
        160,
        [
            ("circle", (70, 110, 190), (58, 62, 34)),
            ("circle", (190, 90, 70), (82, 73, 34)),
            ("circle", (90, 90, 100), (132, 132, 13)),
        ],
        background=(236, 232, 222),
    )
    # Candidates of one class: box and score. Two objects that overlap, each found twice; a small
    # one of which the network is less sure; a piece of background.
    candidates = np.array(
        [
            (27, 23, 97, 93, 0.98),
            (22, 29, 93, 99, 0.91),
            (38, 47, 108, 117, 0.95),
            (33, 42, 103, 112, 0.88),
            (118, 118, 146, 146, 0.75),
            (112, 14, 150, 62, 0.30),
        ]
    )
    figure, axes = plt.subplots(2, 3, figsize=(8.4, 6.6), layout="constrained")
    rows = (
        ("DETECTION_NMS_THRESHOLD", (0.3, 0.5, 0.9)),
        ("DETECTION_MIN_CONFIDENCE", (0.05, 0.7, 0.9)),
    )
    verdicts = (
        ("too low: an object behind another is lost", "good", "too high: objects count twice"),
        ("too low: background is found", "good", "too high: the less sure object is lost"),
    )
    for row, (key, values) in enumerate(rows):
        for ax, value, verdict in zip(axes[row], values, verdicts[row], strict=True):
            chosen = {"DETECTION_NMS_THRESHOLD": 0.5, "DETECTION_MIN_CONFIDENCE": 0.7, key: value}
            _show_kept(ax, image, candidates, chosen)
            ax.set_title(f"{key} = {value}\n{verdict}", fontsize=9)
    figure.supxlabel("green: kept, with its score    dotted: dropped", fontsize=10)
    return figure


def _show_kept(ax, image, candidates, chosen):
    """Draws the candidates that both thresholds keep; dotted in grey, those that they drop."""
    boxes, scores = candidates[:, :4], candidates[:, 4]
    sure = np.flatnonzero(scores >= chosen["DETECTION_MIN_CONFIDENCE"])
    kept = non_max_suppression(boxes[sure], scores[sure], chosen["DETECTION_NMS_THRESHOLD"])
    kept = set(sure[kept].tolist())
    ax.imshow(image)
    for i, (y1, x1, y2, x2) in enumerate(boxes):
        color, style = (GREEN, "solid") if i in kept else (GREY, "dotted")
        line = {"edgecolor": color, "linestyle": style, "linewidth": 2 if i in kept else 1.2}
        ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, **line))
        if i in kept:
            top, left = i != 3, i in (0, 3, 4, 5)  # where the others' scores are not
            where = {"va": "bottom" if top else "top", "ha": "left" if left else "right"}
            patch = {"facecolor": GREEN, "edgecolor": "none", "pad": 1.5}
            place = x1 if left else x2, y1 - 2 if top else y2 + 2
            ax.text(*place, f"{scores[i]:.2f}", color="white", fontsize=8, bbox=patch, **where)
    ax.axis("off")


def _add_padding(ax, box):
    y1, x1, y2, x2 = box
    style = {
        "facecolor": "#222222",
        "edgecolor": ORANGE,
        "hatch": "//",
        "linewidth": 0,
        "zorder": -1,
    }
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **style))


def _show_anchors(ax, image, boxes, captions):
    ax.imshow((0.5 * image + 0.5 * 255).astype(np.uint8))
    for (y1, x1, y2, x2), caption, color in zip(boxes, captions, COLORS, strict=False):
        line = {"edgecolor": color, "linewidth": 2.5, "label": caption}
        ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, **line))
    ax.legend(loc="lower center", ncol=len(boxes), fontsize=8, handlelength=1, columnspacing=1)
    ax.axis("off")


def _painted(side, shapes, background=(225, 225, 215)):
    """A picture with shapes, uint8 `[side, side, 3]`, and the box of the last of them."""
    dataset = ShapesDataset()
    image = np.full((side, side, 3), background, np.uint8)
    for name, color, dims in shapes:
        dataset.draw_shape(image, name, dims, color)
        mask = dataset.draw_shape(np.zeros((side, side), bool), name, dims, True)
    return image, extract_bboxes(mask[..., None])[0].astype(np.float32)


def _labels(boxes, gt_box):
    """Label and IoU of each anchor for one object."""
    labels, _ = match(boxes[None], gt_box[None, None], np.array([[1]]), *ANCHOR_IOU, True)
    height, width = (boxes[:, 2:] - boxes[:, :2]).T
    gt_area = (gt_box[2:] - gt_box[:2]).prod()
    return np.asarray(labels)[0], compute_iou(gt_box, boxes, gt_area, height * width)


def _inside(boxes, side):
    return (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, 2:] <= side).all(axis=1)


def _show_labelled(ax, image, gt_box, boxes, color):
    ax.imshow(image)
    for (y1, x1, y2, x2), edge, style in [
        *((box, color, "solid") for box in boxes),
        (gt_box, "black", "dashed"),
    ]:
        line = {"edgecolor": edge, "linestyle": style, "linewidth": 1.5}
        ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, **line))
    ax.axis("off")


PICTURES = {
    function.__name__: function
    for function in (resize_modes, anchors, anchor_labels, mini_masks, detection_thresholds)
}


def save(figure, path):
    """Writes a figure as a PNG with a palette."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, bbox_inches="tight", pad_inches=0.08)
    plt.close(figure)
    image = Image.open(buffer).convert("RGB")
    # Lines and text keep their colors, the photo has what is left of the palette.
    fixed = [to_rgb(color) for color in ("black", "white", *COLORS)]
    fixed = np.rint(255 * np.array(fixed)).astype(np.uint8)
    count = PALETTE - len(fixed)
    found = image.quantize(count, Image.Quantize.MEDIANCUT).getpalette()[: 3 * count]
    palette = np.concatenate([fixed, np.array(found, np.uint8).reshape(-1, 3)])
    pixels = np.asarray(image, np.float32)
    distance = [((pixels - color) ** 2).sum(axis=-1) for color in palette.astype(np.float32)]
    indexed = Image.fromarray(np.argmin(distance, axis=0).astype(np.uint8))
    indexed.putpalette(palette.tobytes())
    indexed.save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = pathlib.Path(__file__).with_suffix("")
    parser.add_argument("--output", type=pathlib.Path, default=folder, help="default: %(default)s")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    matplotlib.use("agg")
    for name, draw in PICTURES.items():
        path = arguments.output / f"{name}.png"
        save(draw(), path)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
