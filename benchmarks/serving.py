"""`mrcnn serve` under clients that all ask at once, beside `detect` in batches in turn.

python benchmarks/serving.py WEIGHTS --seconds 300 --clients 16

Runs the command in a process of its own. Each client sends pictures that no other one sends, one
after the other, and every answer must say what `detect` found in that picture and repeat the id of
its request; answers are compared after each round, for the comparison takes the same cores. Rounds
of the server and of `detect` follow one another, so that other work on the machine falls on both:
`detect` gets the pictures as arrays, in batches as large as the server's, and the server PNG files,
which it decodes besides. Prints the times from request to answer (p50, p99), the pictures a second
of both and their ratio, and the server's resident memory.

An answer that is not equal is laid beside what was found in every picture: it is another's where
another one is more like it. Where it is most like its own, scores were so near to each other that
rounding, which differs between batches, changed their order or what they suppress; that is counted
apart, and a network without training is full of it.

Pictures are painted shapes, as the weights of `mrcnn demo` know them, or those of `--dataset`. The
exit code is 1 where an answer was lost or another's.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import machine
from server_process import (
    Clients,
    ServerProcess,
    as_png,
    is_own,
    likeness,
    pictures_of,
    watched,
)

from mrcnn.cli.config_arguments import positive, split_assignments
from mrcnn.cli.model_arguments import add_model_arguments, model_of

NEARLY = "their own but for near scores"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_arguments(parser)
    parser.add_argument("--seconds", type=positive, default=300, help="of the server; default 300")
    parser.add_argument("--rounds", type=positive, default=10, help="of each; default 10")
    parser.add_argument("--clients", type=positive, default=16, help="default 16")
    parser.add_argument("--max-batch", type=positive, default=4, help="default 4")
    parser.add_argument("--pictures", type=positive, default=64, help="painted; default 64")
    parser.add_argument("--size", type=positive, default=128, help="of painted ones; default 128")
    parser.add_argument("--dataset", metavar="DIR", help="pictures in place of painted ones")
    options, assignments = split_assignments(sys.argv[1:])
    args = parser.parse_args(options)
    args.assignments = assignments

    images = pictures_of(args.dataset, args.pictures, args.size)
    if len(images) < args.clients:
        parser.error(f"expected a picture for each of {args.clients} clients, got {len(images)}")
    model = model_of(args, IMAGES_PER_GPU=args.max_batch).build()
    expected = [found.to_coco(1) for found in model.detect(images)]
    distinct = len({str(results) for results in expected})
    objects = sum(map(len, expected))
    print(", ".join(filter(None, machine.describe().values())))
    print(f"{len(images)} pictures, {objects} objects in them, {distinct} different answers")

    given = ["--max-batch", str(args.max_batch), *assignments]
    for name in ("config", "preset"):
        given += [f"--{name}", getattr(args, name)] if getattr(args, name) else []
    log = Path(tempfile.gettempdir()) / "serving.log"
    with ServerProcess([args.weights, *given], log) as server:
        clients = Clients(server, [as_png(image) for image in images], args.clients)
        clients.run(args.seconds / args.rounds / 4)  # what is made once is made
        sys.exit(compare(server, clients, model, images, expected, args))


def compare(server, clients, model, images, expected, args):
    """Runs the rounds, and prints what they gave; returns the exit code."""
    rates, times, memory, wrong = {"server": [], "detect": []}, [], [server.memory()], {}
    for _ in range(args.rounds):
        with watched(server.memory) as seen:
            answers, seconds = clients.run(args.seconds / args.rounds)
        rates["server"].append((len(answers), seconds))
        rates["detect"].append(detect(model, images, args.max_batch, seconds))
        times += [each[-1] for each in answers]
        memory += [max(seen), server.memory()]
        for fault in filter(None, (fault_of(answer, expected) for answer in answers)):
            wrong[fault] = wrong.get(fault, 0) + 1

    server_rate, detect_rate = (total_rate(rates[name]) for name in ("server", "detect"))
    by_round = [
        (one[0] / one[1]) / (other[0] / other[1])
        for one, other in zip(rates["server"], rates["detect"], strict=True)
    ]
    nearly = wrong.pop(NEARLY, 0)
    cuts = statistics.quantiles(times, n=100)
    print(f"{args.clients} clients, {sum(each[1] for each in rates['server']):.0f} s of the server")
    print(f"answers: {len(times)}; lost or another's: {wrong or 0}; {NEARLY}: {nearly}")
    print(f"seconds: p50 {cuts[49]:.3f}, p99 {cuts[98]:.3f}, most {max(times):.3f}")
    print(f"pictures a second: server {server_rate:.2f}, detect {detect_rate:.2f}", end=": ")
    print(f"{server_rate / detect_rate:.3f}; rounds {min(by_round):.3f} to {max(by_round):.3f}")
    middle = memory[len(memory) // 2]
    print(f"server's memory, MB: start {memory[0]:.0f}, middle {middle:.0f}", end=", ")
    print(f"end {memory[-1]:.0f}, most {max(memory):.0f}; errors in its log: {server.tracebacks()}")
    return bool(wrong)


def detect(model, images, size, seconds):
    """Detects in batches for so long; returns the pictures and the seconds."""
    start, count = time.perf_counter(), 0
    while (taken := time.perf_counter() - start) < seconds:
        batch = [images[(count + i) % len(images)] for i in range(size)]
        model.detect(batch)
        count += size
    return count, taken


def fault_of(answer, expected):
    """What is wrong with an answer; None: nothing."""
    number, status, content, own_id, _ = answer
    if status != 200:
        return status
    if not own_id:
        return "another's id"
    if is_own(content, expected[number]):
        return None
    alike = [likeness(content, results) for results in expected]
    return NEARLY if alike[number] == max(alike) > 0 else "another's objects"


def total_rate(rounds):
    return sum(count for count, _ in rounds) / sum(seconds for _, seconds in rounds)


if __name__ == "__main__":
    main()
