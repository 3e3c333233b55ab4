"""`mrcnn weights`: list, fetch, inspect and convert weight files."""

import contextlib
import os
import zipfile

_FIRST = 20  # arrays that `inspect` shows without --all


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser("weights", help="list, fetch, inspect or convert weight files")
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)

    listing = actions.add_parser("list", help="the public weights and their accuracy on COCO")
    listing.set_defaults(run=_list)

    fetching = actions.add_parser("fetch", help="download public weights and print where they are")
    fetching.add_argument("name", help="as `list` shows it")
    fetching.set_defaults(run=_fetch)

    inspecting = actions.add_parser("inspect", help="say what a weight file holds")
    inspecting.add_argument("file")
    inspecting.add_argument("--all", action="store_true", help="show every array")
    inspecting.set_defaults(run=_inspect)

    converting = actions.add_parser("convert", help="write a weight file in this project's layout")
    converting.add_argument("input", help="a file of matterport, torchvision or detectron2")
    converting.add_argument("output", help="the .h5 file to write")
    converting.add_argument("--preset", help="numerics of the model; default: guessed")
    converting.set_defaults(run=_convert)


def _list(arguments):
    from mrcnn.weights.registry import REGISTRY

    rows = [
        ("NAME", "CLASSES", "FAMILY", "PRESET", "MB", "BOX AP", "MASK AP", "POINT AP", "ADDRESS")
    ]
    for entry in REGISTRY:
        megabytes = None if entry.size is None else f"{entry.size / 1e6:.1f}"
        facts = (len(entry.classes) or None, entry.family, entry.preset, megabytes)
        facts += (entry.box_ap, entry.mask_ap, entry.keypoint_ap, entry.url)
        rows.append((entry.name, *("-" if fact is None else str(fact) for fact in facts)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _fetch(arguments):
    from mrcnn.weights.fetching import fetch

    print(fetch(arguments.name))


def _inspect(arguments):
    arrays = _read(arguments.file)
    from mrcnn.weights.sources import count_classes, guess_source

    source = classes = "unknown"
    with contextlib.suppress(ValueError):
        source = guess_source(arrays)
        classes = count_classes(arrays, source) or "none, a backbone alone"
    print(f"format      {_format(arguments.file)}")
    print(f"family      {source}")
    print(f"classes     {classes}")
    print(f"arrays      {len(arrays)}")
    print(f"parameters  {sum(array.size for array in arrays.values()):,}")
    shown = list(arrays.items())[: None if arguments.all else _FIRST]
    width = max(len(name) for name, _ in shown)
    for name, array in shown:
        print(f"  {name:{width}}  {array.dtype}  {list(array.shape)}")
    if len(shown) < len(arrays):
        print(f"  ... {len(arrays) - len(shown)} more, shown with --all")


def _read(path):
    if not os.path.exists(path):  # said before the slow import
        raise FileNotFoundError(f"no weight file at {path}")
    from mrcnn.files.reading import read_arrays

    return read_arrays(path)


def _format(path):
    """The format of a readable weight file, by its content."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            numpy = all(name.endswith(".npy") for name in archive.namelist())
        return "NumPy archive" if numpy else "PyTorch, zip archive"
    with open(path, "rb") as file:
        head = file.read(9)
    if head.startswith(b"\x80"):
        return "pickle (PyTorch before 1.6, or detectron2)"
    return "safetensors" if head.endswith(b"{") else "HDF5"


def _convert(arguments):
    arrays = _read(arguments.input)
    from mrcnn.files.hdf5 import read_attribute
    from mrcnn.model import create
    from mrcnn.presets import PRESETS
    from mrcnn.weights.file_config import class_names_of, keypoint_scheme_of
    from mrcnn.weights.loading import load_state_dict, summarize
    from mrcnn.weights.registry import released_epsilon
    from mrcnn.weights.sources import count_classes, guess_preset, guess_source, is_semantic

    source = guess_source(arrays)
    classes = count_classes(arrays, source)
    if classes is None or is_semantic(arrays, source):
        what = "a backbone alone" if classes is None else "a Semantic FPN"
        raise ValueError(f"{arguments.input} is {what}; expected a whole detector")
    written = read_attribute(arguments.input, "preset")
    preset = arguments.preset or written or guess_preset(arrays)
    if preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}; expected one of {', '.join(PRESETS)}")
    keys = _heads(arrays, source, classes)
    is_101 = PRESETS[preset].BACKBONE == "resnet101"
    if source == "matterport" and is_101 and "res4g_branch2a/kernel" not in arrays:
        keys["BACKBONE"] = "resnet50"
    config = type("ConvertedConfig", (PRESETS[preset],), keys)()
    model = create("inference", config, os.path.dirname(os.path.abspath(arguments.output)))
    epsilon = released_epsilon(arguments.input)
    report = load_state_dict(model, arrays, source, epsilon=epsilon, preset=preset)
    model.class_names = class_names_of(arguments.input)
    model.keypoint_scheme = keypoint_scheme_of(arguments.input)
    model.save_weights(arguments.output)
    print(f"{summarize(report)}: preset {preset}, {classes} classes")
    print(arguments.output)


def _heads(arrays, source, classes):
    """The keys of the config that arrays tell of their heads: a dict."""
    from mrcnn.weights.sources import count_keypoints, count_stuff

    # Faster R-CNN has no weight whose name tells of masks.
    keys = {"NUM_CLASSES": classes, "USE_MASK": any("mask" in name for name in arrays)}
    keypoints, stuff = count_keypoints(arrays, source), count_stuff(arrays, source)
    keys["USE_KEYPOINTS"] = keypoints is not None
    if keypoints is not None:
        keys["NUM_KEYPOINTS"] = keypoints
    if stuff is not None:
        keys["NUM_STUFF_CLASSES"] = stuff
    return keys
