"""Learning rates over the updates of a training: Keras's schedules, and two that it has not."""

import math

import keras
from keras import ops
from keras.optimizers import schedules

_ONE_CYCLE = 0.3, 25.0, 1e4  # share of the rise, rate below the peak at the start, and at the end


def make_rate(settings, learning_rate, updates):
    """The learning rate of an optimizer for one call of `train`.

    Args:
        settings: `mrcnn.settings.Optimization`.
        learning_rate: float, the highest rate; a `LearningRateSchedule` is returned as it is.
        updates: int, of the whole training.

    Returns:
        float, or a `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        ValueError: the rate is no number, or the warm-up is longer than the training.
    """
    if isinstance(learning_rate, schedules.LearningRateSchedule):
        return learning_rate
    warmup, updates = settings.warmup_steps, max(1, updates)
    if warmup >= updates:
        raise ValueError(
            f"WARMUP_STEPS is {warmup}, but the training has {updates} updates; lower it, or train "
            "longer"
        )
    rate = _MAKERS[settings.schedule](settings, float(learning_rate), updates - warmup)
    return Warmup(rate, warmup, settings.warmup_factor) if warmup else rate


def _constant(settings, rate, updates):
    return rate


def _multistep(settings, rate, updates):
    boundaries = [max(1, round(share * updates)) for share in settings.milestones]
    values = [rate * settings.drop**i for i in range(len(boundaries) + 1)]
    # Keras's boundaries belong to the interval before them.
    return schedules.PiecewiseConstantDecay([x - 1 for x in boundaries], values)


def _cosine(settings, rate, updates):
    return schedules.CosineDecay(rate, updates)


def _one_cycle(settings, rate, updates):
    return OneCycle(rate, updates)


_MAKERS = {
    "constant": _constant,
    "multistep": _multistep,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
}


@keras.saving.register_keras_serializable("mrcnn")
class Warmup(schedules.LearningRateSchedule):
    """A linear rise before a schedule (Goyal et al. 2017).

    Args:
        rate: float or `LearningRateSchedule`, what follows; its first update comes after the rise.
        steps: int, updates of the rise.
        factor: float, share of the first rate at the first update.
    """

    def __init__(self, rate, steps, factor=0.001):
        super().__init__()
        if isinstance(rate, dict):
            rate = keras.saving.deserialize_keras_object(rate)
        self.rate, self.steps, self.factor = rate, steps, factor

    def __call__(self, step):
        step = ops.cast(step, "float32")
        after = ops.maximum(step - self.steps, 0.0)
        rate = self.rate(after) if callable(self.rate) else self.rate
        risen = ops.minimum(step / self.steps, 1.0)
        return rate * (self.factor + (1.0 - self.factor) * risen)

    def get_config(self):
        rate = self.rate
        if callable(rate):
            rate = keras.saving.serialize_keras_object(rate)
        return {"rate": rate, "steps": self.steps, "factor": self.factor}


@keras.saving.register_keras_serializable("mrcnn")
class OneCycle(schedules.LearningRateSchedule):
    """Half a cosine up to the peak and another down to nearly nothing (Smith and Topin 2018).

    The shape is that of PyTorch's `OneCycleLR` with its defaults: from 1/25 of the peak up in 30 %
    of the updates, then down to a ten thousandth of the start.

    Args:
        peak: float.
        steps: int, updates of the whole cycle.
    """

    def __init__(self, peak, steps):
        super().__init__()
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        share, start, end = _ONE_CYCLE
        step, top = ops.cast(step, "float32"), share * self.steps
        low, last = self.peak / start, self.peak / start / end
        up = _cosine_between(low, self.peak, step / top)
        down = _cosine_between(self.peak, last, (step - top) / (self.steps - top))
        return ops.where(step < top, up, down)

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps}


def _cosine_between(start, end, share):
    """From `start` to `end` along half a cosine, constant outside."""
    share = ops.clip(share, 0.0, 1.0)
    return end + (start - end) * 0.5 * (1.0 + ops.cos(math.pi * share))
