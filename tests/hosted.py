"""A training of a tiny network on several hosts, each a process of its own on this machine.

As a script it is one of them: `python hosted.py FOLDER OPTIONS`, the hosts named by Keras's
environment variables, or none. It trains in FOLDER/logs, goes on with what it finds there, and
writes its last weights and the losses of each step to FOLDER/PROCESS.npz.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

EPOCHS = 2
# Ten steps. The last batch of nineteen has three images, and two of the shapes below no object.
IMAGES, BATCH = 19, 4
STEPS = EPOCHS * -(-IMAGES // BATCH)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def start(folder, count, devices=1, command=None, **options):
    """Starts the processes: a list of `subprocess.Popen`.

    They run this script, another command, a list, or what a function of the addresses, a str, and
    the index of a process returns, which names the hosts by itself.
    """
    addresses = ",".join(f"127.0.0.1:{free_port()}" for _ in range(count))
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    os.makedirs(folder, exist_ok=True)
    started = []
    for index in range(count):
        environment = {
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": flags,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        if count > 1 and not callable(command):
            environment |= {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            }
        words = command or [sys.executable, __file__, str(folder), json.dumps(options)]
        words = command(addresses, index) if callable(command) else words
        with open(os.path.join(folder, f"{index}.log"), "ab") as log:
            started.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))
    return started


def read_log(folder, index):
    with open(os.path.join(folder, f"{index}.log"), encoding="utf-8", errors="replace") as file:
        return file.read()


def main():
    folder, options = sys.argv[1], json.loads(sys.argv[2])

    from mrcnn.parallel import hosts, join

    if hosts.are_named():
        join()
    import jax
    import keras
    import numpy as np
    from tiny import TinyConfig, shapes

    from mrcnn.model import MaskRCNN

    index, count = hosts.joined().index, jax.device_count()
    keys = {
        "GPU_COUNT": count,
        "BATCH_SIZE": BATCH,
        "STEPS_PER_EPOCH": None,
        "INCLUDE_EMPTY_IMAGES": True,
        "CHECKPOINT_MINUTES": 1e-9,  # after each step
        "WORKERS": 1,
        **options.get("keys", {}),
    }
    model = MaskRCNN(
        "training", type("Hosted", (TinyConfig,), keys)(), os.path.join(folder, "logs")
    )
    losses = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            who, step, seconds = options.get("kill", (None, 0, 0))
            if index == who and len(losses) == step:
                threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
            if index == who and len(losses) == STEPS - 1:
                time.sleep(60)  # it is killed here at the latest

        def on_train_batch_end(self, batch, logs=None):
            losses.append([float(logs[name]) for name in sorted(logs)])

    train, val = shapes(IMAGES), shapes(3, seed=5) if options.get("validates") else None
    for image_id in (2, 7):
        train.image_info[image_id]["shapes"] = []
    model.train(
        *(train, val, 0.001, options.get("epochs", EPOCHS), "all"),
        custom_callbacks=[Watch()],
        resume=True,
    )
    np.savez(os.path.join(folder, f"{index}.npz"), *model.keras_model.get_weights(), losses=losses)


if __name__ == "__main__":
    main()
