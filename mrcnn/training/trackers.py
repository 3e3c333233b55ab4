"""Trackers of experiments: MLflow and Weights & Biases, as callbacks.

Each has what the run's folder has: the config, every number of every epoch, pictures, the last
checkpoint. Both also work without a server; see docs/watching.md.
"""

import importlib
import os
import re
from pathlib import Path

import keras

from mrcnn.config_values import plain_values
from mrcnn.files.replacing import replaced
from mrcnn.training.callbacks import numbers_of
from mrcnn.training.runs import checkpoints


class Tracker(keras.callbacks.Callback):
    """What both have in common; a subclass says how its library takes each.

    A run that is open already is used and left open, so that it may hold more than a training. If
    there is none, one is opened that has the name of the run's folder, and closed at the end. Its
    id is kept there, in `<library>_run.txt`: what is trained in this folder next, or resumed, goes
    on in it.

    Args:
        model: `DetectionModel` in training mode.
        evaluate: the `EvaluateCallback` whose pictures are shown, or None; it comes before this
            one in `custom_callbacks`.
        checkpoint: bool, whether the last checkpoint is handed over as training ends.

    Raises:
        ImportError: the library is not installed.
    """

    library = None

    def __init__(self, model, evaluate=None, checkpoint=True):
        super().__init__()
        self.detector, self.evaluate, self.checkpoint = model, evaluate, checkpoint
        self._module = load_library(self.library)
        self._shown, self._own = None, False

    def on_train_begin(self, logs=None):
        self._own = not self.is_open()
        if self._own:
            folder = Path(self.detector.log_dir)
            file = folder / f"{self.library}_run.txt"
            known = file.read_text(encoding="utf-8").strip() if file.is_file() else None
            run_id = self.open_run(folder.name, known)
            with replaced(file) as unfinished:
                Path(unfinished).write_text(f"{run_id}\n", encoding="utf-8")
        self.log_config(plain_values(self.detector.config))
        for path in sorted(Path(self.detector.log_dir).glob("*.jpg")):
            self.log_file(path, "pictures")

    def on_epoch_end(self, epoch, logs=None):
        self.log_numbers(numbers_of(logs), epoch + 1)
        evaluation = self.evaluate and self.evaluate.evaluation
        if evaluation is not self._shown:
            self._shown, picture = evaluation, self.evaluate.draw()
            if picture is not None:
                self.log_picture(picture, epoch + 1)

    def on_train_end(self, logs=None):
        written = checkpoints(self.detector.log_dir) if self.checkpoint else {}
        if written:
            self.log_file(Path(written[max(written)]), "checkpoints")
        if self._own:
            self.close_run()


class MLflowLogger(Tracker):
    """Logs a training to MLflow, where MLFLOW_TRACKING_URI or `mlflow.set_tracking_uri` say.

    Args:
        model, evaluate, checkpoint: as of `Tracker`.

    Raises:
        ImportError: MLflow is not installed.

    Example:

    >>> evaluate = EvaluateCallback(model, val_dataset)
    >>> callbacks = [evaluate, MLflowLogger(model, evaluate)]
    >>> model.train(train_dataset, val_dataset, 0.001, 10, "all", custom_callbacks=callbacks)
    """

    library = "mlflow"

    def is_open(self):
        return self._module.active_run() is not None

    def open_run(self, name, run_id):
        name = None if run_id else name
        return self._module.start_run(run_id=run_id, run_name=name).info.run_id

    def close_run(self):
        self._module.end_run()

    def log_config(self, values):
        # A parameter cannot change within a run: what another training of it set stays.
        known = self._module.active_run().info.run_id
        known = self._module.get_run(known).data.params
        self._module.log_params({k: v for k, v in values.items() if k not in known})

    def log_numbers(self, numbers, epoch):
        self._module.log_metrics(numbers, step=epoch)

    def log_picture(self, picture, epoch):
        self._module.log_image(picture, f"evaluation/epoch_{epoch:04d}.png")

    def log_file(self, path, folder):
        self._module.log_artifact(str(path), folder)


class WandbLogger(Tracker):
    """Logs a training to Weights & Biases; WANDB_MODE=offline keeps it on this machine.

    Args:
        model, evaluate, checkpoint: as of `Tracker`.

    Raises:
        ImportError: wandb is not installed.

    Example:

    >>> evaluate = EvaluateCallback(model, val_dataset)
    >>> callbacks = [evaluate, WandbLogger(model, evaluate)]
    >>> model.train(train_dataset, val_dataset, 0.001, 10, "all", custom_callbacks=callbacks)
    """

    library = "wandb"

    def is_open(self):
        return self._module.run is not None

    def open_run(self, name, run_id):
        known = {"id": run_id, "resume": "allow"} if run_id else {"name": name}
        project = os.environ.get("WANDB_PROJECT", self.detector.config.NAME)
        return self._module.init(project=project, **known).id

    def close_run(self):
        self._module.finish()

    def log_config(self, values):
        self._module.config.update(values, allow_val_change=True)
        self._module.define_metric("*", step_metric="epoch")

    def log_numbers(self, numbers, epoch):
        self._module.log({**numbers, "epoch": epoch})

    def log_picture(self, picture, epoch):
        self._module.log({"truth and detections": self._module.Image(picture), "epoch": epoch})

    def log_file(self, path, folder):
        if folder == "pictures":
            self._module.log({path.stem: self._module.Image(str(path))})
            return
        name = re.sub(r"[^\w.-]", "_", f"{path.parent.name}-{folder}")
        artifact = self._module.Artifact(name, type="model")
        artifact.add_file(str(path))
        self._module.log_artifact(artifact)


TRACKERS = {"mlflow": MLflowLogger, "wandb": WandbLogger}  # as the command line names them


def load_library(name):
    """Imports a tracker's library.

    Raises:
        ImportError: says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} cannot be imported: {error}. pip install 'mrcnn[{name}]'"
        ) from None
