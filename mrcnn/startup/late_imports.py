"""Code of ours around the import of somebody else's module, whoever imports it and whenever."""

import functools
import sys


class AroundImport:
    """Finds a module as Python does, and has it executed by a function of ours.

    Args:
        name: str, of the module.
        execute: function of Python's `exec_module` and the module.
    """

    def __init__(self, name, execute):
        self.name, self.execute = name, execute

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (other.find_spec(name, path, target) for other in others)), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader.exec_module = functools.partial(self.execute, spec.loader.exec_module)
        return spec


def around_import(name, execute):
    """Has the later import of a module done by `execute`, see `AroundImport`; imports nothing."""
    known = (f.execute for f in sys.meta_path if isinstance(f, AroundImport))
    if execute not in known:
        sys.meta_path.insert(0, AroundImport(name, execute))
