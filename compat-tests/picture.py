#!/usr/bin/env python3
"""Makes a picture of a page smaller: python3 picture.py FROM.png TO.png

Browsers write 24 or 32 bits a pixel, hardly compressed. A page has few colours, so that a palette of 96 is
enough; every other pixel gets the one that is nearest.
"""

import collections
import struct
import sys
import zlib

COLOURS = 96


def chunks(data):
    at = 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        yield data[at + 4:at + 8], data[at + 8:at + 8 + length]
        at += 12 + length


def pixels(data):
    """Width, and the lines, each a list of colours (RFC 2083)."""
    parts = collections.defaultdict(bytes)
    for kind, content in chunks(data):
        parts[kind] += content
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert depth == 8 and kind in (2, 6) and not interlaced, "not as browsers write it"
    size = 3 if kind == 2 else 4
    raw, before, lines = zlib.decompress(parts[b"IDAT"]), bytes(width * size), []
    for line in range(height):
        start = line * (width * size + 1)
        way, now = raw[start], bytearray(raw[start + 1:start + 1 + width * size])
        for n, value in enumerate(now):
            left = now[n - size] if n >= size else 0
            above, corner = before[n], before[n - size] if n >= size else 0
            if way == 1:
                value += left
            elif way == 2:
                value += above
            elif way == 3:
                value += (left + above) // 2
            elif way == 4:
                near = left + above - corner
                value += min((left, above, corner), key=lambda one: abs(near - one))
            now[n] = value & 255
        lines.append([bytes(now[n:n + 3]) for n in range(0, len(now), size)])
        before = bytes(now)
    return width, lines


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def main(source, target):
    with open(source, "rb") as file:
        width, lines = pixels(file.read())
    counts = collections.Counter(colour for line in lines for colour in line)
    # What is coloured says something, and there is little of it.
    weight = lambda colour: counts[colour] * (1 + max(colour) - min(colour))
    palette = sorted(counts, key=weight, reverse=True)[:COLOURS]
    nearest = {
        colour: min(range(len(palette)), key=lambda n: sum((a - b) ** 2 for a, b in zip(colour, palette[n])))
        for colour in counts
    }
    raw = b"".join(b"\0" + bytes(nearest[colour] for colour in line) for line in lines)
    head = struct.pack(">IIBBBBB", width, len(lines), 8, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")]
    with open(target, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


main(*sys.argv[1:])
