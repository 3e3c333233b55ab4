"""Where copies of what lies beyond this machine are kept."""

import os


def default_cache_dir():
    """Where downloads are kept: `models/mrcnn` in Keras's home ($KERAS_HOME or ~/.keras)."""
    home = os.environ.get("KERAS_HOME")
    if not home:
        home = os.path.join("~", ".keras")
    return os.path.join(os.path.expanduser(home), "models", "mrcnn")
