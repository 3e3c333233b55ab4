"""What `mrcnn detect --engine` makes of killed workers, a killed run and broken pictures.

python benchmarks/many_pictures.py --engine local                 # or ray
python benchmarks/many_pictures.py --engine ray WEIGHTS --config FILE.py KEY=VALUE ...

Cuts pictures out of scikit-image's photographs, always the same ones, of which one in a hundred is
broken. Detects in them three times:

- by two single processes side by side, each `model.detect` in batches of half of them;
- by the engine, of which two workers and then the run itself are killed (SIGKILL) on the way, and
  then the same command again to its end;
- by the engine undisturbed, for throughput and memory.

Prints a table. The exit code is 1 where a picture is missing or twice, a broken one is no row with
an error, or a row is not what `model.detect` finds. Of the demonstration's network without WEIGHTS,
which are random then, so that much is found. Needs Linux, and skimage's photographs.
"""

import argparse
import itertools
import json
import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import skimage.data
from PIL import Image

from mrcnn.cli.config_arguments import split_assignments
from mrcnn.cli.model_arguments import add_model_arguments, model_of
from mrcnn.distribute import list_pictures
from mrcnn.distribute.parts import PART
from mrcnn.distribute.plan import Plan
from mrcnn.distribute.results import iterate_rows
from mrcnn.distribute.rows import found_row
from mrcnn.files.folders import open_folder
from mrcnn.image.reading import read_image

PHOTOS = "astronaut.png", "chelsea.png", "coffee.png"  # that come with the package
SIDES = 80, 200  # of a picture, pixels
BROKEN = 100  # one in so many
BATCH = 16  # pictures that a single process detects in at a time
# Shares of the blocks after which a worker, a worker and the run are killed.
KILLS = 0.1, 0.25, 0.4
TOLERANCE = 1e-3  # of a score, and of a side of a box in pixels


def make_pictures(folder, count):
    """Writes pictures, JPEG and PNG in turn; returns the paths of the broken ones, a set."""
    random = np.random.default_rng(0)
    photos = [read_image(Path(skimage.data.__file__).parent / name) for name in PHOTOS]
    broken, step = set(), min(BROKEN, count)
    for i in range(count):
        photo = photos[i % len(photos)]
        height, width = random.integers(*SIDES, 2, endpoint=True)
        y = random.integers(photo.shape[0] - height)
        x = random.integers(photo.shape[1] - width)
        # Not all in one folder.
        path = folder / f"{i % 7}" / f"{i:06d}.{'jpg' if i % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[y : y + height, x : x + width]).save(path)
        if i % step == step // 2:
            content = path.read_bytes()
            path.write_bytes((b"", b"no picture", content[: len(content) // 3])[len(broken) % 3])
            broken.add(str(path))
    return broken


def command(arguments, pictures, out):
    """The words of `mrcnn detect`."""
    given = ["--config", arguments.config] if arguments.config else []
    words = [sys.executable, "-m", "mrcnn", "detect", arguments.weights, str(pictures), *given]
    words += ["--engine", arguments.engine, "--workers", str(arguments.workers)]
    return [*words, "--out", str(out), *arguments.assignments]


class Run:
    """`mrcnn detect --engine` in a process, and what can be seen of it from outside.

    Attributes:
        ticks: list of (seconds, pictures done).
        memory: dict by process id of a worker of list of its megabytes.
    """

    def __init__(self, arguments, pictures, out):
        self.out, self.ticks, self.memory, self._plan = out, [], {}, None
        environment = {**os.environ, "PYTHONPATH": str(machine.ROOT), "RAY_worker_niceness": "0"}
        with open(f"{out}.log", "ab") as log:
            words = command(arguments, pictures, out)
            self.process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        self._worker_sign = "_Actor" if arguments.engine == "ray" else "spawn_main"

    def workers(self):
        """Process ids of the workers."""
        found = {
            pid: words for pid, words in _below(self.process.pid) if self._worker_sign in words
        }
        return sorted(found)

    def done(self):
        """(Blocks that are done, blocks in all), or (0, 0) before it has a plan."""
        folder = open_folder(self.out)
        if self._plan is None:
            if not (self.out / "_blocks").is_dir():  # of the first block: the plan is whole
                return 0, 0
            self._plan = Plan(folder)
        names = folder.names()
        parts = [match for match in map(PART.fullmatch, names) if match]
        blocks = {i for x in parts for i in range(int(x[2]), int(x[3]) + 1)}
        blocks |= {int(name.split("-")[-1].split(".")[0]) for name in folder.names("_blocks")}
        return len(blocks), self._plan.num_blocks

    def watch(self, until=None):
        """Looks on until it ends, or so many blocks are done; returns whether they are."""
        while self.process.poll() is None:
            done, count = self.done()
            now = time.monotonic()
            if count:
                self.ticks.append((now, done))
                for pid in self.workers():
                    self.memory.setdefault(pid, []).append(_megabytes(pid))
            if until is not None and count and done >= until(count):
                return True
            time.sleep(0.2)
        return False

    def kill_worker(self):
        """Kills a worker, as a system does that has no memory left; whether there was one."""
        for pid in self.workers()[:1]:
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def kill(self):
        """Kills the run, and waits until what it started is gone."""
        below = [pid for pid, _ in _below(self.process.pid)]
        self.process.kill()
        self.process.wait()
        ends = time.monotonic() + 60
        while any(map(_lives, below)) and time.monotonic() < ends:
            time.sleep(0.2)
        for pid in filter(_lives, below):
            os.kill(pid, signal.SIGKILL)

    def rate(self):
        """Blocks a second, from the first to the last that were seen to be done."""
        (began, first), (ended, last) = self.ticks[0], self.ticks[-1]
        ended = next(seconds for seconds, done in self.ticks if done == last)
        return (last - first) / (ended - began) if ended > began else float("nan")

    def quarters(self):
        """Median megabytes of workers in the first and the last quarter of their time."""
        found = [x for x in self.memory.values() if len(x) >= 4]
        return [
            (statistics.median(x[: len(x) // 4]), statistics.median(x[-(len(x) // 4) :]))
            for x in found
        ]


def _below(parent):
    """(Process id, its words) of all processes that one started, and theirs."""
    children = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, UnicodeDecodeError):
                continue  # it has ended
            children.setdefault(int(fields[1]), []).append((int(folder.name), words))
    found, ahead = [], [parent]
    while ahead:
        started = children.get(ahead.pop(), [])
        found += started
        ahead += [pid for pid, _ in started]
    return found


def _lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _megabytes(pid):
    """What a process holds of the memory, not counting what it shares."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


def single(arguments):
    """A process of its own: `model.detect` in every other batch, its rows into a file."""
    index, pictures, file = arguments.single
    model = model_of(arguments).build()
    batches = _batches([*list_pictures(pictures)])[int(index) :: arguments.workers]
    blank = np.zeros((SIDES[1], SIDES[1], 3), np.uint8)
    model.detect([blank] * BATCH)  # compiled
    Path(f"{file}.ready").touch()
    while not Path(arguments.single[1]).with_name("go").exists():
        time.sleep(0.05)
    found, began = {}, time.monotonic()
    for paths in batches:
        images = {}
        for path in paths:
            try:
                images[path] = read_image(path)
            except ValueError:
                continue  # one of those that are broken
        if images:
            found |= dict(zip(images, model.detect(list(images.values())), strict=True))
    seconds = time.monotonic() - began
    rows = {path: found_row(path, None, each) for path, each in found.items()}
    with open(file, "wb") as opened:
        pickle.dump((sum(map(len, batches)) / seconds, rows), opened)


def _batches(paths):
    return [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]


def single_processes(arguments, pictures, folder):
    """(Rows by path, the pictures a second that all processes did together)."""
    files = [folder / f"single{i}" for i in range(arguments.workers)]
    started = []
    for i, file in enumerate(files):
        words = [sys.executable, __file__, arguments.weights]
        words += ["--config", arguments.config] if arguments.config else []
        words += ["--workers", str(arguments.workers), *arguments.assignments]
        started.append(subprocess.Popen([*words, "--single", str(i), str(pictures), str(file)]))
    while not all(Path(f"{file}.ready").exists() for file in files):
        if any(process.poll() for process in started):
            sys.exit("a single process ended")
        time.sleep(0.1)
    (folder / "go").touch()  # side by side
    if any([process.wait() for process in started]):
        sys.exit("a single process ended")
    done = [pickle.loads(file.read_bytes()) for file in files]
    rows = dict(itertools.chain.from_iterable(rows.items() for _, rows in done))
    return rows, sum(rate for rate, _ in done)


def disturbed(arguments, pictures, out):
    """Detects, with what is killed on the way; returns the text of what was."""
    run, told = Run(arguments, pictures, out), []
    for share, what in zip(KILLS, ("worker", "worker", "run"), strict=True):
        if not run.watch(lambda count, share=share: max(len(told) + 1, int(share * count))):
            sys.exit(f"{out}.log: the run ended before its {what} was killed: more --pictures")
        if what == "run":
            run.kill()
        elif not run.kill_worker():
            sys.exit(f"no worker was found; its words have {run._worker_sign!r}")
        told.append(f"{what} after {run.done()[0]}")
    again = Run(arguments, pictures, out)
    again.watch()
    told.append(f"of {again.done()[1]} blocks, then on to exit code {again.process.returncode}")
    return ", ".join(told)


def compare(out, expected, broken):
    """(Dict of counts, of which all but "instances" should be 0; largest difference)."""
    found = {"twice": 0, "missing": 0, "without their error": 0, "errors too many": 0}
    found |= {"other": 0, "instances": 0}
    seen, largest = set(), 0.0
    for row in iterate_rows(out):
        path = row["path"]
        found["twice"] += path in seen
        seen.add(path)
        if path in broken:
            found["without their error"] += not row["error"]
        elif row["error"]:
            found["errors too many"] += 1
        else:
            found["instances"] += len(row["scores"])
            alike, difference = _alike(row, expected[path])
            found["other"] += not alike
            largest = max(largest, difference)
    found["missing"] = len({*expected, *broken} - seen)
    return found, largest


def _alike(row, expected):
    same = all(row[name] == expected.get(name) for name in ("class_ids", "masks", "keypoints"))
    if not same:
        return False, 0.0
    differences = [
        np.abs(np.float32(row[name]) - np.float32(expected[name])).max(initial=0)
        for name in ("scores", "boxes")
    ]
    return max(differences) < TOLERANCE, float(max(differences))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    next(x for x in parser._actions if x.dest == "weights").nargs = "?"
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", metavar="DIR", help="kept; by default one that is removed")
    parser.add_argument("--single", nargs=3, help=argparse.SUPPRESS)
    options, assignments = split_assignments(sys.argv[1:])
    arguments = parser.parse_args(options)
    arguments.assignments = assignments
    if arguments.single:
        return single(arguments)
    if arguments.folder:
        Path(arguments.folder).mkdir(parents=True)
        return measure(arguments, Path(arguments.folder).absolute())
    with tempfile.TemporaryDirectory(prefix="many") as folder:
        return measure(arguments, Path(folder))


def random_weights(arguments, folder):
    """Weights of the demonstration's network that has learned nothing."""
    from mrcnn.demo import DemoConfig
    from mrcnn.model import MaskRCNN

    keys = {"DETECTION_MIN_CONFIDENCE": 0.0, "DETECTION_MAX_INSTANCES": 5, "SEED": 0}
    model = MaskRCNN("inference", type("Random", (DemoConfig,), keys)(), str(folder))
    model.class_names = ["BG", "square", "circle", "triangle"]
    arguments.weights = str(folder / "random.h5")
    arguments.config = arguments.config or f"{machine.ROOT}/mrcnn/demo.py"
    model.save_weights(arguments.weights)
    arguments.assignments += [f"{name}={value}" for name, value in keys.items() if name != "SEED"]


def measure(arguments, folder):
    if arguments.weights is None:
        random_weights(arguments, folder)
    pictures = folder / "pictures"
    broken = make_pictures(pictures, arguments.pictures)
    expected, single_rate = single_processes(arguments, pictures, folder)
    killed = disturbed(arguments, pictures, folder / "killed")
    whole = Run(arguments, pictures, folder / "whole")
    whole.watch()
    rate = whole.rate() * Plan(open_folder(whole.out)).block_size
    rows = {"killed": killed, "undisturbed": f"exit code {whole.process.returncode}"}
    wrong = whole.process.returncode != 1  # there are broken pictures
    for name in ("killed", "whole"):
        found, largest = compare(folder / name, expected, broken)
        wrong |= any(count for what, count in found.items() if what != "instances")
        told = ", ".join(f"{what} {count}" for what, count in found.items())
        rows[f"rows of `{name}`"] = f"{told}; largest difference {largest:.2g}"
    rows["single processes, pictures/s together"] = f"{single_rate:.2f}"
    rows["the engine, from its first block on"] = f"{rate:.2f}, {rate / single_rate:.2f} of these"
    quarters = [f"{first:.0f}, {last:.0f}" for first, last in whole.quarters()]
    rows["MB of a worker, first and last quarter"] = "; ".join(quarters)
    print(json.dumps({**machine.describe(), "engine": arguments.engine}))
    print(f"| {arguments.pictures} pictures, {len(broken)} broken | |\n| --- | --- |")
    for name, text in rows.items():
        print(f"| {name} | {text} |")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
