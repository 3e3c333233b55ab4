"""Lets imgaug 0.4.0, the last release, be imported and used with today's NumPy.

imgaug reads `np.sctypes` (gone in NumPy 2) while it is imported, and `np.bool` and `np.complex`
(gone in NumPy 1.24; the first came back in 2.0) while it augments. Matterport's scripts import it
themselves, so the names must be there without a call: `install`, which `import mrcnn` runs, puts a
finder in front of Python's that does nothing until somebody imports imgaug. NumPy itself is
changed only while imgaug's modules are executed. Afterwards those of them that need it get an
overlay in place of `np`; every other library sees NumPy as it is.

A script that imports imgaug before anything of mrcnn is out of the finder's reach: `mrcnn.run`.
"""

import functools
import sys
import types

from mrcnn.importing import around_import

# Module of imgaug: the name in it that is replaced, and by what.
_MENDED = {
    "imgaug.parameters": ("np", lambda: _numpy()),
    "imgaug.augmenters.meta": ("np", lambda: _numpy()),
    "imgaug.augmentables.polys": ("np", lambda: _numpy()),
    "imgaug.augmenters.geometric": ("tf", lambda: _transforms()),
    "imgaug.augmenters.arithmetic": ("imageio", lambda: _imageio()),
}


def install():
    """Makes every later `import imgaug` work, and mends an earlier one; imports nothing else."""
    around_import("imgaug", _execute)
    mend()


def mend():
    """Gives the imported modules of imgaug what NumPy and others no longer have."""
    for name, (alias, replacement) in _MENDED.items():
        if name in sys.modules:
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
