"""What `mrcnn serve` answers to those who mean it ill, while others go on asking.

python benchmarks/serving_faults.py WEIGHTS

Runs the command in a process of its own. Sixteen clients ask for pictures all the while, and their
answers must be right. Beside them come broken pictures; pictures of a hundred megapixels and files
that say or hold more than they seem to; bodies of which half is sent, by clients that leave and by
clients that wait; a thousand connections that stay silent, and a thousand that ask at once; and at
the end, while all sixteen wait for an answer, SIGTERM. Prints what each was answered, how often,
and what the server kept: memory, open files, tracebacks in its log. The exit code is 1 where an
answer was missing or not the expected one.
"""

import argparse
import collections
import gzip
import io
import resource
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import machine
import numpy as np
import tifffile
from PIL import Image
from server_process import Clients, ServerProcess, as_png, ask, is_own, pictures_of

from mrcnn.cli.config_arguments import split_assignments
from mrcnn.cli.model_arguments import add_model_arguments, model_of

CLIENTS, CONNECTIONS, HALVES = 16, 1000, 64
LIMITED = 35  # seconds in which a body that does not arrive is answered; the server gives it 30


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_model_arguments(parser)
    options, assignments = split_assignments(sys.argv[1:])
    args = parser.parse_args(options)
    args.assignments = assignments

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    images = pictures_of(None, 4 * CLIENTS, 128)
    pictures = [as_png(image) for image in images]
    found = model_of(args, IMAGES_PER_GPU=4).build().detect(images)
    expected = [each.to_coco(1) for each in found]
    print(", ".join(filter(None, machine.describe().values())))

    given = [args.weights, "--queue", str(2 * CLIENTS), *assignments]
    given += ["--config", args.config] if args.config else []
    given += ["--preset", args.preset] if args.preset else []
    log = Path(tempfile.gettempdir()) / "serving_faults.log"
    with ServerProcess(given, log) as server:
        checks = [
            *(broken_pictures, bombs, halves_that_leave, halves_that_wait),
            *(silent_connections, connections_at_once),
        ]
        Clients(server, pictures, CLIENTS).run(5)  # what is made once is made
        print(f"before: {state(server)}")
        fine = [among_others(check, server, pictures, expected) for check in checks]
        fine.append(stopped_midway(server, pictures, expected))
        print(f"tracebacks in the log: {server.tracebacks()}")
        sys.exit(not all(fine))


def state(server):
    return f"{server.memory():.0f} MB, {server.open_files()} open files"


def among_others(check, server, pictures, expected):
    """Runs a check while clients ask; returns whether all was as it should."""
    results, done = [], threading.Event()

    def others():
        clients = Clients(server, pictures, CLIENTS)
        while not done.is_set():
            results.extend(clients.run(1)[0])

    thread = threading.Thread(target=others)
    thread.start()
    try:
        outcome, fine = check(server, pictures)
    finally:
        done.set()
        thread.join()
    # Where a thousand others ask, being told to come again is an answer.
    refused = sum(status == 429 for _, status, *_ in results)
    right = sum(
        status == 200 and own_id and is_own(content, expected[number])
        for number, status, content, own_id, _ in results
    )
    fine = fine and right + refused == len(results)
    name = check.__name__.replace("_", " ")
    print(f"{'ok' if fine else 'NO'}: {name}: {outcome}")
    told = f"{right} right answers, {refused} told to wait, of {len(results)}"
    print(f"    the others: {told}; now {state(server)}")
    return fine


def counted(statuses):
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items(), key=str))


def post(server, body, headers=()):
    """The status that a body is answered with."""
    connection = server.connection()
    connection.request("POST", "/detect", body, dict(headers))
    status = connection.getresponse().status
    connection.close()
    return status


def broken_pictures(server, pictures):
    """Files that are none, cut short, or spoilt in the middle."""
    jpeg = io.BytesIO()
    Image.effect_noise((200, 200), 60).save(jpeg, "JPEG")
    jpeg, whole = jpeg.getvalue(), pictures[0]
    bodies = [b"", b"no picture", whole[: len(whole) // 2], whole[:20], jpeg[:300]]
    bodies += [whole[:60] + bytes(20) + whole[80:], np.random.default_rng(0).bytes(50_000)]
    statuses = collections.Counter(post(server, body) for body in 10 * bodies)
    return counted(statuses), set(statuses) == {400}


def bombs(server, pictures):
    """Much in little: each is refused before it is decoded."""
    statuses = collections.Counter()
    for body in (
        png_of(10_000, 10_000),
        png_of(60_000, 60_000),
        bitmap("GIF", 65_000),
        *(tiff_bomb(), bytes(40 * 2**20)),
    ):
        statuses[post(server, body)] += 1
    packed = gzip.compress(bytes(10**8))
    statuses[post(server, packed, {"Content-Encoding": "gzip"})] += 1
    return counted(statuses), statuses == {413: 5, 415: 1}


def png_of(height, width):
    """A PNG of one bit a pixel, all of them there."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height))
    chunks = ((b"IHDR", header), (b"IDAT", data + rows.flush()), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def bitmap(kind, side):
    """A small picture whose header says that it is large."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, kind)
    data = bytearray(file.getvalue())
    data[6:10] = struct.pack("<HH", side, side)
    return bytes(data)


def tiff_bomb():
    """A TIFF of 8 x 8 pixels whose one strip decompresses to a hundred megabytes."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8), np.uint8), compression="zlib")
    data = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        tags = opened.pages[0].tags
        places = [tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts")]
        sizes = [tags[name].dtype for name in ("StripOffsets", "StripByteCounts")]
    strip = zlib.compress(bytes(10**8))
    for place, size, value in zip(places, sizes, (len(data), len(strip)), strict=True):
        kind = {3: "<H", 4: "<I", 16: "<Q"}[int(size)]
        struct.pack_into(kind, data, place, min(value, 2 ** (8 * struct.calcsize(kind)) - 1))
    return bytes(data) + strip


def half_sent(server):
    """A connection that has sent the head of a request and half of its body."""
    opened = socket.create_connection((server.host, server.port), timeout=LIMITED)
    opened.sendall(
        b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + bytes(1000)
    )
    return opened


def answered(opened):
    """The status that a connection reads; what happened instead where there is none."""
    try:
        line = opened.recv(4096).split(b"\r\n")[0].decode()
    except OSError as error:
        return type(error).__name__
    finally:
        opened.close()
    return int(line.split()[1]) if line else "closed"


def halves_that_leave(server, pictures):
    """Half a body, and the connection closed."""
    before = server.open_files()
    for _ in range(HALVES):
        half_sent(server).close()
    deadline = time.monotonic() + LIMITED
    while (now := server.open_files()) > before + CLIENTS and time.monotonic() < deadline:
        time.sleep(0.1)
    return f"{HALVES} left; open files {before} before, {now} after", now <= before + CLIENTS


def halves_that_wait(server, pictures):
    """Half a body, and nothing more: twice as many as requests are answered at a time."""
    connections = [half_sent(server) for _ in range(HALVES)]
    statuses = collections.Counter(map(answered, connections))
    return counted(statuses), set(statuses) == {408}


def silent_connections(server, pictures):
    """A thousand connections that say nothing; one more is answered."""
    connections = []
    for _ in range(CONNECTIONS):
        connections.append(socket.create_connection((server.host, server.port), timeout=60))
    status, _, own = ask(server.connection(), pictures[0])
    for each in connections:
        each.close()
    return f"beside {CONNECTIONS} of them one more: {status}", own and status in (200, 429)


def connections_at_once(server, pictures):
    """A thousand connections that send a picture each at the same time."""
    body = pictures[1]
    head = f"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connections = [
        socket.create_connection((server.host, server.port), timeout=120)
        for _ in range(CONNECTIONS)
    ]
    for each in connections:
        each.sendall(head + body)
    statuses = collections.Counter(map(answered, connections))
    return counted(statuses), set(statuses) <= {200, 429} and statuses[200] > 0


def stopped_midway(server, pictures, expected):
    """SIGTERM while as many requests as there are clients are being answered."""
    results, threads = [None] * CLIENTS, []

    def one(i):
        results[i] = ask(server.connection(), pictures[i])

    for i in range(CLIENTS):
        threads.append(threading.Thread(target=one, args=(i,)))
        threads[-1].start()
    while in_flight(server) < CLIENTS and any(thread.is_alive() for thread in threads):
        time.sleep(0.001)
    waiting = sum(thread.is_alive() for thread in threads)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    right = sum(
        status == 200 and own_id and is_own(content, expected[i])
        for i, (status, content, own_id) in enumerate(results)
    )
    code = server.process.wait(120)
    fine = right == CLIENTS and code == 0
    told = f"{waiting} of {CLIENTS} requests waited; {right} right answers, exit code {code}"
    print(f"{'ok' if fine else 'NO'}: stopped midway: {told}")
    return fine


def in_flight(server):
    connection = server.connection()
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return int(next(x for x in lines if x.startswith("mrcnn_requests_in_flight ")).split()[1])


if __name__ == "__main__":
    main()
