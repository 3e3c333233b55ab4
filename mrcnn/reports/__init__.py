"""Pages and folders of pictures for people: what a data set or a model is like, to look at."""

from mrcnn.reports.evaluation_page import write_curves, write_evaluation_page

__all__ = ["write_curves", "write_evaluation_page"]
