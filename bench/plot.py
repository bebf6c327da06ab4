"""Pictures as SVG, written by hand: bars, factors, a stack of phases, and curves. Text is text; nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from bench.measure import OURS, Case, Table

WIDTH = 880
INK, SOFT, GRID, PAPER = "#1f2937", "#6b7280", "#e5e7eb", "#ffffff"
COLOURS = {
    OURS: "#2563eb",
    "podman": "#9333ea",
    "docker": "#0d9488",
    "ctr": "#d97706",
    "runc": "#a16207",
    "crun": "#db2777",
    "skopeo": "#65a30d",
    "bwrap": "#9ca3af",
    "plain C": "#4b5563",
    "host": "#4b5563",
    "one worker": "#93c5fd",
}
SERIES = ("#2563eb", "#9333ea", "#0d9488", "#d97706", "#db2777", "#65a30d", "#0891b2", "#b91c1c", "#1e3a8a", "#eab308",
          "#34d399", "#4b5563", "#f9a8d4", "#38bdf8")  # fmt: skip
STYLE = (
    f"text{{font:13px system-ui,'Segoe UI','DejaVu Sans',sans-serif;fill:{INK}}}"
    f".h{{font-size:16px;font-weight:600}}.s{{font-size:12px;fill:{SOFT}}}.b{{font-weight:600}}"
    ".e{text-anchor:end}.m{text-anchor:middle}"
)


class Canvas:
    """What has been drawn so far, and how far down."""

    def __init__(self, title: str, explanation: str) -> None:
        self.parts: list[str] = []
        self.title = title
        self.text(20, 30, title, "h")
        self.text(20, 50, explanation, "s")
        self.y = 72.0

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """Words, with classes of STYLE."""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>')

    def box(self, x: float, y: float, width: float, height: float, colour: str, hint: str = "") -> None:
        """A filled rectangle; ``hint`` is shown under a pointer."""
        told = f"<title>{escape(hint)}</title>" if hint else ""
        size = f'width="{max(width, 0.5):.1f}" height="{height:.1f}"'
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} rx="2" fill="{colour}">{told}</rect>')

    def dot(self, x: float, y: float, colour: str) -> None:
        """A point."""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}" stroke="{PAPER}"/>')

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1, opacity: float = 1) -> None:
        """A line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        stroke = f'stroke="{colour}" stroke-width="{width}" stroke-opacity="{opacity}"'
        self.parts.append(f'<polyline points="{path}" fill="none" {stroke}/>')

    def legend(self, entries: Mapping[str, str], x: float = 20) -> None:
        """What colours mean, on one line."""
        for name, colour in entries.items():
            self.box(x, self.y - 10, 11, 11, colour)
            self.text(x + 16, self.y, name, "s")
            x += 34 + 7.5 * len(name)
        self.y += 20

    def drawn(self) -> str:
        """The file."""
        height = self.y + 14
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img"'
        head += f' width="{WIDTH}" height="{height:.0f}">'
        ground = f'<rect width="{WIDTH}" height="{height:.0f}" rx="6" fill="{PAPER}" stroke="{GRID}"/>'
        title = f"<title>{escape(self.title)}</title>"
        return "\n".join([head, title, f"<style>{STYLE}</style>", ground, *self.parts, "</svg>\n"])


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _colours(cases: Sequence[Case]) -> dict[str, str]:
    names = {name for case in cases for name in case.samples}
    return {name: colour for name, colour in COLOURS.items() if name in names}


def _ticks(most: float) -> list[float]:
    """Some round numbers from 0 to ``most``."""
    step = 10.0 ** math.floor(math.log10(most))
    step *= next(part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if most / (step * part) <= 6)
    return [step * number for number in range(int(most / step) + 1)]


# ---- bars


def bars(title: str, explanation: str, cases: Sequence[Case]) -> str:
    """For each case a bar for each contestant, all on one scale; a line over it is the spread."""
    canvas, left, right, thick = Canvas(title, explanation), 290.0, 110.0, 15.0
    canvas.legend(_colours(cases), left)
    most = max(max(case.median(name), case.spread(name)[1]) for case in cases for name in case.samples)
    scale, top = (WIDTH - left - right) / most, canvas.y - 8
    body, canvas.parts = canvas.parts, []
    for case in cases:
        canvas.text(left - 12, canvas.y + 12, case.title, "e b")
        for name in (name for name in COLOURS if name in case.samples):
            _bar(canvas, case, name, left, scale, thick)
            canvas.y += thick + 3
        canvas.y += 12
    front, canvas.parts = canvas.parts, body
    for tick in _ticks(most):
        x = left + tick * scale
        canvas.line([(x, top), (x, canvas.y - 6)], GRID)
        canvas.text(x, canvas.y + 8, f"{tick:g}" + (f" {cases[0].unit}" if not tick else ""), "s m")
    canvas.parts += front
    canvas.y += 10
    return canvas.drawn()


def _bar(canvas: Canvas, case: Case, name: str, left: float, scale: float, thick: float) -> None:
    median, (low, high) = case.median(name), case.spread(name)
    factor = "" if name == OURS or OURS not in case.samples else f" ({1 / case.ratio(name):.2g} x)"
    canvas.box(left, canvas.y, median * scale, thick, COLOURS[name], f"{name}: {figure(median)} {case.unit}")
    middle = canvas.y + thick / 2
    canvas.line([(left + low * scale, middle), (left + high * scale, middle)], INK, 1.5, 0.55)
    end = left + max(median, high) * scale
    canvas.text(end + 6, canvas.y + 12, figure(median) + factor, "s")


# ---- factors


def factors(title: str, explanation: str, cases: Sequence[Case]) -> str:
    """How many times as good ours is, on a logarithmic scale: a point for each peer, right of the line where it is."""
    canvas, left, right, row = Canvas(title, explanation), 370.0, 40.0, 24.0
    peers = {name: colour for name, colour in _colours(cases).items() if name != OURS}
    canvas.legend(peers, left)
    found = [(case, name, _factor(case, name)) for case in cases for name in case.samples if name in peers]
    least, most = min(0.5, *(each[2] for each in found)), max(2.0, *(each[2] for each in found))
    width, floor = WIDTH - left - right, math.log(least / 1.1)
    scale = width / (math.log(most * 1.15) - floor)
    bottom = canvas.y + row * len(cases)
    for tick in (tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if least <= tick <= most):
        x = left + (math.log(tick) - floor) * scale
        canvas.line([(x, canvas.y - 6), (x, bottom)], INK if tick == 1 else GRID, 1.5 if tick == 1 else 1)
        canvas.text(x, bottom + 16, "as good" if tick == 1 else f"{tick:g} x", "s m")
    for case in cases:
        middle = canvas.y + row / 2 - 3
        canvas.text(left - 14, middle + 4, case.title, "e")
        points = [(left + (math.log(factor) - floor) * scale, name) for each, name, factor in found if each is case]
        canvas.line([(min(points)[0], middle), (max(points)[0], middle)], GRID, 3)
        for x, name in points:
            canvas.dot(x, middle, peers[name])
        canvas.y += row
    canvas.y += 16
    return canvas.drawn()


def _factor(case: Case, name: str) -> float:
    return case.ratio(name) if case.more else 1 / case.ratio(name)


# ---- phases


def stack(title: str, explanation: str, table: Table, phases: Sequence[str]) -> str:
    """For each column of a table a bar made of its rows' medians, one after the other."""
    canvas, left, right, thick = Canvas(title, explanation), 200.0, 80.0, 30.0
    cases = [case for name in phases if (case := table.case(name)) is not None]
    totals = {name: sum(case.median(name) for case in cases if name in case.samples) for name in table.columns}
    scale = (WIDTH - left - right) / max(totals.values())
    for name in table.columns:
        canvas.text(left - 12, canvas.y + 20, name, "e b")
        x = left
        for colour, case in zip(SERIES, cases, strict=False):
            if name not in case.samples:
                continue
            width = case.median(name) * scale
            canvas.box(x, canvas.y, width, thick, colour, f"{case.title}: {figure(case.median(name))} {case.unit}")
            x += width
        canvas.text(x + 8, canvas.y + 20, f"{figure(totals[name])} ms", "s")
        canvas.y += thick + 12
    canvas.y += 10
    columns = [left + 350 + 110 * number for number in range(len(table.columns))]
    for x, name in zip(columns, table.columns, strict=True):
        canvas.text(x + 30, canvas.y, name.removeprefix("pyc run, "), "s e")
    canvas.y += 20
    for colour, case in zip(SERIES, cases, strict=False):
        canvas.box(left, canvas.y - 11, 12, 12, colour)
        canvas.text(left + 20, canvas.y, case.title)
        for x, name in zip(columns, table.columns, strict=True):
            if name in case.samples:
                canvas.text(x + 30, canvas.y, f"{case.median(name):.2f} ms", "s e")
        canvas.y += 20
    return canvas.drawn()


# ---- curves


def curves(title: str, explanation: str, tables: Sequence[Table]) -> str:
    """A panel for each table, its columns from left to right, a curve for each of its cases; each on its own scale."""
    canvas, gap, height = Canvas(title, explanation), 56.0, 150.0
    width = (WIDTH - 40 - gap) / 2
    for number in range(0, len(tables), 2):
        pair = zip((20, 20 + width + gap), tables[number : number + 2], strict=False)
        canvas.y = max(_panel(canvas, table, x, canvas.y, width, height) for x, table in pair)
    return canvas.drawn()


def _panel(canvas: Canvas, table: Table, x: float, y: float, width: float, height: float) -> float:
    """Draw one; returns where it ends."""
    canvas.text(x, y + 8, table.title, "b")
    top, left, right, unit = y + 26, x + 44, x + width - 10, table.cases[0].unit
    most = max(case.spread(name)[1] for case in table.cases for name in case.samples) * 1.05
    for tick in _ticks(most):
        level = top + height * (1 - tick / most)
        canvas.line([(left, level), (right, level)], GRID)
        canvas.text(left - 6, level + 4, f"{tick:g}" + (f" {unit}" if not tick else ""), "s e")
    places = [left + (right - left) * (number + 0.5) / len(table.columns) for number in range(len(table.columns))]
    for place, name in zip(places, table.columns, strict=True):
        canvas.text(place, top + height + 16, name, "s m")
    legend = top + height + 36
    for colour, case in zip(SERIES, table.cases, strict=False):
        points = []
        for place, name in zip(places, table.columns, strict=True):
            if name not in case.samples:
                continue
            low, high = (top + height * (1 - edge / most) for edge in case.spread(name))
            canvas.line([(place, low), (place, high)], colour, 6, 0.25)
            points.append((place, top + height * (1 - case.median(name) / most)))
        canvas.line(points, colour, 2)
        for point in points:
            canvas.dot(*point, colour)
        canvas.box(left, legend - 10, 11, 11, colour)
        canvas.text(left + 16, legend, case.title, "s")
        legend += 17
    return legend + 14
