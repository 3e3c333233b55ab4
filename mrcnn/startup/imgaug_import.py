"""Lets imgaug be imported and used with today's NumPy: 0.4.0, its last release, and its forks.

imgaug 0.4.0 reads `np.sctypes` (gone in NumPy 2) while it is imported, `np.bool` and `np.complex`
(gone in NumPy 1.24; the first came back in 2.0) while it augments. Matterport's scripts import it
themselves, so the names must be there without a call: `install`, which `import mrcnn` runs, puts a
finder in front of Python's that does nothing until somebody imports imgaug. NumPy itself is
changed only while imgaug's modules are executed. Afterwards those of them that need it get an
overlay in place of `np`; every other library sees NumPy as it is.

The forks, of which `pip install 'mrcnn[imgaug]'` installs one, need no help to be imported. They
are mended where they crop: NumPy 2.4 makes no int of an array of one number.

A script that imports imgaug 0.4.0 before anything of mrcnn is out of the finder's reach:
`mrcnn.run`.
"""

import functools
import sys
import types

from mrcnn.startup.late_imports import around_import

# Module of imgaug: the name in it that is replaced, and by what.
_MENDED = {
    "imgaug.parameters": ("np", lambda: _numpy()),
    "imgaug.augmenters.meta": ("np", lambda: _numpy()),
    "imgaug.augmentables.polys": ("np", lambda: _numpy()),
    "imgaug.augmenters.geometric": ("tf", lambda: _transforms()),
    "imgaug.augmenters.arithmetic": ("imageio", lambda: _imageio()),
    "imgaug.augmenters.size": ("_prevent_zero_size_after_crop_", lambda: keep_a_pixel),
}


def install():
    """Makes every later `import imgaug` work, and mends an earlier one; imports nothing else."""
    around_import("imgaug", _execute)
    mend()


def mend():
    """Gives the imported modules of imgaug what NumPy and others no longer have."""
    for name, (alias, replacement) in _MENDED.items():
        if hasattr(sys.modules.get(name), alias):
            setattr(sys.modules[name], alias, replacement())


def _execute(exec_module, module):
    import numpy as np

    lacking = "sctypes" not in vars(np)
    if lacking:
        np.sctypes = {
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64, np.longdouble],
        }
    try:
        exec_module(module)
    finally:
        if lacking:
            del np.sctypes
    mend()


def _overlay(module, **names):
    """Returns a module that has these names, and all others from the one given."""
    overlay = types.ModuleType(module.__name__, module.__doc__)
    vars(overlay).update(names, __getattr__=functools.partial(getattr, module))
    return overlay


@functools.cache
def _numpy():
    import numpy as np

    return _overlay(np, bool=np.bool_, complex=complex)


@functools.cache
def _transforms():
    """`skimage.transform`, whose `estimate` warns from 0.26 on.

    Not `from_estimate`: it gives up where one triangle of the grid degenerates, which does no harm.
    """
    from skimage import transform

    if not hasattr(transform.PiecewiseAffineTransform, "_estimate"):
        return transform

    class PiecewiseAffineTransform(transform.PiecewiseAffineTransform):
        def estimate(self, src, dst):
            self._estimate(src, dst)

    return _overlay(transform, PiecewiseAffineTransform=PiecewiseAffineTransform)


@functools.cache
def _imageio():
    """`imageio`, whose `imread` and its `pilmode` warn at each call."""
    from imageio import v2

    def imread(file, pilmode, format):
        return v2.imread(file, mode=pilmode, format=format)

    return _overlay(v2, imread=imread)


def keep_a_pixel(length, start, end):
    """Returns the pixels to crop at both ends of an axis: fewer where none would be left.

    The surplus is given back in halves, the larger at the start, but to no end more than it takes.
    """
    surplus = max(0, start + end - (length - 1))
    start, end = start - (surplus + 1) // 2, end - surplus // 2
    start, end = max(0, start + min(0, end)), max(0, end + min(0, start))
    return int(start), int(end)
