"""The protocol without the helper, rightly or wrongly: ``raw.py NAME FAULT FOLDER [MARK]``.

A tokenizer whose codes are one zero an image and whose pictures are grey. Where the first row
of an image is white it goes wrong as FAULT says. FOLDER is there to find the process by.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

NAME, FAULT = sys.argv[1:3]


def send(**message):
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def say(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def npy(name, kind, shape, data):
    header = repr({"descr": kind, "fortran_order": False, "shape": shape})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
    (FOLDER / name).write_bytes(start + header.encode() + data)


def first_rows(name):
    """The smallest value in the first row of each image of a float32 .npy file of version 1."""
    with (FOLDER / name).open("rb") as file:
        file.read(8)
        (length,) = struct.unpack("<H", file.read(2))
        shape = eval(file.read(length))["shape"]  # written by layton-bench
        data = file.read()
    size = 4 * shape[1] * shape[2] * shape[3]
    form = f"<{shape[3]}f"
    return [min(struct.unpack_from(form, data, i * size)) for i in range(shape[0])]


def crash():
    sys.stderr.write("loading\nabout to\x1b[1m fall over\n")
    os._exit(3)


def stop():
    """With a child of its own."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *sys.argv])
    time.sleep(600)


def hang():
    """With heartbeats."""
    while True:
        send(type="alive")
        time.sleep(0.05)


def slow():
    """With heartbeats, and then an answer."""
    for _ in range(60):
        time.sleep(0.05)
        send(type="alive")


def close():
    os.close(1)
    time.sleep(600)


def endless_line():
    while True:
        say(b"x" * 65536)


def noise():
    for number in range(60_000):
        sys.stderr.write(f"noise {number:060d}\n")


def sparse():
    with (FOLDER / "bad.npy").open("wb") as file:
        file.truncate(2**40)


def folders():
    (FOLDER / "bad.npy" / "below").mkdir(parents=True)


BEFORE_THE_ANSWER = {
    "fifo": lambda: os.mkfifo(FOLDER / "bad.npy"),
    "device": lambda: (FOLDER / "bad.npy").symlink_to("/dev/zero"),
    "sparse": sparse,
    "folder": folders,
    "huge-shape": lambda: npy("bad.npy", "<i8", (2**40, 2**20), bytes(8)),
    "crash": crash,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": stop,
    "hang": hang,
    "slow": slow,
    "closes": close,
    "garbage": lambda: say(b"Downloading\xff: 100%\r\n"),
    "nesting": lambda: say(b"[" * 100_000 + b"\n"),
    "endless-line": endless_line,
    "stderr": noise,
    "other-answer": lambda: send(type="done", id=7),
    "pickle": lambda: npy("bad.npy", "|O", (1, 1), b"cos\nsystem\n(S'true'\ntR."),
    "no-array": lambda: (FOLDER / "bad.npy").write_bytes(b"GIF89a"),
    "float-codes": lambda: npy("bad.npy", "<f4", (1, 1), bytes(4)),
    "no-codebook": lambda: npy("bad.npy", "<i8", (1, 1), bytes(8)),
    "lengths": lambda: npy("bad.npy", "|u1", (3,), b"abc"),
    "too-few": lambda: npy("bad.npy", "<i8", (0, 1), b""),
}

BAD = {"codes": "bad.npy", "codebook_size": 1}
IN_THE_ANSWER = {
    "outside": {"codes": "../bad.npy", "codebook_size": 1},
    "no-file": BAD,
    "pickle": BAD,
    "no-array": BAD,
    "fifo": BAD,
    "device": BAD,
    "sparse": BAD,
    "folder": BAD,
    "huge-shape": BAD,
    "float-codes": BAD,
    "no-codebook": {"codes": "bad.npy"},
    "two-kinds": {"codes": "bad.npy", "latents": "bad.npy"},
    "lengths": {"payloads": "bad.npy", "lengths": [1, 1]},
    "too-few": BAD,
}


def encode(request):
    rows = first_rows(request["images"])
    npy("codes.npy", ">i4", (len(rows), 1), bytes(4 * len(rows)))
    members = {"codes": "codes.npy", "codebook_size": 1}
    if any(darkest == 1 for darkest in rows):
        BEFORE_THE_ANSWER.get(FAULT, lambda: None)()
        members = IN_THE_ANSWER.get(FAULT, members)
    send(type="done", id=request["id"], **members)


def decode(request):
    height, width = request["size_px"]
    shape = (len(request["seeds"]), 3, height + (FAULT == "wrong-shape"), width)
    npy("images.npy", "<f4", shape, bytes(4 * shape[0] * 3 * shape[2] * width))
    send(type="done", id=request["id"], images="images.npy")


hello = json.loads(sys.stdin.buffer.readline())
FOLDER = Path(hello["folder"])
if FAULT == "never-starts":
    time.sleep(600)
if FAULT == "ends-at-once":
    sys.exit("no module named torch")
if FAULT == "banner":
    say(b"Welcome!\n")
if FAULT == "once":
    mark = Path(sys.argv[4])
    if mark.exists():
        sys.exit("the licence has run out")
    mark.touch()
    FAULT = "crash"
CARDS = {"other-card": {"name": "another", "kind": "tokenizer"}, "no-card": {}}
card = CARDS.get(FAULT, {"name": NAME, "kind": "tokenizer"})
send(type="ready", protocol=2 if FAULT == "version" else 1, card=card)
for line in sys.stdin.buffer:
    message = json.loads(line)
    {"encode": encode, "decode": decode}[message["type"]](message)
