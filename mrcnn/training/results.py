"""`results.csv` and `results.png`: a training in numbers and curves, beside its checkpoints."""

import csv
import time
import warnings
from pathlib import Path

import keras

from mrcnn.files.replacing import replaced
from mrcnn.training.callbacks import numbers_of

SECONDS_BETWEEN_PICTURES = 30  # of short epochs: a picture takes most of a second


class Results(keras.callbacks.Callback):
    """Writes `results.csv`, a line for each epoch with all that was logged, and `results.png`.

    The table is written anew after each epoch: lines of earlier epochs that are there already
    stay, those of epochs that are trained again are replaced. The picture follows it, at most
    half a minute behind. What cannot be written is told once, and ends no training.

    Args:
        folder: path.

    Raises:
        ValueError: as training begins; the folder has a `results.csv` of something else.
    """

    def __init__(self, folder):
        super().__init__()
        self.table, self.picture = Path(folder, "results.csv"), Path(folder, "results.png")
        self.rows, self._drawn, self._told = [], None, False

    def on_train_begin(self, logs=None):
        self.rows = read_results(self.table) if self.table.exists() else []
        self._drawn = None

    def on_epoch_end(self, epoch, logs=None):
        self.rows = [row for row in self.rows if row["epoch"] <= epoch]
        self.rows.append({"epoch": epoch + 1, **numbers_of(logs)})
        self._try(self._write)
        now = time.monotonic()
        if self._drawn is None or now - self._drawn[0] > SECONDS_BETWEEN_PICTURES:
            self._draw()

    def on_train_end(self, logs=None):
        if self.rows and self._drawn and self._drawn[1] != self.rows[-1]["epoch"]:
            self._draw()

    def _write(self):
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            replaced(self.table) as unfinished,
            open(unfinished, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def _draw(self):
        from mrcnn.visualize.training_plots import plot_results  # Matplotlib, when it is needed

        self._try(lambda: plot_results(self.rows, self.picture))
        self._drawn = time.monotonic(), self.rows[-1]["epoch"]

    def _try(self, write):
        try:
            write()
        except OSError as error:  # a full disk, or a table that a spreadsheet keeps open
            if not self._told:
                warnings.warn(f"training goes on without its results: {error}", stacklevel=2)
            self._told = True


def read_results(path):
    """The rows of a `results.csv`: list of dicts of float by name, `epoch` an int.

    Raises:
        ValueError: names the file, where it is no such table.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
        return [{**row, "epoch": int(row["epoch"])} for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected numbers with a column epoch, as training writes them, received "
            f"something else ({type(error).__name__}: {error}). Move it elsewhere."
        ) from None
