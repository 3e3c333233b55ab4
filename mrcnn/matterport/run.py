"""Runs a script that imports imgaug 0.4.0 before mrcnn, as matterport's coco.py does, unchanged:

    python -m mrcnn.run script.py [ARGUMENT ...]

Importing this module has imported `mrcnn`, which lets imgaug be imported, see
`mrcnn.startup.imgaug_import`.
"""

import os
import runpy
import sys

from mrcnn.startup import quiet


def main():
    if len(sys.argv) < 2:
        sys.exit("Expected a script: python -m mrcnn.run script.py [ARGUMENT ...]")
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))  # as `python script.py` has it
    quiet.install()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
