"""A training that ends before its last epoch: what its error says, and what the model is then."""

import contextlib
import os

from mrcnn.parallel import joined
from mrcnn.training.memory import advice, is_out_of_memory
from mrcnn.training.resuming import read_state
from mrcnn.training.saving import swap_averages
from mrcnn.training.state import FILE, restore_state
from mrcnn.training.step_memory import training_sides


@contextlib.contextmanager
def explained(model, generator, validation, position, epochs):
    """Has what ends a training say what it means, and how to go on.

    Args:
        model: the `DetectionModel` that is trained.
        generator: its `DataGenerator`.
        validation: that of the validation, or None.
        position: `mrcnn.training.state.Position`, kept up to date.
        epochs: int, the total to reach.

    Raises:
        FloatingPointError: a loss was not finite; the model has its last good weights again.
        MemoryError: it ran out; the message says what helps.
        Exception: of the data or of anything else, as it was raised.
    """
    try:
        yield
    except FloatingPointError as error:
        saved = _restore(model)
        if saved is None:
            raise  # the weights that it began with are at fault
        raise FloatingPointError(
            f"{error}. The model has its last good weights again, of epoch {saved.epoch + 1}, "
            f"step {saved.step}: train them with a lower learning rate, or with WARMUP_STEPS; "
            "`mrcnn check` tells whether the data are at fault"
        ) from error
    except Exception as error:
        joined().settle(error)
        if os.path.isfile(os.path.join(model.log_dir, FILE)):
            _, saved = read_state(model.log_dir)
            print(
                f"\nEnded by an error; train(..., resume=True) goes on from "
                f"{model.runs.there(model.log_dir)}, "
                f"epoch {saved.epoch + 1}, step {saved.step}",
                flush=True,
            )
        if is_out_of_memory(error):
            helps = advice(model.settings, model.keras_model, training_sides(generator))
            raise MemoryError(
                f"a training step needs more memory than there is. What helps: {helps}"
            ) from error
        # TensorFlow quotes an error of the data in one of its own; the user gets the first.
        for each in filter(None, (generator, validation)):
            if each.error is not None:
                raise each.error from each.error.__cause__
        raise
    except (KeyboardInterrupt, SystemExit):
        print(
            f"\nInterrupted in epoch {position.epoch + 1} of {epochs}, after {position.step} "
            f"steps of it; train(..., resume=True) goes on from "
            f"{model.runs.there(model.log_dir)}",
            flush=True,
        )
        raise


def _restore(model):
    """Gives a model the weights of its last saved state, averaged where the optimizer averages
    them. Returns its `Position`, None where none was saved."""
    network = model.keras_model
    if not os.path.isfile(os.path.join(model.log_dir, FILE)):
        return None
    path, saved = read_state(model.log_dir)
    restore_state(path, network, ("model", "optimizer"))
    if network.optimizer.use_ema and int(network.optimizer.iterations):  # else there are none yet
        swap_averages(network)
    model.epoch = saved.epoch
    return saved
