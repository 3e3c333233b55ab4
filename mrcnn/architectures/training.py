"""Training of a model: what happens around Keras's `fit`."""

import dataclasses
import functools
import numbers
import os
import warnings

import keras

from mrcnn.data.fitting import check_same_keypoints
from mrcnn.data.generator import DataGenerator
from mrcnn.inference.log import log
from mrcnn.parallel import joined
from mrcnn.settings import Settings
from mrcnn.training.agreement import agree_on_start, agree_on_training
from mrcnn.training.batch_size import measured_batch
from mrcnn.training.failing import explained
from mrcnn.training.finite import FiniteLoss
from mrcnn.training.freezing import layer_regex_of, set_trainable, warn_of_heads_alone
from mrcnn.training.interrupts import Interrupts
from mrcnn.training.loop import fit, restart, to_tf_dataset
from mrcnn.training.optimizers import make_optimizer
from mrcnn.training.resuming import check_same, find_state, read_state, training_facts
from mrcnn.training.saving import EpochEnd, StateSaver
from mrcnn.training.schedules import make_rate
from mrcnn.training.standard_callbacks import callbacks_around
from mrcnn.training.state import FILE as STATE
from mrcnn.training.state import Position, restore_state
from mrcnn.training.step_memory import describe_step, training_sides


class ModelTraining:
    """Training; the attributes are `DetectionModel`'s."""

    generator_type = DataGenerator  # makes the batches of training
    _step = None, None  # what `compile` prepared last, and its optimizer

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
        resume=False,
    ):
        """Trains the model; checkpoints, its state, `results.csv` and logs go to `log_dir`.

        Of the config, `STEPS_PER_EPOCH`, `VALIDATION_STEPS` and the keys of optimisation and
        checkpoints are read now. All else is what the model was built with: a key that was changed
        since has no effect, and is told.

        Ctrl-C ends it after the step that is running, with its state saved; so does SIGTERM. A
        second one ends it at once.

        Args:
            train_dataset: a prepared `Dataset`.
            val_dataset: a prepared `Dataset`, or None.
            learning_rate: float, of which `LEARNING_SCHEDULE` makes a schedule; or a
                `keras.optimizers.schedules.LearningRateSchedule`.
            epochs: int, the total to reach: a model at epoch 20 trains 20 more for 40. What it
                did reach is `epoch`, also after an interruption: the same call then goes on.
            layers: "heads", "3+", "4+", "5+", "all" or a regular expression of layer names.
            augmentation: None; a callable `(image, masks) -> (image, masks)`; an imgaug
                augmenter, an albumentations transform or a Keras layer: see `mrcnn.augment`.
            custom_callbacks: list of `keras.callbacks.Callback`, or None.
            no_augmentation_sources: list of sources whose images are not augmented, or None.
            resume: bool; go on with the training whose state is in `log_dir`, else with the newest
                of this experiment in `model_dir`, and end as it would have ended undisturbed, with
                `SEED` in the same bits. A script that trains in stages resumes in each call: those
                that are done return at once. Where there is no state, training begins.

        Returns:
            keras.callbacks.History, or None when the epochs were reached already.

        Raises:
            ValueError: an inference model, a data set that cannot be used, a pattern without
                layers, or a state of another training. The first batch of the validation is
                looked at before the first step.
        """
        if self.mode != "training":
            name = type(self).__name__
            raise ValueError(f'this model was built for inference; use {name}("training", ...)')
        if not isinstance(epochs, numbers.Real) or epochs != int(epochs):
            raise ValueError(f"epochs is {epochs!r}; expected a whole number")
        layer_regex, epochs = layer_regex_of(layers), int(epochs)
        if epochs <= self.epoch and not resume:
            return self._nothing_to_train(epochs)
        settings = self._read_training_keys()
        if settings.checkpoints.patience is not None and val_dataset is None:
            raise ValueError("EARLY_STOPPING is set; expected a val_dataset to evaluate on")
        hosts, saved = joined(), self._saved_training() if resume else None
        agree_on_start(hosts, saved)
        generator = self._generator(
            saved, layer_regex, train_dataset, augmentation, no_augmentation_sources
        )
        facts = training_facts(layer_regex, learning_rate, self.settings, generator, epochs)
        position = None if saved is None else self._resume(*saved, facts, epochs)
        if epochs <= self.epoch:
            return self._nothing_to_train(epochs)
        check_same_keypoints(train_dataset, val_dataset, self.settings)
        validation = None if val_dataset is None else self._validation(val_dataset)
        self.set_trainable(layer_regex, verbose=0)
        warn_of_heads_alone(self.keras_model, layers)
        resumed, optimization = position is not None, settings.optimization
        first_epoch = position.first_epoch if resumed else self.epoch
        steps = (epochs - first_epoch) * len(generator)
        rate = make_rate(optimization, learning_rate, steps // optimization.accumulation_steps)
        known = self._step
        self.compile(rate, optimization.momentum)
        self.class_names = list(train_dataset.class_names)
        if self.settings.keypoint_head.enabled:
            self.keypoint_scheme = train_dataset.keypoint_scheme
        if resumed:
            restore_state(os.path.join(self.log_dir, STATE), self.keras_model)
        else:
            self._open_run(hosts)
            seed = hosts.first("seed", generator.seed)
            position = Position(facts, self.epoch, self.epoch, seed=seed)
        generator.go_on(position.seed, position.epoch, position.step)
        agreed = self.keras_model, self.config, generator, augmentation
        agree_on_training(hosts, position, *agreed)
        self._log_start(layers, epochs, position)
        if self._step is not known:
            self._tell_memory(generator)
        with Interrupts(hosts) as interrupts:
            finite = FiniteLoss(generator)
            saver = StateSaver(
                *(self.log_dir, position, resumed, interrupts, settings.checkpoints, finite.check),
                writes=hosts.is_first,
                saved=functools.partial(self.runs.upload, self.log_dir),
            )
            saver.callbacks = [
                saver,
                finite,
                keras.callbacks.LambdaCallback(on_epoch_end=self._count_epoch),
                *callbacks_around(self, generator, val_dataset, custom_callbacks or [], hosts),
                EpochEnd(saver),
            ]
            try:
                return self._fit(generator, validation, saver.callbacks, epochs, position)
            except BaseException as error:
                hosts.fail(error)
                raise
            finally:
                if hosts.is_first:
                    self.runs.finish(self.log_dir)

    def _generator(self, saved, layer_regex, dataset, augmentation, no_augmentation_sources):
        """The batches of a training, of as many images as fit where the config says so."""
        steps = self.config.STEPS_PER_EPOCH
        options = {
            "augmentation": augmentation,
            "steps": None if steps is None else int(steps),
            "no_augmentation_sources": no_augmentation_sources,
            "share": self.devices.share,
        }
        if self.settings.runtime.measured:
            self._fit_batch(saved, layer_regex, dataset, options)
        return self.generator_type(dataset, self.settings, **options)

    def _fit(self, generator, validation, callbacks, epochs, position):
        ending = explained(self, generator, validation, position, epochs)
        with ending, self.devices.tracing():
            return fit(
                self.keras_model,
                generator,
                self._batches,
                callbacks,
                epochs,
                position,
                validation,
            )

    def _saved_training(self):
        """The state to resume from, (path, `Position`), in whose folder the model writes from now
        on; None where there is none."""
        name = self.config.NAME.lower()
        folder = find_state(self.runs.there(self.log_dir), self.model_dir, name)
        if folder is None:
            log(f"No training to resume in {self.model_dir}: it begins")
            return None
        folder = self.runs.fetch_state(folder)
        path, position = read_state(folder)
        self._go_on_in(folder, position.epoch)
        return path, position

    def _resume(self, path, position, facts, epochs):
        """Returns the position to go on from; None after a training that has ended, or is beyond
        `epochs` already, with its weights in the model."""
        if not position.finished and position.epoch < epochs:
            check_same(path, position, facts)
            return position
        restore_state(path, self.keras_model, ("model",))
        return None

    def _fit_batch(self, saved, layer_regex, dataset, options):
        """Sets `IMAGES_PER_GPU` to as many as fit, or `BATCH_SIZE` to what it is in the training
        that is resumed."""
        if saved is not None and not saved[1].finished:
            batch = saved[1].facts["images of a batch"]
            size, self.config.BATCH_SIZE = max(1, batch // self.devices.count), batch
            told = f"BATCH_SIZE = {batch}: as in the training that goes on"
        elif self.devices.share is not None:
            raise ValueError(
                "IMAGES_PER_GPU is -1, as many as fit, which each host would find out by itself; "
                "expected a number where there are several hosts"
            )
        else:
            make = functools.partial(self.generator_type, dataset, self.settings, **options)
            self.set_trainable(layer_regex, verbose=0)
            self.compile(0.0, self.settings.optimization.momentum)
            size = measured_batch(
                self.keras_model, make, self.settings, dataset.num_images, self.devices
            )
            told = f"IMAGES_PER_GPU = {size}: as many as fit"
        self.config.IMAGES_PER_GPU = size
        log(told)
        runtime = dataclasses.replace(
            self.settings.runtime, batch_size=self.config.BATCH_SIZE, measured=False
        )
        self.settings = dataclasses.replace(self.settings, runtime=runtime)

    def _nothing_to_train(self, epochs):
        warnings.warn(
            f"nothing to train: epochs={epochs} is the total and the weights have "
            f"{self.epoch}; raise it, or set model.epoch = 0 to count anew",
            stacklevel=3,
        )

    def _log_start(self, layers, epochs, position):
        step = f", step {position.step}" if position.step else ""
        log(
            f"\nTraining {layers!r} from epoch {self.epoch}{step} to {epochs}: "
            f"{self.runs.there(self.checkpoint_path)}"
        )

    def _tell_memory(self, generator):
        sides = training_sides(generator)
        text, warning = describe_step(self.keras_model, self.settings, sides)
        log(text)
        if warning is not None:
            warnings.warn(warning, stacklevel=3)

    def _read_training_keys(self):
        """The settings, with the keys of optimisation and checkpoints as they are now."""
        now = Settings.from_config(self.config)
        self._warn_of_changed_keys(now)
        self.settings = dataclasses.replace(
            self.settings, optimization=now.optimization, checkpoints=now.checkpoints
        )
        return self.settings

    def _warn_of_changed_keys(self, now):
        changed = now.changed_since(self.settings)
        if changed:
            warnings.warn(
                f"changed after the model was built, and without effect: {', '.join(changed)}; "
                "build a model from the changed config, and load these weights into it",
                stacklevel=4,
            )

    def _validation(self, dataset):
        """Batches of the validation, of which the first was made: what it raises says so."""
        try:
            share = self.devices.share
            generator = self.generator_type(dataset, self.settings, shuffle=False, share=share)
            count = len(generator)
            generator.steps = min(int(self.config.VALIDATION_STEPS or count), count)
            generator.peek()
        except (TypeError, ValueError, RuntimeError) as error:
            raise type(error)(f"validation: {error}") from error
        return generator

    def _count_epoch(self, epoch, logs):
        self.epoch = epoch + 1

    def _batches(self, generator):
        """What `fit` takes for a generator."""
        sizes_vary = not self.settings.image.trains_on_one_size
        if sizes_vary and keras.backend.backend() == "tensorflow":
            model = self.keras_model
            inputs = [x for x in model.inputs if not model.get_layer(x.name).optional]
            return to_tf_dataset(generator, inputs)
        return self.devices.batches(generator)

    def compile(self, learning_rate, momentum):
        """Prepares training, by SGD unless `OPTIMIZER` says otherwise.

        Called again for the same layers, momentum and keys, it keeps the step that is traced or
        compiled already, and starts it anew.
        """
        model = self.keras_model
        settings = dataclasses.replace(self.settings.optimization, momentum=momentum)
        constant_rate = isinstance(learning_rate, (int, float))
        step = [x.path for x in model.trainable_weights], settings, constant_rate
        if constant_rate and self._same_step(step):
            restart(model.optimizer, learning_rate)
            return
        with self.devices.scope():
            optimizer = make_optimizer(settings, learning_rate, model)
            model.compile(optimizer, jit_compile=self._jit_compile)
            self.devices.prepare(model)
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
