"""Modules under the paths that they had before there were packages: `import mrcnn.shapes` works."""

import importlib
import importlib.abc
import importlib.util
import sys
import warnings

MOVED = {
    "mrcnn.coco": "mrcnn.weights.coco_classes",
    "mrcnn.coco_dataset": "mrcnn.data.formats.coco",
    "mrcnn.draw": "mrcnn.visualize.draw",
    "mrcnn.imgaug_import": "mrcnn.startup.imgaug_import",
    "mrcnn.masks": "mrcnn.image",
    "mrcnn.quiet": "mrcnn.startup.quiet",
    "mrcnn.roi_align": "mrcnn.ops.roi_align",
    "mrcnn.shapes": "mrcnn.data.shapes",
    "mrcnn.video": "mrcnn.image.video",
}


class MovedFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a moved module by its old path, with a warning that names the new one."""

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in MOVED else None

    def exec_module(self, module):
        new = MOVED[module.__name__]
        warnings.warn(f"{module.__name__} is {new} now", FutureWarning, stacklevel=4)
        found = importlib.import_module(new)
        vars(module).update({k: v for k, v in vars(found).items() if not k.startswith("__")})


def install():
    """Makes the old paths importable; imports nothing."""
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(MovedFinder())
