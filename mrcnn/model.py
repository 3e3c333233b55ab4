"""`MaskRCNN`: build, train, detect, load, save. What users touch; the maths is elsewhere."""

import datetime
import importlib.util
import os
import re
import warnings

import keras

from mrcnn import convert, hdf5, matterport_data, matterport_graphs, utils, weights
from mrcnn.backbone import conv_block, identity_block, resnet_graph
from mrcnn.data import DataGenerator
from mrcnn.detector import Detector, log
from mrcnn.ground_truth import load_image_gt
from mrcnn.matterport_data import *  # noqa: F403
from mrcnn.matterport_graphs import *  # noqa: F403
from mrcnn.network import build_network, compute_backbone_shapes
from mrcnn.readers import read_arrays
from mrcnn.training import (
    LAYER_GROUPS,
    Checkpoint,
    DataWait,
    make_deterministic,
    set_trainable,
    to_tf_dataset,
)

# matterport's import path of its functions and layers, whose homes are elsewhere.
__all__ = [
    "DataGenerator",
    "MaskRCNN",
    "compute_backbone_shapes",
    "conv_block",
    "identity_block",
    "load_image_gt",
    "log",
    "resnet_graph",
    "utils",
    *matterport_data.__all__,
    *matterport_graphs.__all__,
]


class MaskRCNN(Detector):
    """Mask R-CNN (arXiv:1703.06870).

    Args:
        mode: "training" or "inference". A training model detects too.
        config: a `Config`, validated here.
        model_dir: str, folder of logs and checkpoints; nothing is written before training.

    Attributes:
        keras_model: the `keras.Model` of the mode, with matterport's inputs and outputs.
        epoch: int, epochs that the weights were trained for.
        log_dir: str, where the next training writes.
        checkpoint_path: str, with a field `{epoch:04d}`.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.

    Example:

    >>> model = MaskRCNN("inference", config, "logs")
    >>> model.load_weights("mask_rcnn_shapes_0010.h5")
    >>> model.detect([image])[0]["rois"].shape
    (3, 4)
    """

    def __init__(self, mode, config, model_dir):
        if mode not in ("training", "inference"):
            raise ValueError(f'mode is {mode!r}; expected "training" or "inference"')
        config.validate()
        self.mode, self.config, self.model_dir = mode, config, os.fspath(model_dir)
        if config.SEED is not None:
            make_deterministic(config.SEED)
        # JAX has no other way than XLA; TensorFlow asks the config.
        self._jit_compile = config.JIT_COMPILE or keras.backend.backend() == "jax"
        self.keras_model = self.build(mode, config)
        self.set_log_dir()

    def build(self, mode, config):
        """Builds the graphs and returns that of the mode, with matterport's inputs and outputs."""
        self.graphs = build_network(config, training=mode == "training")
        self.graphs["detection"].jit_compile = self._jit_compile
        self._compiled = {}  # see `mrcnn.detector._same_shapes`
        if mode == "training":
            self._sides = tuple(int(side) for side in config.IMAGE_SHAPE[:2])
        return self.graphs[mode]

    # Training.

    def train(
        self,
        train_dataset,
        val_dataset,
        learning_rate,
        epochs,
        layers,
        augmentation=None,
        custom_callbacks=None,
        no_augmentation_sources=None,
    ):
        """Trains the model; TensorBoard logs and a checkpoint per epoch go to `log_dir`.

        Args:
            train_dataset: a prepared `Dataset`.
            val_dataset: a prepared `Dataset`, or None.
            learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
            epochs: int, the total to reach: a model at epoch 20 trains 20 more for 40.
            layers: "heads", "3+", "4+", "5+", "all" or a regular expression of layer names.
            augmentation: None; a callable `(image, masks) -> (image, masks)`; an imgaug
                augmenter, an albumentations transform or a Keras layer: see `mrcnn.augment`.
            custom_callbacks: list of `keras.callbacks.Callback`, or None.
            no_augmentation_sources: list of sources whose images are not augmented, or None.

        Returns:
            keras.callbacks.History, or None when the epochs were reached already.

        Raises:
            ValueError: an inference model, a data set that cannot be used, a pattern without
                layers.
        """
        if self.mode != "training":
            raise ValueError('this model was built for inference; use MaskRCNN("training", ...)')
        if epochs <= self.epoch:
            warnings.warn(
                f"nothing to train: epochs={epochs} is the total and the weights have "
                f"{self.epoch}; raise it, or set model.epoch = 0 to count anew",
                stacklevel=2,
            )
            return None
        config = self.config
        train_generator = DataGenerator(
            train_dataset,
            config,
            augmentation=augmentation,
            steps=None if config.STEPS_PER_EPOCH is None else int(config.STEPS_PER_EPOCH),
            no_augmentation_sources=no_augmentation_sources,
        )
        train_generator.epoch = self.epoch
        val_generator = None
        if val_dataset is not None:
            val_generator = DataGenerator(val_dataset, config, shuffle=False)
            count = len(val_generator)
            val_generator.steps = min(int(config.VALIDATION_STEPS or count), count)

        self.set_trainable(LAYER_GROUPS.get(layers, layers), verbose=0)
        self.compile(learning_rate, config.LEARNING_MOMENTUM)
        log(f"\nTraining {layers!r} from epoch {self.epoch} to {epochs}: {self.checkpoint_path}")
        try:
            history = self.keras_model.fit(
                self._batches(train_generator),
                initial_epoch=self.epoch,
                epochs=epochs,
                validation_data=None if val_generator is None else self._batches(val_generator),
                shuffle=False,  # the generator shuffles
                callbacks=[
                    DataWait(train_generator),  # before those that read the epoch's log
                    *self._callbacks(),
                    *(custom_callbacks or []),
                ],
            )
        except Exception:
            # TensorFlow quotes an error of the data in one of its own; the user gets the first.
            for generator in filter(None, (train_generator, val_generator)):
                if generator.error is not None:
                    raise generator.error from generator.error.__cause__
            raise
        self.epoch = epochs
        return history

    def _batches(self, generator):
        """What `fit` takes for a generator."""
        sizes_vary = self.config.IMAGE_RESIZE_MODE not in ("square", "crop")
        if sizes_vary and keras.backend.backend() == "tensorflow":
            return to_tf_dataset(generator, self.keras_model.inputs)
        return generator

    def _callbacks(self):
        os.makedirs(self.log_dir, exist_ok=True)
        callbacks = [Checkpoint(self.save_weights, self.checkpoint_path)]
        if all(map(importlib.util.find_spec, ("tensorflow", "tensorboard"))):
            board = keras.callbacks.TensorBoard(self.log_dir, write_graph=False)
            board.async_safe = True  # else Keras has the host wait for the log of every step
            callbacks.append(board)
        return callbacks

    def compile(self, learning_rate, momentum):
        """Prepares training by SGD with the gradients' global norm clipped."""
        self.keras_model.compile(
            keras.optimizers.SGD(
                learning_rate, momentum, global_clipnorm=self.config.GRADIENT_CLIP_NORM
            ),
            jit_compile=self._jit_compile,
        )

    def set_trainable(self, layer_regex, keras_model=None, indent=0, verbose=1):
        """Makes the layers whose whole name matches trainable, and no others.

        Args:
            layer_regex: str, regular expression of layer names.
            keras_model: a model inside `self.keras_model`, or None for that itself.
            indent: int, spaces before each printed line.
            verbose: 0 prints nothing.

        Raises:
            ValueError: no layer with weights matches.
        """
        matched = set_trainable(keras_model or self.keras_model, layer_regex)
        if not matched:
            raise ValueError(
                f"no layer with weights matches {layer_regex!r}; expected one of "
                f"{list(LAYER_GROUPS)} or a regular expression of names such as 'mrcnn_.*'"
            )
        if verbose:
            for layer in matched:
                log(f"{' ' * indent}{layer.name:25} ({type(layer).__name__})")

    def find_trainable_layer(self, layer):
        """Returns the layer that has the weights, if `layer` wraps another one."""
        while hasattr(layer, "layer"):
            layer = layer.layer
        return layer

    def get_trainable_layers(self):
        """Returns the layers of `keras_model` that have weights."""
        layers = [self.find_trainable_layer(layer) for layer in self.keras_model.layers]
        return [layer for layer in layers if layer.weights]

    # Files.

    def load_weights(self, filepath, by_name=False, exclude=None):
        """Loads weights of any supported source, and says what it did.

        A checkpoint of this experiment also sets `epoch` and `log_dir`, so that training goes on.

        Args:
            filepath: a file that `mrcnn.readers` reads; or "coco" or "imagenet": the public
                weights for this config's preset or backbone; or a name of `mrcnn weights list`.
            by_name: bool; load what both have, and list in a warning what the file lacks.
            exclude: list of layer names or regular expressions, left as they are.

        Returns:
            dict, the report of `mrcnn.convert.load_state_dict`.

        Raises:
            ValueError: the file cannot be read or does not fit; the message says where.
        """
        filepath = os.fspath(filepath)
        entry = weights.resolve(filepath, self.config)
        if entry is not None:
            filepath = weights.fetch(entry)
        epsilon = weights.released_epsilon(filepath)
        arrays = read_arrays(filepath)
        preset = hdf5.read_attribute(filepath, "preset")
        try:
            source = convert.guess_source(arrays)
            report = convert.load_state_dict(
                self, arrays, source, by_name, exclude, epsilon, preset
            )
        except ValueError as error:
            raise ValueError(f"{filepath}: {error}") from None
        log(f"{filepath}: {convert.summarize(report)}")
        if by_name and report["missing"]:
            warnings.warn(
                f"{len(report['missing'])} weights are not in {filepath} and were left as they "
                f"are: {', '.join(report['missing'])}",
                stacklevel=2,
            )
        self.set_log_dir(filepath)
        return report

    def save_weights(self, filepath):
        """Writes all weights to an HDF5 file in matterport's layout, whole or not at all."""
        hdf5.save_weights(self.graphs["inference"], filepath, preset=self.config.PRESET)

    def get_imagenet_weights(self):
        """Returns the path of the backbone's ImageNet weights, fetched where they are not yet."""
        return weights.fetch(weights.resolve("imagenet", self.config))

    def find_last(self):
        """Returns the path of the newest checkpoint of this experiment in `model_dir`.

        Raises:
            FileNotFoundError: there is none.
        """
        pattern = re.compile(re.escape(self.config.NAME.lower()) + r"\d{8}T\d{4}")
        folders = os.listdir(self.model_dir) if os.path.isdir(self.model_dir) else []
        for folder in sorted(filter(pattern.fullmatch, folders), reverse=True):
            folder = os.path.join(self.model_dir, folder)
            names = sorted(n for n in os.listdir(folder) if re.fullmatch(r"mask_rcnn_.*\.h5", n))
            if names:
                return CheckpointPath(os.path.join(folder, names[-1]))
        raise FileNotFoundError(
            f"no checkpoint of {self.config.NAME!r} under {os.path.abspath(self.model_dir)}"
        )

    def set_log_dir(self, model_path=None):
        """Sets `epoch`, `log_dir` and `checkpoint_path`.

        Args:
            model_path: str or None. A checkpoint `<name><date>T<time>/mask_rcnn_<name>_<epoch>.h5`
                of this experiment is continued in its folder; otherwise a new one starts at 0.
        """
        name = self.config.NAME.lower()
        pattern = rf"(.*[/\\]{re.escape(name)}\d{{8}}T\d{{4}})[/\\]mask_rcnn_[^/\\]*_(\d{{4,}})\.h5"
        match = re.fullmatch(pattern, os.path.abspath(model_path)) if model_path else None
        if match:
            self.log_dir, self.epoch = match[1], int(match[2])
        else:
            self.log_dir, self.epoch = self._new_log_dir(name), 0
        self.checkpoint_path = os.path.join(self.log_dir, f"mask_rcnn_{name}_{{epoch:04d}}.h5")

    def _new_log_dir(self, name):
        """A folder that no earlier run uses: names have minutes, so a taken one is put off."""
        now = datetime.datetime.now()
        while True:
            folder = os.path.join(self.model_dir, f"{name}{now:%Y%m%dT%H%M}")
            if not os.path.exists(folder):
                return folder
            now += datetime.timedelta(minutes=1)


class CheckpointPath(str):
    """A path that answers as matterport 2.0's pair of folder and path did, with a warning."""

    def __getitem__(self, key):
        if key not in (0, 1):
            return super().__getitem__(key)
        return self._pair(f"[{key}]")[key]

    def __iter__(self):
        return iter(self._pair("the other name"))

    def _pair(self, superfluous):
        warnings.warn(
            f"find_last() returns the path itself, not a pair: leave out {superfluous}",
            FutureWarning,
            stacklevel=3,
        )
        return os.path.dirname(self), str(self)
