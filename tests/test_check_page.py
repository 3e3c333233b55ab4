"""`check.html`: text and pictures of what a check found."""

import numpy as np
from PIL import Image
from test_checking import picture, square, write

from mrcnn.cli import main
from mrcnn.data.checking import check_path
from mrcnn.reports.check_page import write_check_page


def test_a_page_of_the_worst(tmp_path, capsys):
    names = ("a.png", "<b>.png", "c.png")
    objects = [("cat", square(5, 5)), ("cat", square(5, 5)), ("dog", square(50, 30, 30))]
    write(tmp_path / "data", "train", {name: objects for name in names})
    picture(tmp_path / "data" / "train" / "c.png", 3, (20, 30))  # not of the annotation's size
    (tmp_path / "data" / "train" / "a.png").write_text("none")
    dataset, report = check_path(tmp_path / "data")
    page = write_check_page(report, dataset, tmp_path / "page", tile=100)
    text = page.read_text()
    assert "<b>2 errors, " in text and "Errors would break a training" in text
    assert "<b>.png" not in text and "&lt;b&gt;.png" in text
    # Errors first; a.png has no picture to show.
    titles = ("train/a.png)</b>", "train/c.png)</b>", "train/&lt;b&gt;.png)</b>")
    order = [text.index(title) for title in titles]
    assert order == sorted(order)
    pictures = sorted((tmp_path / "page" / "pictures").iterdir())
    assert [path.name for path in pictures] == ["0002.jpg", "0003.jpg"]
    # 60 x 40 in a tile of 100: 100 x 67, so the first 16 rows are white.
    pixels = np.asarray(Image.open(pictures[1]))
    assert pixels.shape == (100, 100, 3) and pixels[:14].min() > 240 and pixels[30:60].std() > 20
    line = ["check", str(tmp_path / "data"), "--html", str(tmp_path / "other")]
    assert main(line) == 1
    assert "check.html" in capsys.readouterr().out


def test_a_page_of_good_data_shows_its_first_pictures(tmp_path):
    write(tmp_path / "data", "train", {f"{i:02d}.png": [("cat", square(5, 5))] for i in range(14)})
    dataset, report = check_path(tmp_path / "data")
    text = write_check_page(report, dataset, tmp_path / "page", tile=60).read_text()
    assert "None has something wrong" in text and "train/11.png)</b>" in text
    assert len(list((tmp_path / "page" / "pictures").iterdir())) == 12


def test_a_page_of_nothing(tmp_path):
    dataset, report = check_path(tmp_path)
    assert "found none" in write_check_page(report, dataset, tmp_path / "page").read_text()
