"""Files beyond this machine, listed: in order, whole, and in flat memory."""

import tracemalloc
from types import SimpleNamespace

import fsspec
import pytest

from mrcnn.distribute import list_pictures
from mrcnn.distribute.remote_listing import files_below

KEYS = (
    *("in/.hidden/a.jpg", "in/a.jpg", "in/a/", "in/a/c.jpg", "in/a/deep/b.jpg", "in/b.jpg"),
    *("in/note.txt", "other/d.jpg"),
)


class S3:
    """What s3fs asks of a bucket `b`; `keys` in their order, `size` of them in a page."""

    protocol = ("s3", "s3a")

    def __init__(self, keys, size):
        self.keys, self.size, self.asked = keys, size, 0

    def split_path(self, path):
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def isfile(self, path):
        return False

    def unstrip_protocol(self, path):
        return f"s3://{path}"

    def page(self, prefix, start):
        """(folders, files, where the next page starts, or None)."""
        self.asked += 1
        found, last = [], None
        for i in range(start, len(self.keys)):
            key = self.keys[i]
            if not key.startswith(prefix):
                continue
            head, sign, _ = key[len(prefix) :].partition("/")
            key = prefix + head + sign
            if key != last and len(found) == self.size:
                return self._parted(found), str(i)
            if key != last:
                found.append(key)
            last = key
        return self._parted(found), None

    def _parted(self, found):
        return [x for x in found if x.endswith("/")], [x for x in found if not x.endswith("/")]

    def call_s3(self, method, Bucket, Prefix, Delimiter, ContinuationToken="0"):
        assert (method, Bucket, Delimiter) == ("list_objects_v2", "b", "/")
        (folders, files), token = self.page(Prefix, int(ContinuationToken))
        answer = {"IsTruncated": token is not None}
        answer |= {"CommonPrefixes": [{"Prefix": x} for x in folders]} if folders else {}
        # What comes with each name is what `ls` would keep.
        answer |= {"Contents": [{"Key": x, "ETag": x * 8} for x in files]} if files else {}
        return answer | ({"NextContinuationToken": token} if token else {})


class GS(S3):
    """The same of gcsfs."""

    protocol = ("gs", "gcs")

    def call(self, method, path, bucket, delimiter, json_out, prefix="", pageToken="0"):
        assert (method, path, bucket, json_out) == ("GET", "b/{}/o", "b", True)
        (folders, files), token = self.page(prefix, int(pageToken))
        answer = {"prefixes": folders} if folders else {}
        answer |= {"items": [{"name": x} for x in files]} if files else {}
        return answer | ({"nextPageToken": token} if token else {})


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    for key in KEYS:
        if not key.endswith("/"):
            system.pipe_file(f"/b/{key}", b"")
    yield system
    system.store.clear()


@pytest.mark.parametrize("kind", [S3, GS, "memory"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_folders_and_patterns(kind, size, memory):
    system, root = (memory, "/b") if kind == "memory" else (kind(KEYS, size), "b")

    def found(place):
        return [path.removeprefix(f"{root}/") for path in files_below(system, f"{root}/{place}")]

    assert sorted(found("in")) == [*KEYS[1:2], *KEYS[3:7]]
    assert sorted(found("")) == [*KEYS[1:2], *KEYS[3:]]
    assert found("in/*.jpg") == ["in/a.jpg", "in/b.jpg"]
    assert sorted(found("in/**/[bc].jpg")) == ["in/a/c.jpg", "in/a/deep/b.jpg", "in/b.jpg"]
    assert found("*/d.jpg") == ["other/d.jpg"]
    with pytest.raises(FileNotFoundError):
        found("nowhere")


def test_a_pattern_asks_for_no_folder_too_deep():
    system = S3(KEYS, 1000)
    assert list(files_below(system, "b/in/*.jpg")) == ["b/in/a.jpg", "b/in/b.jpg"]
    assert system.asked == 1


def test_names_of_a_bucket_are_in_memory_by_the_page(monkeypatch):
    """30 000 names in one folder: of each some 500 bytes come, and a page of 1000 is kept."""
    system = S3([f"in/{i:08d}.jpg" for i in range(30_000)], 1000)
    monkeypatch.setattr("mrcnn.distribute.listing.file_system", lambda path: (system, path[5:]))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert sum(1 for _ in list_pictures("s3://b/in")) == 30_000
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert system.asked == 30
    assert peak < 2 * 2**20  # two pages, of a kilobyte a name


def test_of_other_folders_names_are_kept_and_nothing_else(monkeypatch):
    def entries(folder, detail):
        names = [f"{folder}/{i:08d}.jpg" for i in range(30_000)]
        return [{"name": x, "type": "file", "size": 1, "note": x * 8} for x in names if detail]

    system = SimpleNamespace(protocol="sftp", ls=entries)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = files_below(system, "in")
        assert next(found) == "in/00000000.jpg"
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # A text of 15 signs, a pair, its places in two lists.
    assert kept < 200 * 30_000
