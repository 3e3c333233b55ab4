"""The packages of other tools, which this one does not install."""

import importlib


def needed(module, package):
    """Imports a module of another tool.

    Args:
        module: str, its name.
        package: str, what `pip install` calls it.

    Raises:
        ImportError: it is not installed; says how it is had.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # it is there, and lacks something itself
        raise ImportError(
            f"this needs {package}, which is not installed: pip install {package}"
        ) from None
