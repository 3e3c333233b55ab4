"""`DetectionModel`: build, train, detect. What users touch; the maths is elsewhere."""

import importlib.util
import numbers
import os
import warnings

import keras

from mrcnn.architectures.files import ModelFiles
from mrcnn.data.generator import DataGenerator
from mrcnn.inference.detections import Detections
from mrcnn.inference.detector import Detector
from mrcnn.inference.images import check_images, read_images
from mrcnn.inference.inspection import Inspection
from mrcnn.inference.log import log
from mrcnn.inference.tiling import TiledDetector
from mrcnn.settings import Settings, check_config
from mrcnn.training.callbacks import Checkpoint, DataWait, History
from mrcnn.training.freezing import layer_regex_of, set_trainable, warn_of_heads_alone
from mrcnn.training.loop import make_deterministic, restart, to_tf_dataset


class DetectionModel(Inspection, ModelFiles):
    """What every architecture of the family does; a subclass says what is its own.

    Args:
        mode: "training" or "inference". A training model detects too.
        config: a `Config`, validated here.
        model_dir: str, folder of logs and checkpoints; nothing is written before training.

    Attributes:
        keras_model: the `keras.Model` of the mode.
        graphs: dict of `keras.Model` that share their weights: "inference", "detection" and, in
            training mode, "training"; see `mrcnn.network.mask_rcnn.build_graphs`.
        detector: `mrcnn.inference.detector.Detector`, around graphs["detection"].
        settings: `mrcnn.settings.Settings`, read from the config when the model was built.
        class_names: list of names by class id, "BG" first, or None: those of the data that it was
            trained on, or of the weights that it loaded.
        epoch: int, epochs that the weights were trained for.
        log_dir: str, where the next training writes.
        checkpoint_path: str, with a field `{epoch:04d}`.

    Raises:
        ValueError: unknown mode, or keys of the config that cannot work together.
    """

    # What a subclass sets:
    weight_names = None  # `mrcnn.weights.names.WeightNames`
    build_graphs = None  # function (settings, training) -> `graphs`
    unmold = None  # function of the form that `Detector` takes
    generator_type = DataGenerator  # makes the batches of training

    class_names = None
    _step = None, None  # what `compile` prepared last, and its optimizer

    def __init__(self, mode, config, model_dir):
        if mode not in ("training", "inference"):
            raise ValueError(f'mode is {mode!r}; expected "training" or "inference"')
        check_config(config)
        config.validate()
        self.mode, self.config = mode, config
        self.model_dir = os.fspath(model_dir)
        self.keras_model = self.build(mode, config)
        self.set_log_dir()

    def build(self, mode, config):
        """Builds the graphs and returns that of the mode."""
        self.settings = Settings.from_config(config)
        if self.settings.runtime.seed is not None:
            make_deterministic(self.settings.runtime.seed)
        self.graphs = self.build_graphs(self.settings, training=mode == "training")
        self.graphs["detection"].jit_compile = self._jit_compile
        detector_type = Detector if self.settings.tiles.size is None else TiledDetector
        self.detector = detector_type(self.graphs["detection"], self.settings, self.unmold)
        return self.graphs[mode]

    @property
    def _jit_compile(self):
        # JAX has no other way than XLA; TensorFlow asks the config.
        return self.settings.runtime.jit_compile or keras.backend.backend() == "jax"

    # Detection.

    def detect(self, images, verbose=0, stream=False, progress=None):
        """Finds the objects in images of any number and any sizes. Threads may call it at once.

        Args:
            images: list of arrays [H, W, C] or [H, W], of paths, or of both; one array
                [B, H, W, C] is taken as the list of its B images. Files are read by
                `mrcnn.image.read_image`. uint8 as it is; uint16 scaled from its full range to
                0..255; floats on the scale of 0..255. Grey images are repeated into three
                channels, alpha is dropped.
            verbose: 1 prints the shapes and ranges of what goes in and comes out.
            stream: bool; True takes any iterable and returns a generator of the results, which
                keeps the images of one batch only in memory.
            progress: function of how many tiles of a large image are done, and of how many there
                are; or None.

        Returns:
            list of `mrcnn.inference.Detections`, dicts, one for each image, best detection first:
            `rois` int32 [n, 4] y1 x1 y2 x2 in pixels, `boxes` float32 [n, 4] the same before
            rounding, `class_ids` int32 [n], `scores` float32 [n] and, with `USE_MASK`, `masks`
            bool [H, W, n]. The result for an image does not depend on the others. It refers to its
            image, as given or read; from a stream it does not. With `TILE_SIZE` larger images are
            detected in by tiles, of files without the rest where `mrcnn.image.open_regions` can;
            `masks` are `mrcnn.image.CroppedMasks` then.

        Raises:
            ValueError: an image that cannot be used, named by its place in the list.
        """
        check_images(images, stream)
        images = read_images(images, self.detector, self.settings.tiles.size)
        if stream:
            results = self.detector.stream(images, progress=progress)
            return (Detections(found, None, self.class_names) for found in results)
        images = list(images)
        results = self.detector.detect(images, verbose, progress=progress)
        return [
            Detections(found, image, self.class_names)
            for found, image in zip(results, images, strict=True)
        ]

    def detect_molded(self, molded_images, image_metas, verbose=0):
        """As `detect`, for what `mold_inputs` or a data generator returned.

        Args:
            molded_images: float [B, H, W, C].
            image_metas: float [B, META].
            verbose: 1 prints the shapes and ranges of what goes in and comes out.

        Returns:
            list of `Detections` as of `detect`, without an image; boxes and masks are those of the
            molded images.
        """
        results = self.detector.detect_molded(molded_images, image_metas, verbose)
        return [Detections(found, None, self.class_names) for found in results]

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

        Of the config, `STEPS_PER_EPOCH` and `VALIDATION_STEPS` are read now. All else is what the
        model was built with: a key that was changed since has no effect, and is told.

        Args:
            train_dataset: a prepared `Dataset`.
            val_dataset: a prepared `Dataset`, or None.
            learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
            epochs: int, the total to reach: a model at epoch 20 trains 20 more for 40. What it
                did reach is `epoch`, also after an interruption: the same call then goes on.
            layers: "heads", "3+", "4+", "5+", "all" or a regular expression of layer names.
            augmentation: None; a callable `(image, masks) -> (image, masks)`; an imgaug
                augmenter, an albumentations transform or a Keras layer: see `mrcnn.augment`.
            custom_callbacks: list of `keras.callbacks.Callback`, or None.
            no_augmentation_sources: list of sources whose images are not augmented, or None.

        Returns:
            keras.callbacks.History, or None when the epochs were reached already.

        Raises:
            ValueError: an inference model, a data set that cannot be used, a pattern without
                layers. The first batch of the validation is looked at before the first step.
        """
        if self.mode != "training":
            name = type(self).__name__
            raise ValueError(f'this model was built for inference; use {name}("training", ...)')
        if not isinstance(epochs, numbers.Real) or epochs != int(epochs):
            raise ValueError(f"epochs is {epochs!r}; expected a whole number")
        layer_regex = layer_regex_of(layers)
        if epochs <= self.epoch:
            warnings.warn(
                f"nothing to train: epochs={epochs} is the total and the weights have "
                f"{self.epoch}; raise it, or set model.epoch = 0 to count anew",
                stacklevel=2,
            )
            return None
        config = self.config
        self._warn_of_changed_keys()
        train_generator = self.generator_type(
            train_dataset,
            self.settings,
            augmentation=augmentation,
            steps=None if config.STEPS_PER_EPOCH is None else int(config.STEPS_PER_EPOCH),
            no_augmentation_sources=no_augmentation_sources,
        )
        train_generator.epoch = self.epoch
        val_generator = None if val_dataset is None else self._validation(val_dataset)
        self.set_trainable(layer_regex, verbose=0)
        warn_of_heads_alone(self.keras_model, layers)
        self.compile(learning_rate, self.settings.runtime.momentum)
        self.class_names = list(train_dataset.class_names)
        self._open_run()
        log(f"\nTraining {layers!r} from epoch {self.epoch} to {epochs}: {self.checkpoint_path}")
        try:
            history = self.keras_model.fit(
                self._batches(train_generator),
                initial_epoch=self.epoch,
                epochs=int(epochs),
                validation_data=None if val_generator is None else self._batches(val_generator),
                shuffle=False,  # the generator shuffles
                callbacks=[
                    keras.callbacks.LambdaCallback(on_epoch_end=self._count_epoch),
                    DataWait(train_generator),  # before those that read the epoch's log
                    *self._callbacks(),
                    *(custom_callbacks or []),
                    History(),
                ],
            )
        except Exception:
            # TensorFlow quotes an error of the data in one of its own; the user gets the first.
            for generator in filter(None, (train_generator, val_generator)):
                if generator.error is not None:
                    raise generator.error from generator.error.__cause__
            raise
        return history

    def _warn_of_changed_keys(self):
        changed = Settings.from_config(self.config).changed_since(self.settings)
        if changed:
            warnings.warn(
                f"changed after the model was built, and without effect: {', '.join(changed)}; "
                "build a model from the changed config, and load these weights into it",
                stacklevel=3,
            )

    def _validation(self, dataset):
        """Batches of the validation, of which the first was made: what it raises says so."""
        try:
            generator = self.generator_type(dataset, self.settings, shuffle=False)
            count = len(generator)
            generator.steps = min(int(self.config.VALIDATION_STEPS or count), count)
            generator[0]
        except (TypeError, ValueError, RuntimeError) as error:
            raise type(error)(f"validation: {error}") from error
        return generator

    def _open_run(self):
        """Makes `log_dir`. Two runs that start at once, or a second from epoch 0, have two."""
        while self.epoch == 0 and self.log_dir == self._new_run:
            try:
                return os.makedirs(self.log_dir)
            except FileExistsError:
                self.set_log_dir()
        return os.makedirs(self.log_dir, exist_ok=True)  # it goes on, or the user chose the folder

    def _count_epoch(self, epoch, logs):
        self.epoch = epoch + 1

    def _batches(self, generator):
        """What `fit` takes for a generator."""
        sizes_vary = self.settings.image.resize_mode not in ("square", "crop")
        if sizes_vary and keras.backend.backend() == "tensorflow":
            model = self.keras_model
            inputs = [x for x in model.inputs if not model.get_layer(x.name).optional]
            return to_tf_dataset(generator, inputs)
        return generator

    def _callbacks(self):
        callbacks = [Checkpoint(self.save_weights, self.checkpoint_path)]
        if all(map(importlib.util.find_spec, ("tensorflow", "tensorboard"))):
            board = keras.callbacks.TensorBoard(self.log_dir, write_graph=False)
            board.async_safe = True  # else Keras has the host wait for the log of every step
            callbacks.append(board)
        return callbacks

    def compile(self, learning_rate, momentum):
        """Prepares training by SGD with the gradients' global norm clipped.

        Called again for the same layers, momentum and clipping, it keeps the step that is traced
        or compiled already, and starts it anew.
        """
        model, clip_norm = self.keras_model, self.settings.runtime.clip_norm
        constant_rate = isinstance(learning_rate, (int, float))
        step = [x.path for x in model.trainable_weights], momentum, clip_norm, constant_rate
        if constant_rate and self._same_step(step):
            restart(model.optimizer, learning_rate)
            return
        optimizer = keras.optimizers.SGD(learning_rate, momentum, global_clipnorm=clip_norm)
        # Now: variables that the first step makes have TensorFlow trace it twice.
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, jit_compile=self._jit_compile)
        self._step = step, optimizer

    def _same_step(self, step):
        """Whether the model is compiled for a step already, by this class."""
        known, optimizer = self._step
        return known == step and self.keras_model.optimizer is optimizer

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
        if verbose:
            for layer in matched:
                log(f"{' ' * indent}{layer.name:25} ({type(layer).__name__})")

    def __reduce_ex__(self, protocol):
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: build another one from the same "
            "config, and load what save_weights(path) wrote"
        )
