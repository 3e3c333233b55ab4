"""How large a request may be."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may be at most; what is beyond is refused before it is decoded.

    Args:
        body_bytes: int, bytes of the body.
        pixels: int, height times width of one picture.
        images: int, pictures of one request.
        body_seconds: float, for the body to arrive.
        mask_values: int, of an answer with masks as arrays.
    """

    body_bytes: int = 2**25
    pixels: int = 2**25
    images: int = 32
    body_seconds: float = 30.0
    mask_values: int = 2**25

    @property
    def request_pixels(self):
        """int, of all pictures of one request together."""
        return 4 * self.pixels

    @property
    def arriving_bytes(self):
        """int, of all bodies together that are on their way."""
        return 8 * self.body_bytes
