"""The page of an evaluation: self-contained, escaped, the worst picture first."""

import re

import numpy as np
import pytest
from scenes import FOUND, TRUTHS, Oracle, Pictures, detection
from skimage.io import imread

from mrcnn.evaluate import Evaluation
from mrcnn.reports.evaluation_page import write_curves, write_evaluation_page

CURVES = [
    *("F1_curve.png", "PR_curve.png", "P_curve.png", "R_curve.png", "confusion_matrix.png"),
]


class Odd(Pictures):
    """Pictures whose names mean something to a browser."""

    def __init__(self, *images):
        super().__init__(*images)
        self.class_names[1] = "<cat> & co"
        for i, info in enumerate(self.image_info):
            info["path"] = f"folder/<b>{i}.png"


@pytest.fixture
def written(tmp_path):
    dataset = Odd(*TRUTHS)
    evaluation = Evaluation.of(Oracle(*(detection(*each) for each in FOUND)), dataset)
    page = write_evaluation_page(evaluation, dataset, tmp_path / "report", count=3, score=0)
    return page, page.read_text(encoding="utf-8")


def test_the_folder_is_whole(written):
    page, text = written
    found = sorted(str(path.relative_to(page.parent)) for path in page.parent.rglob("*.*"))
    pictures = [f"pictures/000{i}.jpg" for i in (1, 2, 3)]
    assert found == sorted([*CURVES, "evaluation.html", *pictures])
    assert set(re.findall(r'src="([^"]+)"', text)) == {*CURVES, *pictures}
    assert "<script" not in text and "http" not in text
    picture = imread(page.parent / pictures[0])
    assert picture.shape[0] < 500 and picture.std() > 10


def test_the_worst_picture_is_first(written):
    _, text = written
    captions = re.findall(r"<figcaption>(.+?)</figcaption>", text)
    assert captions == [
        "&lt;b&gt;2.png: <b>1</b> missed, <b>1</b> false",
        "&lt;b&gt;0.png: <b>1</b> wrong class",
        "&lt;b&gt;1.png: <b>1</b> poor",
    ]


def test_the_numbers_are_there(written):
    _, text = written
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", text)]
    # As in test_evaluation: AP 51/101 and 0, 7/8 the best score of cats, with F1 2/3.
    assert ["&lt;cat&gt; &amp; co", "50.5", "50.5", "50.0", "2", "4", "66.7", "0.875"] in rows
    assert ["dog", "0.0", "0.0", "0.0", "2", "1", "0.0", "-"] in rows
    assert [row[1] for row in rows if row and row[0] in ("bbox", "segm")] == ["25.2", "25.2"]
    assert "DETECTION_MIN_CONFIDENCE = 0.875" in text
    # The contest's (1/3 + 0 + 0 + 1 + 1) / 5.
    assert "46.7 %" in text


def test_a_picture_without_an_error_says_so(tmp_path):
    dataset = Pictures([])
    with np.errstate(all="raise"):
        evaluation = Evaluation.of(Oracle(detection()), dataset)
        page = write_evaluation_page(evaluation, dataset, tmp_path)
    assert "<figcaption>0.png: nothing wrong</figcaption>" in page.read_text()


def test_curves_alone(tmp_path):
    evaluation = Evaluation.of(Oracle(*(detection(*each) for each in FOUND)), Pictures(*TRUTHS))
    write_curves(evaluation, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == CURVES
