"""The log of a server: one line of JSON for each event, on stderr."""

import datetime
import json
import logging

LOGGER = logging.getLogger("mrcnn.serve")


class JsonFormatter(logging.Formatter):
    """Writes a record as JSON; what is given as `extra={"facts": {...}}` are keys of it."""

    def format(self, record):
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def install():
    """Sends this package's, uvicorn's and Python's warnings' lines to stderr as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    for name in ("mrcnn.serve", "uvicorn.error", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
