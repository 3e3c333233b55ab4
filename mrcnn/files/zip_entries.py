"""The entries of a zip archive, checked before they are unpacked."""

import struct
import zipfile
import zlib

from mrcnn.files.arrays import Refused, show

MAX_INFLATED = 2**26  # bytes that compressed entries may take, whatever the file's size
MAX_RATIO = 16  # and otherwise how many times the file's size; weights reach 1.2


def check_sizes(data, entries):
    """Refuses entries that overlap, are compressed in other ways, or unpack to too much."""
    if sum(entry.compress_size for entry in entries) > len(data):
        raise Refused("is damaged: its entries are larger than the file")
    packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if any(entry.compress_type != zipfile.ZIP_DEFLATED for entry in packed):
        raise Refused("is compressed in a way that is not supported; save it uncompressed")
    if sum(entry.file_size for entry in packed) > max(MAX_INFLATED, MAX_RATIO * len(data)):
        raise Refused("unpacks to far more than weights would; save it uncompressed")


def entry_bytes(data, entry):
    """The bytes of a zip entry; those of one that is not compressed as they lie in the file."""
    # The header in front of an entry may be longer than the directory says.
    start = entry.header_offset
    if start < 0 or data[start : start + 4] != b"PK\x03\x04" or entry.flag_bits & 1:
        raise Refused(f"is damaged: {show(entry.filename)} is not where it should be")
    start += 30 + sum(struct.unpack_from("<HH", data, start + 26))
    content = data[start : start + entry.compress_size]
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        # At most that many bytes; 0 would mean any number.
        content = memoryview(zlib.decompressobj(-15).decompress(content, entry.file_size or 1))
        if zlib.crc32(content) != entry.CRC:
            raise Refused(f"is damaged: {show(entry.filename)} has another checksum")
    if len(content) != entry.file_size:
        raise Refused(f"is damaged: {show(entry.filename)} has another size; copy it again")
    return content
