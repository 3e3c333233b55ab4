"""`check.html`: what is wrong with a data set, and the pictures with most of it."""

import html
import itertools
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from mrcnn.data.checking.findings import LEVELS
from mrcnn.data.image_loading import image_name, load_instances
from mrcnn.image.masks import extract_bboxes
from mrcnn.reports.html_page import document, table
from mrcnn.visualize.draw import draw_tile

LISTED = 100  # findings of a kind that the page lists
SAMPLES = 12  # pictures of data in which nothing is wrong


def write_check_page(report, dataset, folder, count=40, tile=480):
    """Writes `check.html` and its pictures, which need nothing else to be seen.

    Args:
        report: `mrcnn.data.checking.Report`.
        dataset: the data set that it is about, or None where none could be read.
        folder: made if need be.
        count: int, pictures at most: those with errors first, then those with most findings.
        tile: int, side of a picture in pixels.

    Returns:
        Path of the page.
    """
    folder = Path(folder)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    body = [*_summary(report), *_figures(report, dataset, folder, count, tile), *_lists(report)]
    page = folder / "check.html"
    page.write_text(document(f"Check of {html.escape(report.name)}", body), encoding="utf-8")
    return page


def _summary(report):
    verdict = "Nothing would break a training." if report.ok else "Errors would break a training."
    yield f"<h1>{html.escape(report.name)}</h1><p>{verdict} <b>{report.counts()}</b>.</p>"
    rows = []
    for name, value in report.facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items())
        rows.append([name, value])
    yield '<div class="facts">' + table(["what", "how much"], rows) + "</div>"
    if report.suggestions:
        rows = [[f"{key} = {value}", why] for key, (value, why) in report.suggestions.items()]
        yield "<h2>Suggested keys</h2>" + table(["key", "why"], rows)


def _figures(report, dataset, folder, count, tile):
    by_picture = {}
    for finding in report.findings:
        if finding.image_id is not None and finding.level != "note":
            by_picture.setdefault(finding.image_id, []).append(finding)
    worst = sorted(
        by_picture.items(), key=lambda item: (LEVELS.index(item[1][0].level), -len(item[1]))
    )
    if worst:
        yield f"<h2>Pictures, the worst first</h2><p>{len(worst)} have something wrong.</p>"
    elif dataset is not None:
        yield "<h2>The first pictures</h2><p>None has something wrong.</p>"
        worst = [(image_id, []) for image_id in range(min(dataset.num_images, SAMPLES))]
    for rank, (image_id, findings) in enumerate(worst[:count]):
        texts = [f"<li>{html.escape(f'{x.kind}: {x}')}</li>" for x in findings[:10]]
        if len(findings) > 10:
            texts.append(f"<li>and {len(findings) - 10} more</li>")
        picture = _draw(dataset, image_id, tile)
        image = ""
        if picture is not None:
            name = f"pictures/{rank + 1:04d}.jpg"
            Image.fromarray(picture).save(folder / name, quality=85)
            image = f'<img src="{name}" alt="" loading="lazy">'
        title = html.escape(image_name(dataset, image_id))
        yield f"<figure><figcaption><b>{title}</b><ul>{''.join(texts)}</ul></figcaption>"
        yield f"{image}</figure>"


def _draw(dataset, image_id, tile):
    """The picture with its instances; None where it cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the findings have them
        try:
            image = dataset.load_image(image_id)
        except Exception:  # of the user's code too; the finding says what it is
            return None
        try:
            masks, class_ids = load_instances(dataset, image_id, image.shape, dataset.num_classes)
        except Exception:
            masks, class_ids = np.zeros((*image.shape[:2], 0), bool), np.zeros(0, int)
    instances = {"rois": extract_bboxes(masks), "masks": masks, "class_ids": class_ids}
    return draw_tile(image, instances, dataset.class_names, tile)


def _lists(report):
    for (level, kind), group in itertools.groupby(
        report.findings, key=lambda finding: (finding.level, finding.kind)
    ):
        group = list(group)
        lines = [f"<li>{html.escape(str(finding))}</li>" for finding in group[:LISTED]]
        if len(group) > LISTED:
            lines.append(f"<li>and {len(group) - LISTED} more</li>")
        yield f"<h2>{level}: {html.escape(kind)} ({len(group)})</h2><ul>{''.join(lines)}</ul>"
