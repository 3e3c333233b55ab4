"""What workers are given, what they tell, and where a block's rows lie."""

import dataclasses
import traceback
from collections.abc import Callable

from mrcnn.distribute.plan import Plan

FOLDER, MARKS = "_blocks", "_attempts"


@dataclasses.dataclass(frozen=True)
class Job:
    """What all workers of a run are given.

    Attributes:
        build: function without arguments that returns a `DetectionModel`.
        plan: `mrcnn.distribute.plan.Plan`.
        run: str, another for each run.
        score: float, the least score of what is kept, or None.
    """

    build: Callable
    plan: Plan
    run: str
    score: float | None = None


@dataclasses.dataclass(frozen=True)
class Done:
    """What a worker tells of a block.

    Attributes:
        block: int.
        pictures, failed, instances: int, rows, those of them with an error, and detections.
    """

    block: int
    pictures: int
    failed: int
    instances: int


def block_name(plan, block):
    """The file of a block's rows."""
    return f"{FOLDER}/{plan.name}-{block:08d}.parquet"


def portable(error):
    """An exception that was caught, as one that any process can read; where it was, is a note."""
    kind = next((x for x in (ValueError, OSError, ImportError) if isinstance(error, x)), None)
    text = str(error) if kind else f"{type(error).__name__}: {error}"
    told = (kind or RuntimeError)(text)
    told.add_note("".join(traceback.format_exception(error)))
    return told
