"""Files of a model: its weights, read and written, and the folder that its training writes."""

import os
import warnings

from mrcnn.files.folders import uploaded
from mrcnn.files.hdf5 import read_attribute
from mrcnn.files.reading import is_saved_model, read_arrays
from mrcnn.files.remote import is_remote
from mrcnn.inference.log import log
from mrcnn.network.named_weights import read_saved_model, save_weights
from mrcnn.training.remote_runs import runs_at
from mrcnn.training.runs import checkpoints, last_checkpoint, new_run, run_of
from mrcnn.weights.fetching import fetch
from mrcnn.weights.file_config import attributes_of, class_names_of, keypoint_scheme_of
from mrcnn.weights.loading import load_state_dict, summarize
from mrcnn.weights.registry import released_epsilon, resolve
from mrcnn.weights.remote import local_weights
from mrcnn.weights.sources import guess_source


class ModelFiles:
    """Loading, saving and the folders of runs; the attributes are `DetectionModel`'s."""

    @property
    def model_dir(self):
        return self.runs.root

    @model_dir.setter
    def model_dir(self, path):
        self.runs = runs_at(os.fspath(path))

    def load_weights(self, filepath, by_name=False, exclude=None):
        """Loads weights of any supported source, and says what it did.

        A checkpoint of this experiment also sets `epoch` and `log_dir`, so that training goes on.

        Args:
            filepath: a file that `mrcnn.files.reading` reads, or a `.keras` file of this model, as
                `keras.callbacks.ModelCheckpoint` writes it, here or remote, s3://bucket/mine.h5; or
                "coco" or "imagenet": the public weights for this config's preset or backbone; or a
                name of `mrcnn weights list`.
            by_name: bool; load what both have, and list in a warning what the file lacks.
            exclude: list of layer names or regular expressions, left as they are.

        Returns:
            dict, the report of `mrcnn.weights.load_state_dict`, short where it is printed.

        Raises:
            ValueError: the file cannot be read or does not fit; the message says where.
        """
        if filepath is None:
            raise ValueError(
                'filepath is None; expected the path of a weight file, "coco" or "imagenet"'
            )
        given = os.fspath(filepath)
        filepath = local_weights(given)
        entry = resolve(filepath, self.config)
        if entry is not None:
            filepath = fetch(entry)
        arrays = (read_saved_model if is_saved_model(filepath) else read_arrays)(filepath)
        epsilon = released_epsilon(filepath)
        preset = read_attribute(filepath, "preset")
        if entry is not None and entry.preset is None:
            preset = self.settings.preset  # it fits any
        try:
            source = guess_source(arrays)
            report = load_state_dict(self, arrays, source, by_name, exclude, epsilon, preset)
        except ValueError as error:
            raise ValueError(f"{filepath}: {error}") from None
        log(f"{filepath}: {summarize(report)}")
        if by_name and report["missing"]:
            warnings.warn(
                f"{len(report['missing'])} weights are not in {filepath} and were left as they "
                f"are: {', '.join(report['missing'])}",
                stacklevel=2,
            )
        self._take_names(class_names_of(filepath), keypoint_scheme_of(filepath), report)
        self.set_log_dir(given if is_remote(given) else filepath)
        return report

    def _take_names(self, names, scheme, report):
        """Those of a file, of classes and of keypoints, if its heads are now the model's."""
        if report["reinitialized"] or report["excluded"]:
            return
        if names is not None and len(names) == self.settings.image.num_classes:
            self.class_names = names
        head = self.settings.keypoint_head
        if head.enabled and scheme is not None and len(scheme) == head.num_keypoints:
            self.keypoint_scheme = scheme

    def save_weights(self, filepath):
        """Writes all weights to an HDF5 file in matterport's layout, whole or not at all.

        The config and the class names are kept in it, for `mrcnn.weights.config_of` and
        `load_weights`.

        Args:
            filepath: here, or remote, s3://bucket/mine.h5.

        Raises:
            OSError: the file cannot be written; what was there is untouched.
        """
        attributes = attributes_of(self.config, self.class_names, self.keypoint_scheme)
        with uploaded(filepath) as path:
            save_weights(self.graphs["inference"], path, **attributes)

    def find_last(self):
        """Returns the path of the newest checkpoint of this experiment in `model_dir`.

        Raises:
            FileNotFoundError: there is none.
        """
        return last_checkpoint(self.model_dir, self.config.NAME.lower())

    def set_log_dir(self, model_path=None):
        """Sets `epoch`, `log_dir` and `checkpoint_path`.

        Args:
            model_path: str or None. A checkpoint `<name><date>T<time>/mask_rcnn_<name>_<epoch>.h5`
                of this experiment is continued in its folder; otherwise a new one starts at 0.
        """
        name = self.config.NAME.lower()
        run = run_of(self.runs.here(model_path), name) if model_path else None
        self._new_run = None if run else new_run(self.runs.path, name)
        self.log_dir, self.epoch = run or (self._new_run, 0)
        self.checkpoint_path = os.path.join(self.log_dir, f"mask_rcnn_{name}_{{epoch:04d}}.h5")

    def _go_on_in(self, folder, epoch):
        """Has the model write to the folder of a run that it goes on with."""
        self._new_run, self.log_dir, self.epoch = None, folder, epoch
        self.checkpoint_path = os.path.join(folder, os.path.basename(self.checkpoint_path))

    def _open_run(self, hosts):
        """Makes the folder of a run, which is the first host's."""
        if hosts.is_first:
            self._make_log_dir()
        folder = hosts.first("log_dir", self.runs.there(self.log_dir))
        if not hosts.is_first:
            self._go_on_in(self.runs.here(folder), self.epoch)

    def _make_log_dir(self):
        """Makes `log_dir`. Two runs that start at once, a second from epoch 0, and one that leaves
        an earlier run before its last checkpoint have folders of their own."""
        earlier = checkpoints(self.runs.there(self.log_dir))
        if self._new_run is None and max(earlier, default=0) > self.epoch:
            epoch = self.epoch
            self.set_log_dir()
            self.runs.make(self.log_dir)
            self.epoch = epoch
        while self.epoch == 0 and self.log_dir == self._new_run:
            try:
                return self.runs.make(self.log_dir)
            except FileExistsError:
                self.set_log_dir()
        return self.runs.open(self.log_dir)  # it goes on, or the user chose the folder
