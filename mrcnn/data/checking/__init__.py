"""Checks of a data set before it is trained on: files, outlines, classes, sizes, repeats."""

from mrcnn.data.checking.checks import check, check_path
from mrcnn.data.checking.findings import Finding, Report
from mrcnn.data.checking.fixing import fix

__all__ = ["Finding", "Report", "check", "check_path", "fix"]
