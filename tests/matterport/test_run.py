"""`python -m mrcnn.run script.py`."""

import os
import sys

import pytest

from mrcnn.startup import quiet


def test_a_script_that_imports_imgaug_040_first_runs(run_python, tmp_path):
    (tmp_path / "imgaug").mkdir()
    stand_in = "import numpy as np\nFLOATS = np.sctypes['float']\n"  # gone from NumPy 2
    (tmp_path / "imgaug" / "__init__.py").write_text(stand_in)
    script = tmp_path / "coco.py"
    script.write_text("import imgaug, sys\nimport helper\nprint(sys.argv[1:], helper.NAME)\n")
    (tmp_path / "helper.py").write_text("NAME = 'beside the script'\n")
    code = (
        f"import sys; sys.argv = ['', {str(script)!r}, 'train']\nfrom mrcnn import run; run.main()"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    assert run_python(code, PYTHONPATH=path).strip() == "['train'] beside the script"


class Called(Exception):
    pass


def test_the_script_is_quiet(monkeypatch):
    from mrcnn.run import main

    def install():
        raise Called

    monkeypatch.setattr(quiet, "install", install)
    monkeypatch.setattr(sys, "argv", ["run.py", "script.py"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(Called):
        main()
