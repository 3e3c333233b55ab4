"""More than one process: detection in any number of pictures.

- `dataset`: `detect_dataset`, into Parquet, by the engine `local` or `ray_engine`.
- `listing`, `plan`: which pictures there are, in which blocks.
- `blocks`, `rows`, `parts`: what a worker does, what it writes, and what that becomes.
- `results`: what was written, read again.
"""

from mrcnn.distribute.dataset import DatasetSummary, detect_dataset
from mrcnn.distribute.listing import list_pictures

__all__ = ["DatasetSummary", "detect_dataset", "list_pictures"]
