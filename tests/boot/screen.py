# SPDX-License-Identifier: Apache-2.0
"""Reads text off a picture of Bulkhead's console: cell by cell, with the font of hv/io/font.c."""
import dataclasses
import re

from framework import TOP

WIDTH, HEIGHT = 8, 16  # of a cell that is not enlarged
FIRST, OTHER = 0x20, 0x7F
TOP_ROWS, DRAWN = 2, 13
COLUMNS_GOOD, ROWS_GOOD = 160, 25
COLUMNS_MAX, ROWS_MAX = 256, 100
BACKGROUND = b"\0\0\0"
STRANGE = "\N{REPLACEMENT CHARACTER}"  # a cell that is no character's


class NotReadable(Exception):
    """This is no picture of a console; the text says why."""


def read_font():
    """{rows of a cell: character}"""
    source = (TOP / "hv" / "io" / "font.c").read_text(encoding="utf-8")
    rows = re.findall(r"\{((?:0x[0-9a-f]{2},? ?){%d})\}" % DRAWN, source)
    if len(rows) != OTHER - FIRST + 1:
        raise NotReadable(f"hv/io/font.c has {len(rows)} glyphs")
    above, below = (0,) * TOP_ROWS, (0,) * (HEIGHT - TOP_ROWS - DRAWN)
    return {above + tuple(int(byte, 16) for byte in row.split(",")) + below: chr(FIRST + number)
            for number, row in enumerate(rows)}


FONT = read_font()


@dataclasses.dataclass(frozen=True)
class Picture:
    width: int
    height: int
    data: bytes  # red, green, blue

    @classmethod
    def from_ppm(cls, ppm):
        header = re.match(rb"P6\s+(?:#.*\n)?(\d+)\s+(\d+)\s+255\s", ppm)
        if not header:
            raise NotReadable("not a PPM picture")
        width, height = int(header[1]), int(header[2])
        data = ppm[header.end():]
        if len(data) != width * height * 3:
            raise NotReadable("a PPM picture cut short")
        return cls(width, height, data)

    def line(self, y):
        return self.data[y * self.width * 3:(y + 1) * self.width * 3]


@dataclasses.dataclass(frozen=True)
class Console:
    """What a picture says: rows of text, and the colour of each cell's ink or None."""
    columns: int
    rows: list
    colors: list


def one_in(line, scale):
    """A line of pixels made `scale` times narrower; None if the pixels of a group differ."""
    pixels = [line[x:x + 3] for x in range(0, len(line), 3)]
    if any(pixels[n::scale] != pixels[::scale] for n in range(1, scale)):
        return None
    return b"".join(pixels[::scale])


def shrink(picture, scale, columns, rows):
    """The lines of all cells' pixels, not enlarged; what lies beyond them must be empty."""
    used = columns * WIDTH * scale * 3
    for y in range(picture.height):
        line = picture.line(y)
        inside = used if y < rows * HEIGHT * scale else 0
        if line[inside:] != BACKGROUND * ((len(line) - inside) // 3):
            raise NotReadable(f"there is something beside the text, in line {y}")
    lines = []
    for y in range(0, rows * HEIGHT * scale, scale):
        same = {picture.line(y + n)[:used] for n in range(scale)}
        line = one_in(same.pop(), scale) if len(same) == 1 else None
        if line is None:
            raise NotReadable(f"pixels are not enlarged {scale} times, in line {y}")
        lines.append(line)
    return lines


def read_cell(lines, column):
    """(character, colour of the ink)"""
    bits, inks = [], set()
    for line in lines:
        part = line[column * WIDTH * 3:(column + 1) * WIDTH * 3]
        row = 0
        if part != BACKGROUND * WIDTH:
            for x in range(WIDTH):
                pixel = part[x * 3:x * 3 + 3]
                row = row << 1 | (pixel != BACKGROUND)
                inks.add(pixel)
        bits.append(row)
    inks.discard(BACKGROUND)
    if len(inks) > 1:
        return STRANGE, None
    return FONT.get(tuple(bits), STRANGE), inks.pop() if inks else None


def geometry(picture):
    """(columns, rows, scale): written from the description in hv/io/screen.h, not from its code."""
    columns, rows = picture.width // WIDTH, picture.height // HEIGHT
    scale = max(1, min(columns // COLUMNS_GOOD, rows // ROWS_GOOD))
    return min(columns // scale, COLUMNS_MAX), min(rows // scale, ROWS_MAX), scale


def read(ppm):
    """A picture's Console."""
    picture = Picture.from_ppm(ppm)
    columns, rows, scale = geometry(picture)
    lines = shrink(picture, scale, columns, rows)
    cells = [[read_cell(lines[row * HEIGHT:(row + 1) * HEIGHT], column)
              for column in range(columns)] for row in range(rows)]
    return Console(columns, ["".join(cell[0] for cell in row).rstrip() for row in cells],
                   [[cell[1] for cell in row] for row in cells])


def wrapped(text, columns, rows):
    """The rows that a screen of this size shows of a text."""
    shown = []
    for line in text.split("\n"):
        line = line.expandtabs(8)
        shown += [line[at:at + columns] for at in range(0, max(1, len(line)), columns)]
    shown = shown[-rows:]
    return [line.rstrip() for line in shown] + [""] * (rows - len(shown))
