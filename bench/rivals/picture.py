"""The ratios as an SVG picture: a row for each kind of work, a bar for each peer, a line where both are equal."""

from __future__ import annotations

import math
from html import escape

Figures = dict[str, dict[str, float]]

COLOURS = {
    "disk": "#8c8c8c", "rocksdb": "#c2571a", "rocksdict": "#c2571a", "lmdb": "#2f6f9f", "py-lmdb": "#2f6f9f",
    "sqlite": "#3f8f4f", "pynori.h": "#9a7fb5",
}  # fmt: skip
LABEL_WIDTH, PLOT_WIDTH, RATE_WIDTH = 130, 560, 90
BAR_HEIGHT, ROW_GAP, TITLE_HEIGHT = 10, 8, 34
RATIO_MIN, RATIO_MAX = 0.1, 30.0  # of the logarithmic axis; bars end there


def position(ratio: float) -> float:
    """Pixels from the left edge of the plot."""
    bounded = min(max(ratio, RATIO_MIN), RATIO_MAX)
    return PLOT_WIDTH * math.log(bounded / RATIO_MIN) / math.log(RATIO_MAX / RATIO_MIN)


def draw(tables: dict[str, Figures], like: dict[str, str]) -> str:
    """The whole picture: a block for each table. like: under which name a peer has a kind of ours."""
    parts: list[str] = []
    top = 10.0
    for title, figures in tables.items():
        top = draw_table(parts, top, title, figures, like) + 16
    width = LABEL_WIDTH + PLOT_WIDTH + RATE_WIDTH
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top:.0f}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return head + "".join(parts) + "</svg>\n"


def draw_table(parts: list[str], top: float, title: str, figures: Figures, like: dict[str, str]) -> float:
    """One block; returns where it ends."""
    peers = [name for name in figures if name != "pynori"]
    parts.append(f'<text x="8" y="{top + 14}" font-size="13" font-weight="bold">{escape(title)}: pynori by peer</text>')
    for number, name in enumerate(peers):
        x = LABEL_WIDTH + 150 + number * 90
        parts.append(f'<rect x="{x}" y="{top + 5}" width="10" height="10" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 14}" y="{top + 14}">{escape(name)}</text>')
    top += TITLE_HEIGHT
    start = top
    for kind, value in figures["pynori"].items():
        bars = []
        for name in peers:
            other = figures[name].get(kind, figures[name].get(like.get(kind, kind)))
            if other:
                bars.append((name, value / other))
        if not bars:
            continue
        parts.append(f'<text x="8" y="{top + BAR_HEIGHT * len(bars) / 2 + 4}">{escape(kind)}</text>')
        parts.append(
            f'<text x="{LABEL_WIDTH + PLOT_WIDTH + RATE_WIDTH - 6}" y="{top + BAR_HEIGHT * len(bars) / 2 + 4}" '
            f'text-anchor="end">{value:,.0f}/s</text>'
        )
        for name, ratio in bars:
            left, right = sorted((position(1.0), position(ratio)))
            parts.append(
                f'<rect x="{LABEL_WIDTH + left:.1f}" y="{top}" width="{max(right - left, 1):.1f}" '
                f'height="{BAR_HEIGHT - 2}" fill="{COLOURS[name]}"><title>{escape(name)} {ratio:.2f}</title></rect>'
            )
            end = LABEL_WIDTH + position(ratio)
            side, shift = ("start", 3) if ratio >= 1 else ("end", -3)
            parts.append(
                f'<text x="{end + shift:.1f}" y="{top + BAR_HEIGHT - 2}" font-size="9" text-anchor="{side}">'
                f"{ratio:.2f}</text>"
            )
            top += BAR_HEIGHT
        top += ROW_GAP
    equal = LABEL_WIDTH + position(1.0)
    parts.append(f'<line x1="{equal:.1f}" y1="{start - 4}" x2="{equal:.1f}" y2="{top}" stroke="#000000"/>')
    return top
