"""Who may ask: keys that a request brings."""

import base64
import binascii
import hmac

from mrcnn.files.lines import read_lines


class Keys:
    """The keys of which a request must bring one: as a bearer token, as `X-API-Key`, or as the
    password of any user.

    Args:
        keys: list of str; an empty one lets everybody in.
    """

    def __init__(self, keys=()):
        self._keys = [key.encode() for key in keys]

    @classmethod
    def of_file(cls, path):
        """Those of a file: one a line; blank lines and those that begin with # are left out.

        Raises:
            ValueError: it holds none, or is not in UTF-8.
        """
        keys = read_lines(path, "keys")
        if not keys:
            raise ValueError(f"{path}: expected keys, one a line, received none; write one into it")
        return cls(keys)

    def admit(self, headers):
        """Whether a request may be answered.

        Args:
            headers: list of (name in small letters, value), both bytes.
        """
        if not self._keys:
            return True
        given = b""
        for name, value in headers:
            if name == b"x-api-key":
                given = value.strip()
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
            elif name == b"authorization" and value[:6].lower() == b"basic ":
                given = _password(value[6:])
        # All of them, each in constant time: how long it takes says nothing of a key.
        return any([hmac.compare_digest(given, key) for key in self._keys])


def _password(credentials):
    """The password in the base64 of user:password; of anything else nothing."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
