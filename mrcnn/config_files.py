"""A `Config` in a file: YAML for people and runs, or Python that holds a subclass."""

import contextlib
import importlib.util
import re
import sys
import textwrap
import traceback
from pathlib import Path

import yaml

from mrcnn.config import Config
from mrcnn.config_values import convert, plain_values
from mrcnn.presets import PRESETS

RUN = "run"  # the entry of a file that is no key: what `write_config` was given beside them


def read_config(path):
    """Reads a config from a file.

    Args:
        path: of a YAML file of keys, which are laid over those of its key `PRESET`, or over
            `Config` without one; or of a Python file, of which the last `Config` subclass that it
            defines is taken, or the one of "FILE.py:ClassName".

    Returns:
        A `Config`.

    Raises:
        ValueError: names the file, the line and what is wrong there.

    Example:

    >>> read_config("runs/train/config.yaml").NUM_CLASSES  # doctest: +SKIP
    2
    """
    python = re.fullmatch(r"(.+\.py)(?::(\w+))?", str(path))
    if python:
        return _read_python(Path(python[1]), python[2])
    values, lines = _read_yaml(path)
    values.pop(RUN, None)
    return config_from(values, lambda key: f"{path}, line {lines[key]}")


def read_run(path):
    """What `write_config` was given beside the config, a dict; empty where there is nothing."""
    more = _read_yaml(path)[0].get(RUN)
    return more if isinstance(more, dict) else {}


def config_from(values, place):
    """A config of plain values, laid over those of their `PRESET`.

    Args:
        values: dict, as of `mrcnn.config_values.plain_values`.
        place: function of a key: what an error calls the place where its value stands.

    Raises:
        ValueError: an unknown key or preset, a value of another type.
    """
    base = Config
    if "PRESET" in values:
        base = PRESETS.get(values["PRESET"]) if isinstance(values["PRESET"], str) else None
        if base is None:
            raise ValueError(
                f"{place('PRESET')}: PRESET: expected one of {', '.join(PRESETS)}, received "
                f"{values['PRESET']!r}"
            )
    config = base()
    for key, value in values.items():
        try:
            setattr(config, key, convert(key, value))
        except ValueError as error:
            raise ValueError(f"{place(key)}: {error}") from None
    return config


def write_config(config, path, **more):
    """Writes a config as YAML that `read_config` reads: the same keys with the same values.

    The keys that differ from the preset come first. Functions are named only; a file with one is
    refused when it is read.

    Args:
        config: `Config`.
        path: of the file, which is replaced.
        **more: plain values to keep beside the config, such as `class_names`; see `read_run`.
    """
    values = plain_values(config)
    usual = plain_values(PRESETS.get(config.PRESET, Config)())
    own = {k: v for k, v in values.items() if k == "PRESET" or k not in usual or v != usual[k]}
    rest = {key: value for key, value in values.items() if key not in own}
    parts = [f"# What differs from {config.PRESET}.\n", _dump(own)]
    parts += ["\n# What is as there.\n", _dump(rest)] if rest else []
    parts += (
        ["\n# The run: no keys of the config.\n", f"{RUN}:\n", textwrap.indent(_dump(more), "  ")]
        if more
        else []
    )
    Path(path).write_text("".join(parts), encoding="utf-8")


def _dump(values):
    """A line for each key: lists and dicts in brackets."""
    return "".join(
        yaml.safe_dump(
            {key: value},
            default_flow_style=None if isinstance(value, (list, dict)) else False,
            sort_keys=False,
            allow_unicode=True,
            width=100,
        )
        for key, value in values.items()
    )


def _text_of(path):
    if not Path(path).is_file():
        raise ValueError(f"{path}: expected a config file, a .yaml or a .py, found none")
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, {error}") from None


def _read_yaml(path):
    """The mapping of a YAML file, and the line of each of its keys."""
    text = _text_of(path)
    try:
        node, values = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context
        raise ValueError(f"{path}, line {mark.line + 1}: expected YAML: {what}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: expected YAML: {reason}") from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: expected keys of Config, such as IMAGE_MAX_DIM: 512, received a "
            f"{type(values).__name__}"
        )
    lines = {}
    for name, _ in node.value:
        line = name.start_mark.line + 1
        if name.value in lines:
            raise ValueError(
                f"{path}, line {line}: {name.value} stands in line {lines[name.value]} already"
            )
        lines[name.value] = line
    return {str(key): value for key, value in values.items()}, lines


def _read_python(path, class_name):
    classes = _classes_of(path)
    if class_name:
        if class_name not in classes:
            found = ", ".join(classes) or "none"
            raise ValueError(f"{path}: expected a Config subclass {class_name}, found {found}")
        return classes[class_name]()
    defined = [kind for kind in classes.values() if kind.__module__ == path.stem]
    if not defined:
        raise ValueError(f"{path}: expected a subclass of mrcnn.config.Config, found none")
    return list(dict.fromkeys(defined))[-1]()  # a second name of a class is no later class


def _classes_of(path):
    """The `Config` classes of a Python file, imported ones too, by name in their order."""
    source = _text_of(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    with _folder_on_path(path.resolve().parent):
        try:
            exec(compile(source, str(path), "exec"), vars(module))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == str(path)]
            line = error.lineno if isinstance(error, SyntaxError) else (lines or [1])[-1]
            raise ValueError(f"{path}, line {line}: {type(error).__name__}: {error}") from error
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Config)
    }


@contextlib.contextmanager
def _folder_on_path(folder):
    """As for a script: what lies beside a Python file can be imported."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
