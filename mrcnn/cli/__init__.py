"""The `mrcnn` command: one module for each of its commands."""

from mrcnn.cli.main import main

__all__ = ["main"]
