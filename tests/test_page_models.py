"""`mrcnn page` with other networks than Mask R-CNN: what each has, and that all of it is drawn."""

from pathlib import Path

import numpy as np
import pytest
from test_max_deeplab import TinyConfig as TinyMaXDeepLab
from test_panoptic_models import config_of
from tiny import TinyConfig, shapes, tiny_of, with_keypoints

from mrcnn.model import create
from mrcnn.page import correcting, stage_views, views
from mrcnn.page.errors import PageError
from mrcnn.page.models import PageModel
from mrcnn.page.pictures import samples_of
from mrcnn.page.session import Limits, Session
from mrcnn.page.stage_views import Look
from mrcnn.page.views import View

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
BOXES = ["anchors", "proposals", "rois", "candidates"]


class FasterConfig(TinyConfig):
    USE_MASK = False


def keypoints():
    config = with_keypoints(TinyConfig())
    config.USE_MASK = False
    return config


def tiled():
    config = TinyConfig()
    config.TILE_SIZE, config.DETECTION_MAX_INSTANCES = 64, 100
    return config


NETWORKS = {
    "faster": (FasterConfig, BOXES),
    "keypoints": (keypoints, BOXES),
    "retinanet": (
        lambda: tiny_of("torchvision/retinanet_resnet50_fpn"),
        ["anchors", "candidates"],
    ),
    "panoptic_fpn": (lambda: config_of("panoptic_fpn"), [*BOXES, "masks"]),
    "semantic_fpn": (lambda: config_of("semantic_fpn"), []),
    "max_deeplab": (TinyMaXDeepLab, []),
    "tiled": (tiled, [*BOXES, "masks"]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_page_of(name, tmp_path):
    make, stages = NETWORKS[name]
    config = make()
    model = PageModel(create("inference", config, tmp_path), name)
    assert model.stages == stages
    session, view = Session(), View(0.0)
    for sample, image in samples_of(model)[:1]:
        session.open(model, image, sample)
    if name == "tiled":  # painted pictures are larger than a tile
        with pytest.raises(PageError, match="crop it to 64 x 64"):
            session.stages(model)
        session.open(model, shapes(1).load_image(0), "small.png")
    chosen = views.choose(session.found, view)
    assert views.draw(session.found, view).dtype == np.uint8
    assert len(views.rows(session.found, chosen)) == session.found.count
    assert views.summary(session.found, chosen).startswith(f"**{len(chosen)} found**")
    for stage in stage_views.views_of(model.stages):
        seen = stage_views.see(stage, session.image, session.stages(model), model.names, Look())
        assert seen.text
    if not stages:
        assert "no anchors" in stage_views.missing_text(model.stages)
    if model.finds_instances:
        mask = np.zeros(session.image.shape[:2], bool)
        mask[4:20, 6:30] = True
        session.correct(correcting.add, mask, len(model.things))
        assert views.draw(session.corrected, view).shape[2] == 3
        session.keep([session.corrected.count - 1], Limits())
        annotations, _ = session.write(model.things, "COCO")
        assert model.things[-1] in Path(annotations).read_text()
