"""What a visitor is told."""


class PageError(Exception):
    """Something that cannot be done; its text says what was expected, what came, and the fix."""
