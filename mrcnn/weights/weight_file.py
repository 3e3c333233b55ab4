"""`WeightFile`: what is known of a public weight file."""

import dataclasses

from mrcnn.files import download

FAMILIES = (
    "matterport",
    "torchvision",
    "detectron2",
    "keras_applications",
    "efficientnet_lite",
    "deeplab2",
)


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """One public weight file.

    Attributes:
        name: str, `<publisher>/<model>`, unique.
        url: str; `package://<package>/<path>` is inside an installed Python package.
        family: str, one of `FAMILIES`: whose names and layouts its arrays have.
        dataset: str, what it was trained on: "coco", "imagenet" or another.
        backbone: str, the value of `Config.BACKBONE`.
        preset: str, the key of the preset with its numerics; None where any will do.
        masks: bool, whether it has a mask head.
        keypoints: bool, whether it has a keypoint head, of COCO's 17 of a person.
        proposals: bool, whether it makes its own, where it is a detector that needs them.
        classes: tuple of names, background first; empty for a backbone alone.
        size: int, bytes.
        sha256, md5: str, hex digits, all or the first ones.
        box_ap, mask_ap, keypoint_ap: float, percent on COCO val2017, as `source` states.
        source: str, URL of the publisher's page.
        licence: str, where the publisher states one for the weights.
        batch_norm_epsilon: float, where it is not the preset's; such a file has a hash.
        notes: str.
    """

    name: str
    url: str
    family: str
    dataset: str
    backbone: str
    preset: str | None
    masks: bool = False
    keypoints: bool = False
    proposals: bool = True
    classes: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    box_ap: float | None = None
    mask_ap: float | None = None
    keypoint_ap: float | None = None
    source: str | None = None
    licence: str | None = None
    batch_norm_epsilon: float | None = None
    notes: str = ""

    @property
    def file_name(self):
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[1]

    @property
    def expected(self):
        """What is known of the file's bytes: a `download.Expected`."""
        return download.Expected(size=self.size, sha256=self.sha256, md5=self.md5)
