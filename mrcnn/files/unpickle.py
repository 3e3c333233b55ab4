"""Reads pickles of weights without running anything from them.

A pickle is a program for a small stack machine. This is such a machine; it knows the instructions
that data needs, and the few functions that PyTorch and NumPy put around arrays, each replaced by
one of ours. Python's `pickle` is not used because what it builds can be called and changed by the
file. Time and memory stay in proportion to the file's size.
"""

import struct
from types import FunctionType

from mrcnn.files.arrays import Refused, Storage, Tensor, show
from mrcnn.files.pickle_globals import GLOBALS, Dtype, Ignored, Type, fill, key

MAX_STEPS = 1_000_000  # a model of 1000 arrays and its optimiser take a fifth
MAX_NAME = 1000  # bytes
LONG_TEXT = 4096  # bytes; longer ones are arrays in disguise and stay undecoded
STOP = ord(".")


class Unpickler:
    """Reads one pickle.

    Args:
        data: memoryview of bytes.
        position: int, where the pickle begins; after `load`, where it ended.
        max_steps: int, work that it may ask for; None: `MAX_STEPS`.
        wanted, advice: str, for messages: what the file should hold, and how to save that.

    After `load`, `storages` is a dict of the `Storage`s that it names, by their key in the file.
    """

    def __init__(
        self,
        data,
        position=0,
        max_steps=None,
        wanted="weights",
        advice="save `model.state_dict()` instead of a whole model",
    ):
        self.wanted, self.advice = wanted, advice
        self.max_steps = MAX_STEPS if max_steps is None else max_steps
        self.data, self.position, self.storages = data, position, {}
        self.stack, self.outer, self.memo = [], [], {}
        self._steps, self._bytes = self.max_steps, 2 * len(data)

    def load(self):
        """The object: plain containers and values, `Tensor`s, and values to ignore.

        Raises:
            Refused: it asks for something that weights do not need.
            Exception: of many types; they all mean that the file is damaged.
        """
        while True:
            self.spend(1)
            code = self.take(1)[0]
            if code == STOP:
                return self.stack.pop()
            if code not in OPCODES:
                raise Refused(f"has the pickle instruction {code:#04x}, which no weight file needs")
            OPCODES[code](self)

    def take(self, count):
        """The next bytes, not copied."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise Refused("ends before its pickle does: it is truncated, copy it again")
        taken, self.position = self.data[self.position : end], end
        return taken

    def line(self):
        """The next line as text, without its end."""
        length = bytes(self.data[self.position :][:MAX_NAME]).find(b"\n")
        if length < 0:
            raise Refused("is damaged: a name has no end")
        return bytes(self.take(length + 1)[:-1]).decode()

    def number(self, code):
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def push(self, value):
        self.stack.append(value)

    def above_mark(self):
        """Takes what lies above the last mark, and the mark."""
        items, self.stack = self.stack, self.outer.pop()
        self.spend(len(items))
        return items

    def spend(self, steps):
        """Counts work, so that a small file cannot ask for a lot."""
        self._steps -= steps
        if self._steps < 0:
            raise Refused(
                f"holds more than {self.max_steps} pickled values; save only the {self.wanted}"
            )

    def spend_bytes(self, count):
        """Counts copies: each byte of a file is decoded once, and once part of an array."""
        self._bytes -= count
        if self._bytes < 0:
            raise Refused("is damaged: its arrays are larger than the file")


# The instructions.


def _find(machine, module, name):
    asked = f"{module}.{name}"
    if asked not in GLOBALS:
        raise Refused(
            f"asks for {show(asked)}, which {machine.wanted} do not need, so nothing of it was "
            f"run; {machine.advice}"
        )
    machine.push(GLOBALS[asked])


def _stack_global(machine):
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise TypeError("a global needs two names")
    _find(machine, module, name)


def _call(machine):
    args, function = machine.stack.pop(), machine.stack.pop()
    if type(function) is not FunctionType or type(args) is not tuple:
        raise TypeError("not a function and its arguments")
    machine.push(function(machine, *args))


def _build(machine):
    """The state of an object; containers and ignored values have none that matters."""
    state, target = machine.stack.pop(), machine.stack[-1]
    if type(target) is Dtype:
        target.kind = (">" if state[1] == ">" else "<") + target.kind[1:]
    elif type(target) is Tensor:
        _, shape, dtype, fortran, data = state
        fill(machine, target, dtype, shape, fortran, data)
    elif type(target) not in (dict, Ignored):
        raise TypeError(f"state for a {type(target).__name__}")


def _persistent(machine):
    """A storage, by its key in the file."""
    what, kind, name, _, count, *view = machine.stack.pop()
    if what != "storage":
        raise Refused("is a whole pickled model; save `model.state_dict()` instead")
    if type(kind) is not Type or type(name) is not str or view not in ([], [None]):
        raise Refused(f"has a storage {show(name)} of a kind that is not supported")
    storage = machine.storages.setdefault(name, Storage(kind.kind, count))
    if (storage.kind, storage.count) != (kind.kind, count):
        raise Refused(f"is damaged: storage {show(name)} has two types or sizes")
    machine.push(storage)


def _integer(machine):
    line = machine.line()
    machine.push({"00": False, "01": True}[line] if line in ("00", "01") else int(line))


def _long(machine):
    machine.push(int.from_bytes(machine.take(machine.number("<B")), "little", signed=True))


def _text(machine, size, encoding):
    text = machine.take(machine.number(size))
    machine.push(str(text, encoding) if len(text) <= LONG_TEXT else text)


def _short_tuple(machine, count):
    machine.push(tuple([machine.stack.pop() for _ in range(count)][::-1]))


def _set_items(machine, items):
    target = machine.stack[-1]
    if type(target) is not dict:
        raise TypeError("items for something that is no dictionary")
    for name, value in zip(items[::2], items[1::2], strict=True):
        target[key(name)] = value


def _append(machine, items):
    if type(machine.stack[-1]) is not list:
        raise TypeError("items for something that is no list")
    machine.stack[-1].extend(items)


def _add(machine, items):
    if type(machine.stack[-1]) is not set:
        raise TypeError("items for something that is no set")
    machine.stack[-1].update(map(key, items))


def _mark(machine):
    machine.outer.append(machine.stack)
    machine.stack = []


def _remember(machine, index):
    machine.memo[index] = machine.stack[-1]


OPCODES = {
    b"\x80": lambda m: m.take(1),  # the version
    b"\x95": lambda m: m.take(8),  # the length of a frame
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _integer,
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": _long,
    b"G": lambda m: m.push(m.number(">d")),
    b"X": lambda m: _text(m, "<I", "utf-8"),
    b"\x8c": lambda m: _text(m, "<B", "utf-8"),
    b"\x8d": lambda m: _text(m, "<Q", "utf-8"),
    b"T": lambda m: _text(m, "<i", "latin-1"),
    b"U": lambda m: _text(m, "<B", "latin-1"),
    b"C": lambda m: m.push(m.take(m.number("<B"))),
    b"B": lambda m: m.push(m.take(m.number("<I"))),
    b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
    b"\x96": lambda m: m.push(m.take(m.number("<Q"))),
    b"(": _mark,
    b"0": lambda m: m.stack.pop() if m.stack else m.above_mark(),
    b"1": lambda m: m.above_mark(),
    b"2": lambda m: m.push(m.stack[-1]),
    b")": lambda m: m.push(()),
    b"\x85": lambda m: _short_tuple(m, 1),
    b"\x86": lambda m: _short_tuple(m, 2),
    b"\x87": lambda m: _short_tuple(m, 3),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b"\x8f": lambda m: m.push(set()),
    b"t": lambda m: m.push(tuple(m.above_mark())),
    b"a": lambda m: _append(m, [m.stack.pop()]),
    b"e": lambda m: _append(m, m.above_mark()),
    b"\x90": lambda m: _add(m, m.above_mark()),
    b"s": lambda m: _set_items(m, [m.stack.pop(), m.stack.pop()][::-1]),
    b"u": lambda m: _set_items(m, m.above_mark()),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"q": lambda m: _remember(m, m.number("<B")),
    b"r": lambda m: _remember(m, m.number("<I")),
    b"\x94": lambda m: _remember(m, len(m.memo)),
    b"c": lambda m: _find(m, m.line(), m.line()),
    b"\x93": _stack_global,
    b"R": _call,
    b"\x81": _call,
    b"Q": _persistent,
    b"b": _build,
}
OPCODES = {code[0]: instruction for code, instruction in OPCODES.items()}
