"""The command line: quick help, clear errors, a demo that leaves a picture."""

import time

import numpy as np
import pytest
from skimage import io

from mrcnn import __version__, cli


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"mrcnn {__version__}\n"


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dmo"], ["demo", "--steps", "0"]])
def test_bad_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: mrcnn")


def test_help_needs_no_backend(run_python):
    code = (
        "import sys\nfrom mrcnn.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('loaded:', sorted({'keras', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert run_python(code).endswith("loaded: []\n")


def test_demo_trains_scores_and_draws(tmp_path, capsys):
    start = time.time()
    assert cli.main(["demo", "--output", str(tmp_path), "--steps", "5"]) == 0
    assert time.time() - start < 300
    out = capsys.readouterr().out
    assert "COCO scores on 50 pictures" in out and "AP50" in out
    picture = io.imread(tmp_path / "detections.png")
    assert picture.ndim == 3 and np.ptp(picture) > 100
    assert list(tmp_path.glob("demo2*/mask_rcnn_demo_0005.h5"))
