"""What happens to files in the field, and worse: deterministic from a random generator."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[bytes, random.Random], bytes]
NUMBERS = (0, 1, 2, -1, 127, 128, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1)
WORDS = (
    b"0", b"-1", b"1e400", b"-1e400", b"nan", b"NaN", b"Infinity", b"1e38", b"1000000000000000000000", b"4294967295",
    b"0.5", b"null", b"true", b"[]", b"{}", b'"x"', b"", b"[[1]]", b"\xff\xfe",
)  # fmt: skip
VALUES = (None, -1, 0, 1, 10**30, 1e308, float("nan"), "", "x", True, [], {}, [None], [[]], {"a": 1})
NAMES = (
    "a b{}", "ä中文😀{}", "100%d{}", "%s%n{}", "-rf{}", "line\nbreak{}", "tab\t{}", "'quo\"te'{}", "{}", "a{}{}",
    "name", "x" * 200 + "{}", "file:a{}", "http:a{}", "concat:a|b{}", "#{}", "~{}", "[ab]*?{}", " {}", "a{} ",
    "C:\\a{}", "$(id){}",
)  # fmt: skip
"""Names of files; {} is the ending."""


def cut(data: bytes, random: random.Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def empty(data: bytes, random: random.Random) -> bytes:
    return b""


def flip(data: bytes, random: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def header_flip(data: bytes, random: random.Random) -> bytes:
    size = min(len(data), random.choice((16, 64, 256, 1024)))
    return flip(data[:size], random) + data[size:]


def number(data: bytes, random: random.Random) -> bytes:
    """A whole number of 1, 2, 4 or 8 bytes becomes another one, more often near the front, where headers are."""
    size = random.choice((1, 2, 4, 4, 8))
    value = random.choice(NUMBERS) & ((1 << 8 * size) - 1)
    ends = min(len(data), random.choice((64, 512, len(data), len(data))))
    place = random.randrange(max(1, ends - size + 1))
    return data[:place] + value.to_bytes(size, random.choice(("little", "big"))) + data[place + size :]


def _span(data: bytes, random: random.Random) -> tuple[int, int]:
    first = random.randrange(len(data))
    return first, min(len(data), first + random.choice((1, 4, 16, 100, 1000)))


def remove(data: bytes, random: random.Random) -> bytes:
    first, last = _span(data, random)
    return data[:first] + data[last:]


def repeat(data: bytes, random: random.Random) -> bytes:
    first, last = _span(data, random)
    return data[:last] + data[first:last] * random.choice((1, 2, 50)) + data[last:]


def swap(data: bytes, random: random.Random) -> bytes:
    a, b, c = sorted(random.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def blank(data: bytes, random: random.Random) -> bytes:
    first, last = _span(data, random)
    return data[:first] + bytes([random.choice((0, 255))]) * (last - first) + data[last:]


def insert(data: bytes, random: random.Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.randbytes(random.choice((1, 4, 64, 4096))) + data[place:]


def noise(data: bytes, random: random.Random) -> bytes:
    return random.randbytes(random.choice((1, 4, 11, 100, len(data))))


def keep_head(data: bytes, random: random.Random) -> bytes:
    """The right beginning, then noise."""
    size = min(len(data), random.choice((4, 8, 16, 64, 512)))
    return data[:size] + random.randbytes(len(data) - size)


def word(data: bytes, random: random.Random) -> bytes:
    """A number or word in a text becomes another one."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|\"[^\"]*\"|true|false|null", data))
    if not found:
        return number(data, random)
    one = random.choice(found)
    return data[: one.start()] + random.choice(WORDS) + data[one.end() :]


def line(data: bytes, random: random.Random) -> bytes:
    """A line of a text is lost, doubled, or exchanged with another one."""
    lines = data.split(b"\n")
    here, there = random.randrange(len(lines)), random.randrange(len(lines))
    what = random.randrange(3)
    if what == 0:
        del lines[here]
    elif what == 1:
        lines.insert(here, lines[there])
    else:
        lines[here], lines[there] = lines[there], lines[here]
    return b"\n".join(lines)


def deep(data: bytes, random: random.Random) -> bytes:
    """Brackets deeper than any parser's stack."""
    one = random.choice((b"[", b'{"a":', b"- "))
    return one * random.choice((1_000, 100_000))


ANY: tuple[Spoil, ...] = (
    cut, cut, flip, flip, header_flip, header_flip, number, number, number, remove, repeat, swap, blank, insert,
    noise, keep_head, empty,
)  # fmt: skip
TEXT: tuple[Spoil, ...] = (word, word, word, line, deep)


def _bytes_of(data: bytes, random: random.Random) -> bytes:
    return random.choice(ANY)(data, random) if data else data


def png(data: bytes, random: random.Random) -> bytes:
    """One chunk is spoiled and gets a right checksum, so that it is believed."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    which = random.randrange(len(chunks))
    chunks[which] = (chunks[which][0], _bytes_of(chunks[which][1], random))
    packed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:8] + b"".join(packed)


def npz(data: bytes, random: random.Random) -> bytes:
    """One array of an archive is spoiled, with a right checksum."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as target:
        names = archive.namelist()
        chosen = random.choice(names)
        for name in names:
            body = archive.read(name)
            if name == chosen:
                body = random.choice((word, number, header_flip, cut, _bytes_of))(body, random)
            target.writestr(name, body)
    return out.getvalue()


def glb(data: bytes, random: random.Random) -> bytes:
    """The document of a GLB is spoiled and its lengths put right."""
    (length,) = struct.unpack_from("<I", data, 12)
    text = random.choice(TEXT)(data[20 : 20 + length], random)
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    return struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest


def safetensors(data: bytes, random: random.Random) -> bytes:
    """The header is spoiled and its length put right."""
    (length,) = struct.unpack_from("<Q", data)
    text = random.choice(TEXT)(data[8 : 8 + length], random)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def json_value(data: bytes, random: random.Random) -> bytes:
    """An entry is removed, or becomes a value of another kind."""
    tree = json.loads(data)
    here = tree
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return data
        key = random.choice(keys)
        if not isinstance(here[key], (dict, list)) or random.random() < 0.3:
            break
        here = here[key]
    if random.random() < 0.3:
        del here[key]
    else:
        here[key] = random.choice(
            (None, -1, 0, 10**30, 1e308, "", "x", [], {}, [None], {"a": 1}, True, [[]], float("nan"))
        )
    return json.dumps(tree).encode()


BY_ENDING: dict[str, tuple[Spoil, ...]] = {
    ".png": (png,), ".npz": (npz, npz), ".glb": (glb, glb), ".safetensors": (safetensors,),
    ".json": (*TEXT, json_value, json_value, json_value), ".gltf": (*TEXT, json_value), ".yaml": TEXT, ".obj": TEXT,
    ".mtl": TEXT, ".ply": TEXT, ".stl": TEXT,
}  # fmt: skip


def spoil_file(path: Path, others: list[Path], random: random.Random) -> str:
    """Spoil one file in its place; what was done to it."""
    data = path.read_bytes()
    if random.random() < 0.04:
        other = random.choice(others)
        path.write_bytes(other.read_bytes())
        return f"{path.name} is {other.name}"
    own = BY_ENDING.get(path.suffix, ())
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        spoil = random.choice(own) if own and random.random() < 0.5 else random.choice(ANY)
        try:
            data = spoil(data, random) if data else data
        # It is no longer of the kind that this one takes apart.
        except Exception:
            continue
        done.append(spoil.__name__)
    path.write_bytes(data)
    return f"{path.name}: {', '.join(done)}"
