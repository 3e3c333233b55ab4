"""Mask R-CNN on Keras 3: matterport's interface, TensorFlow or JAX underneath.

Importing the package loads nothing heavy; import what you use, for example
`from mrcnn.config import Config` or `from mrcnn import model as modellib, visualize`.
"""

__version__ = "0.1.0"

from mrcnn.startup import imgaug_import, moved, serializable

# What others import works from here on; nothing is imported here.
imgaug_import.install()
moved.install()
serializable.install()
