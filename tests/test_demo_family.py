"""The demonstration of the family, from the command line."""

import types

import numpy as np
import pytest
from skimage import io

from mrcnn import cli, demo_family
from mrcnn.cli.main import DEMO_MEMBERS
from mrcnn.demo_family import MEMBERS, draw_pairs
from mrcnn.image.masks import extract_bboxes
from mrcnn.inference.detections import Detections
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
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(demo_family, "train_member", lambda *_: 1 / 0)  # there is a checkpoint
        model, pictures = demo_family.trained_member(name, str(tmp_path))
    assert model.mode == "inference" and pictures.num_images == 50
    assert model.class_names == pictures.class_names


class Told:
    """A model that is told what it finds: the truth, and something unsure."""

    finds_segments = False

    def __init__(self, found, masks):
        enabled, no = types.SimpleNamespace(enabled=masks), types.SimpleNamespace(enabled=False)
        self.found, self.settings = (
            found,
            types.SimpleNamespace(mask_head=enabled, keypoint_head=no),
        )

    def detect(self, images):
        return [Detections(found) for found in self.found]


@pytest.mark.parametrize("masks", [True, False])
def test_the_truth_is_drawn_beside_what_is_sure(masks):
    dataset = MEMBERS["mask_rcnn"].pictures(2, 0)
    found = []
    for image_id in dataset.image_ids:
        truth, class_ids = dataset.load_mask(image_id)
        found.append({"rois": extract_bboxes(truth), "class_ids": class_ids, "masks": truth})
        found[-1]["scores"] = np.zeros(len(class_ids))
        if not masks:
            del found[-1]["masks"]
    told = Told(found, masks)
    all_, none = (draw_pairs(told, dataset, [0, 1], score, tile=128) for score in (0.0, 0.5))
    # Below a header of 26 the first pair: a margin of 6, and 6 between its tiles.
    tiles = (all_[26:154, 6:134], all_[26:154, 140:268], none[26:154, 140:268])
    truth, detected, nothing = tiles
    np.testing.assert_array_equal(nothing, dataset.load_image(0))
    drawn, differs = ((truth != tile).any(axis=-1).sum() for tile in (nothing, detected))
    assert drawn > 500 and differs < drawn / 2  # the captions, which have scores
