"""`evaluation.html`: the scores of a model and its pictures, the worst first."""

import html
from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.data.keypoints import skeleton_of
from mrcnn.evaluate.pictures import KINDS
from mrcnn.evaluate.tables import by_columns, column_names, percent
from mrcnn.reports.html_page import document, table
from mrcnn.visualize.curves import plot_class_precision_recall, plot_confusion, plot_over_score
from mrcnn.visualize.draw import draw_comparison

CURVES = {
    "PR_curve.png": "precision over recall",
    "F1_curve.png": "F1 over the score threshold",
    "P_curve.png": "precision over the score threshold",
    "R_curve.png": "recall over the score threshold",
    "confusion_matrix.png": "what objects were taken for",
}
WORDS = {"missed": "missed", "false": "false", "wrong_class": "wrong class", "poor_mask": "poor"}


def write_curves(evaluation, folder, iou=0.5):
    """Writes the figures of `CURVES`, whose names are those that neighbouring tools use.

    Args:
        evaluation: `mrcnn.evaluate.Evaluation`.
        folder: made if need be.
        iou: float, one of COCO's IoU thresholds.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = evaluation.class_names
    found, curves = evaluation.precision_recall(iou), evaluation.score_curves(iou)
    plot_class_precision_recall(
        found["recall"],
        found["precision"],
        names,
        f"Precision over recall at IoU {iou:g}",
        save_path=folder / "PR_curve.png",
    )
    for letter, name in (("F1", "f1"), ("P", "precision"), ("R", "recall")):
        label = "F1" if name == "f1" else name.capitalize()
        title = None if name == "f1" else f"{label} over the score threshold"
        path = folder / f"{letter}_curve.png"
        plot_over_score(curves["scores"], curves[name], names, label, title, save_path=path)
    score = evaluation.best_scores(iou)["score"]
    title = f"Confusion at IoU {iou:g}, scores from {0 if np.isnan(score) else score:.3f}"
    path = folder / "confusion_matrix.png"
    plot_confusion(evaluation.confusion(iou), names, title, save_path=path)


def write_evaluation_page(evaluation, dataset, folder, count=50, score=None, iou=0.5, tile=420):
    """Writes `evaluation.html` with its figures and pictures, which need nothing else to be seen.

    Args:
        evaluation: `mrcnn.evaluate.Evaluation` of images of `dataset`.
        dataset: prepared `Dataset` that has the pictures.
        folder: made if need be.
        count: int, pictures at most, the worst ones.
        score: float, least score of a detection that counts; by default that of the best F1.
        iou: float, one of COCO's IoU thresholds.
        tile: int, side of a picture in pixels.

    Returns:
        Path of the page.

    Example:

    >>> write_evaluation_page(Evaluation.of(model, dataset), dataset, "report")
    """
    folder = Path(folder)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    write_curves(evaluation, folder, iou)
    best = evaluation.best_scores(iou)
    if score is None:
        score = 0.0 if np.isnan(best["score"]) else best["score"]
    figures = []
    for rank, row in enumerate(evaluation.errors(iou, score)[:count]):
        name = f"pictures/{rank + 1:04d}.jpg"
        picture = _draw_pair(evaluation, dataset, row, score, tile)
        Image.fromarray(picture).save(folder / name, quality=85)
        figures.append(_figure(name, row, dataset))
    body = [*_score_tables(evaluation, best, score, iou), *_curve_figures(), *figures]
    page = folder / "evaluation.html"
    page.write_text(document("Evaluation", body), encoding="utf-8")
    return page


def _draw_pair(evaluation, dataset, row, score, tile):
    """The truth beside the detections of one picture."""
    image = dataset.load_image(row["image_id"])
    names = {each["id"]: str(each["name"]) for each in evaluation.ground_truth["categories"]}
    truth, found = evaluation.instances(row["image_id"], score)
    skeleton = skeleton_of(dataset)
    return draw_comparison([image], [truth], [found], names, tile=tile, skeleton=skeleton)


def _figure(name, row, dataset):
    """A picture of the page, with what is wrong in it."""
    info = dataset.image_info[row["image_id"]]
    title = html.escape(Path(info["path"]).name if info.get("path") else str(info["id"]))
    wrong = [f"<b>{len(row[kind])}</b> {WORDS[kind]}" for kind in KINDS if row[kind]]
    caption = f"{title}: {', '.join(wrong) or 'nothing wrong'}"
    return (
        f"<figure><figcaption>{caption}</figcaption>"
        f'<img src="{name}" alt="truth and detections of {title}" loading="lazy"></figure>'
    )


def _score_tables(evaluation, best, score, iou):
    """The parts of the page with numbers."""
    yield f"<h1>Evaluation</h1><p>{len(evaluation.ground_truth['images'])} pictures.</p>"
    yield "<h2>COCO's numbers, in percent</h2>"
    for kinds in by_columns(evaluation.scores):
        names = column_names(kinds)
        rows = [
            [kind, *(percent(x.get(name, np.nan)) for name in names)] for kind, x in kinds.items()
        ]
        yield table(["", *names], rows)
    if not np.isnan(best["score"]):
        yield (
            f"<p>The best F1 of all classes at IoU {iou:g} is {best['f1']:.3f} (precision "
            f"{best['precision']:.3f}, recall {best['recall']:.3f}), with "
            f"<code>{best['key']} = {best['score']:.3f}</code>.</p>"
        )
    rows = []
    for row, own in zip(evaluation.per_class(), best["classes"], strict=True):
        scores = [percent(row[name]) for name in ("AP", "AP50", "AR")]
        numbers = [row["objects"], row["detections"], percent(own["f1"])]
        threshold = "-" if np.isnan(own["score"]) else f"{own['score']:.3f}"
        rows.append([row["name"], *scores, *numbers, threshold])
    heads = ["class", "AP", "AP50", "AR", "objects", "detections", "best F1", "at score"]
    yield "<h2>Classes</h2>" + table(heads, rows)
    counts, contest = evaluation.count_errors(score), evaluation.contest(score)
    bias = counts["mean_error"]
    yield (
        "<h2>Numbers of objects</h2>"
        f"<p>With scores from {score:.3f}, a picture has {abs(bias):.2f} objects too "
        f"{'few' if bias < 0 else 'many'} on average; mean absolute error {counts['mae']:.2f}, "
        f"RMSE {counts['rmse']:.2f}.</p>"
        '<p class="note">The 2018 Data Science Bowl\'s score TP / (TP + FP + FN), a mean over IoU '
        f"thresholds and pictures, is {percent(contest['score'])} %. It is not COCO's AP: scores "
        "do not order it, and each picture counts alike.</p>"
    )


def _curve_figures():
    """The part of the page with curves, and the head of its pictures."""
    images = "".join(f'<img src="{name}" alt="{text}">' for name, text in CURVES.items())
    yield f'<h2>Curves</h2><div class="curves">{images}</div>'
    yield (
        "<h2>Pictures, the worst first</h2>"
        '<p class="note">Truth on the left, detections on the right. Missed: an object that '
        "nothing matches. False: a detection of nothing. Wrong class: it lies on an object of "
        "another class. Poor: the right class, but too little overlap.</p>"
    )
