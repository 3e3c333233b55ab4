"""What `test_cli_benchmark` calls in processes of their own: a module that imports little."""

import os


def double(number):
    return 2 * number


def fail(text):
    raise ValueError(f"{text}\nand more")


def die(number):
    os.kill(os.getpid(), number)
