"""`python -m mrcnn`: the command `mrcnn`."""

import sys

from mrcnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
