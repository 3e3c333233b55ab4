"""COCO on disk: where a subset's files lie, and what fetches them.

    <dataset_dir>/<subset><year>/                             pictures
    <dataset_dir>/annotations/instances_<subset><year>.json   annotations

`minival` and `valminusminival` divide val2014. COCO's server has no files of theirs; but minival
has the pictures of val2017, so the list of that subset tells them apart.
"""

import json
import os
import tempfile
import zipfile

from mrcnn.files import download

# https there shows a certificate of another name: the hashes vouch for what comes.
URL = "http://images.cocodataset.org"
SUBSETS = ("train", "val", "minival", "valminusminival")
YEARS = ("2014", "2017")
PARTS_OF_VAL = ("minival", "valminusminival")

# Sizes and hashes as TensorFlow Datasets lists them (url_checksums/coco.txt).
ARCHIVES = {
    "zips/train2014.zip": download.Expected(
        13_510_573_713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775"
    ),
    "zips/val2014.zip": download.Expected(
        6_645_013_297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0"
    ),
    "zips/train2017.zip": download.Expected(
        19_336_861_798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"
    ),
    "zips/val2017.zip": download.Expected(
        815_585_330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"
    ),
    "annotations/annotations_trainval2014.zip": download.Expected(
        252_872_794, "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009"
    ),
    "annotations/annotations_trainval2017.zip": download.Expected(
        252_907_541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"
    ),
}


def image_folder(dataset_dir, subset, year):
    """The folder of a subset's pictures."""
    return os.path.join(dataset_dir, f"{'val' if subset in PARTS_OF_VAL else subset}{year}")


def annotation_file(dataset_dir, subset, year, kind="instances"):
    """The file of a subset's annotations; `kind` is "instances" or "person_keypoints"."""
    return os.path.join(dataset_dir, "annotations", f"{kind}_{subset}{year}.json")


def fetch_subset(dataset_dir, subset, year, kind="instances"):
    """Fetches the pictures and annotations of a subset, where they are not there already.

    What was cut off goes on where it ended. The archives stay in `dataset_dir`; once unpacked, they
    may be deleted.

    Args:
        dataset_dir: str, made if there is none.
        subset: one of `SUBSETS`.
        year: str or int, one of `YEARS`.
        kind: as of `annotation_file`.

    Raises:
        ValueError: there is no such subset.
        OSError: a file cannot be had; the message says what to put where by hand.
    """
    year, dataset_dir = str(year), os.fspath(dataset_dir)
    if subset not in SUBSETS or year not in YEARS:
        raise ValueError(
            f"Expected a subset of {', '.join(SUBSETS)} and a year of {', '.join(YEARS)} to "
            f"download, received {subset!r} and {year!r}. Correct them; your own data need no "
            "download."
        )
    if subset in PARTS_OF_VAL and year != "2014":
        same = "val" if subset == "minival" else "train"
        raise ValueError(
            f"Subset {subset!r} expects year 2014, received {year}. Its pictures are in {same!r} "
            "of 2017: take that."
        )
    os.makedirs(os.path.join(dataset_dir, "annotations"), exist_ok=True)
    folder = image_folder(dataset_dir, subset, year)
    if not (os.path.isdir(folder) and os.listdir(folder)):
        _unpack_folder(_fetch(dataset_dir, f"zips/{os.path.basename(folder)}.zip"), folder)
    if subset in PARTS_OF_VAL:
        _divide_val(dataset_dir, subset, kind)
    else:
        _fetch_annotations(dataset_dir, subset, year, kind)


def _fetch(dataset_dir, name):
    """Returns the path of an archive of `ARCHIVES`, which is on this machine then."""
    url, expected = f"{URL}/{name}", ARCHIVES[name]
    path = os.path.abspath(os.path.join(dataset_dir, os.path.basename(name)))
    if not os.path.exists(path):
        print(f"Fetching {url}, {expected.size / 1e6:,.0f} MB")
    try:
        download.ensure(url, path, expected, download.show_progress)
    except download.DownloadError as error:
        raise OSError(
            f"cannot fetch {url}: {error}. By hand: download it and put it at {path} (expected: "
            f"{expected.describe()})"
        ) from error
    return path


def _unpack_folder(archive, folder):
    """Unpacks the folder of this name, whole or not at all."""
    parent, name = os.path.split(folder)
    print(f"Unpacking {archive} to {folder}")
    with (
        tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}-") as unpacked,
        zipfile.ZipFile(archive) as members,
    ):
        inside = [each for each in members.namelist() if each.startswith(f"{name}/")]
        members.extractall(unpacked, inside)
        if os.path.isdir(folder):
            os.rmdir(folder)  # empty: what was interrupted by others
        os.rename(os.path.join(unpacked, name), folder)


def _fetch_annotations(dataset_dir, subset, year, kind):
    """Returns the path of an annotation file, which is on this machine then."""
    path = annotation_file(dataset_dir, subset, year, kind)
    if not os.path.exists(path):
        archive = _fetch(dataset_dir, f"annotations/annotations_trainval{year}.zip")
        with zipfile.ZipFile(archive) as members:
            _write(path, members.read(f"annotations/{os.path.basename(path)}"))
    return path


def _divide_val(dataset_dir, subset, kind):
    """Writes the annotation file of a part of val2014, unless it is there."""
    path = annotation_file(dataset_dir, subset, "2014", kind)
    if os.path.exists(path):
        return
    with open(_fetch_annotations(dataset_dir, "val", "2017", kind), encoding="utf-8") as file:
        minival = {image["id"] for image in json.load(file)["images"]}
    with open(_fetch_annotations(dataset_dir, "val", "2014", kind), encoding="utf-8") as file:
        truth = json.load(file)
    for key, name in (("images", "id"), ("annotations", "image_id")):
        truth[key] = [
            each for each in truth[key] if (each[name] in minival) == (subset == "minival")
        ]
    _write(path, json.dumps(truth).encode())


def _write(path, content):
    """Writes a file whole or not at all."""
    with open(f"{path}.part", "wb") as file:
        file.write(content)
    os.replace(f"{path}.part", path)
