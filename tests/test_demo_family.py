"""The demonstration of the family, from the command line."""

import numpy as np
import pytest
from skimage import io

from mrcnn import cli
from mrcnn.cli.main import DEMO_MEMBERS
from mrcnn.demo_family import MEMBERS
from mrcnn.model import ARCHITECTURES

OTHERS = [name for name in MEMBERS if name not in ("mask_rcnn", "fast_rcnn")]


def test_the_command_line_knows_all_and_they_are_of_all_architectures():
    assert tuple(MEMBERS) == DEMO_MEMBERS
    assert {member.config.ARCHITECTURE for member in MEMBERS.values()} == set(ARCHITECTURES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["fast_rcnn", *(pytest.param(name, marks=pytest.mark.thorough) for name in OTHERS)]
)
def test_a_member_trains_scores_and_draws(name, tmp_path, capsys):
    arguments = ["demo", "--member", name, "--steps", "2", "--output", str(tmp_path)]
    assert cli.main(arguments) == 0
    kind, measure = MEMBERS[name].score
    out = capsys.readouterr().out
    assert "50 pictures it has not seen" in out and f"{kind} {measure} " in out
    assert np.ptp(io.imread(tmp_path / "detections.png")) > 100
    assert list(tmp_path.glob("*/mask_rcnn_*_0001.h5"))
