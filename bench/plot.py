"""One picture: each case's medians as bars, the whole spread as a line over it. SVG, written by hand."""

from __future__ import annotations

from html import escape

from bench.measure import OURS, Case

WIDTH, LEFT, RIGHT = 860, 250, 70
BAR, GAP, TOP = 15, 14, 44
COLOURS = {OURS: "#2f6fde", "podman": "#8a4fbf", "docker": "#2496a0", "bwrap": "#a0a0a0", "plain C": "#606060"}
STYLE = "text{font:12px sans-serif;fill:#222} .s{fill:#666} .t{font-weight:bold}"


def bars(title: str, cases: list[Case]) -> str:
    """The picture of ``cases`` in milliseconds, all on one scale."""
    most = max(case.spread(name)[1] for case in cases for name in case.samples)
    scale = (WIDTH - LEFT - RIGHT) / most
    body, y = [f'<text class="t" x="8" y="20">{escape(title)}</text>'], TOP
    for case in cases:
        body.append(f'<text class="t" x="8" y="{y + BAR - 3}">{escape(case.title)}</text>')
        for name in case.samples:
            body += _bar(case, name, y, scale)
            y += BAR
        y += GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
    background = f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", background, *body, "</svg>\n"])


def _bar(case: Case, name: str, y: int, scale: float) -> list[str]:
    median, (low, high) = case.median(name), case.spread(name)
    middle, colour = y + (BAR - 3) / 2, COLOURS.get(name, "#999")
    right = LEFT + max(median, high) * scale
    return [
        f'<text class="s" x="{LEFT - 6}" y="{y + BAR - 4}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{max(1.0, median * scale):.1f}" height="{BAR - 3}" fill="{colour}"/>',
        f'<path d="M{LEFT + low * scale:.1f} {middle}H{LEFT + high * scale:.1f}" stroke="#000" stroke-opacity=".45"/>',
        f'<text class="s" x="{right + 5:.1f}" y="{y + BAR - 4}">{median:.3g} {escape(case.unit)}</text>',
    ]
