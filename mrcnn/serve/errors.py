"""What a request is refused with."""


class RequestError(Exception):
    """A request, or one picture of it, that gets an error for an answer.

    Args:
        status: int, of HTTP.
        message: str, what was expected, what came, and the fix.
        retry_after: int, seconds after which the same request may succeed, or None.
    """

    def __init__(self, status, message, retry_after=None):
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after


def shown(value, length=60):
    """A value of a request as an error repeats it: of long ones the start."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."
