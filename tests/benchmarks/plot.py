"""Lines over sizes as SVG, both axes logarithmic; written by hand, so that drawing needs nothing."""

import math
from html import escape

WIDTH, HEIGHT, GAP = 360, 300, 70
TOP, LEFT, BELOW = 40, 60, 50
COLORS = ("#d62728", "#ff7f0e", "#7f7f7f", "#1f77b4", "#17becf", "#2ca02c", "#8c564b", "#9467bd", "#e377c2", "#bcbd22")


def draw(panels, across="checkpoint, GB"):
    """One SVG with panels side by side and a legend below.

    Args:
      panels: for each panel its title and its lines; a line is a name with its points (x, y), both above zero.
      across: the title of the horizontal axes.
    """
    names = list(dict.fromkeys(name for _, lines in panels for name in lines))
    colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(names)}
    drawn = [_panel(LEFT + index * (WIDTH + GAP), *panel, across, colors) for index, panel in enumerate(panels)]
    legend_top = TOP + HEIGHT + BELOW
    width, height = LEFT + len(panels) * (WIDTH + GAP), legend_top + 20 * len(names) + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    background = f'<rect width="{width}" height="{height}" fill="white"/>'
    legend = [_entry(LEFT, legend_top + 20 * index, name, colors[name]) for index, name in enumerate(names)]
    return "\n".join([head, background, *drawn, *legend, "</svg>"]) + "\n"


def _panel(left, title, lines, below, colors):
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    to_x = _scale([x for x, _ in points], left, left + WIDTH)
    to_y = _scale([y for _, y in points], TOP + HEIGHT, TOP)
    frame = f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>'
    heading = _text(left + WIDTH / 2, TOP - 12, title, 14)
    named = _text(left + WIDTH / 2, TOP + HEIGHT + 36, below, 12)
    xs = [_text(to_x(x), TOP + HEIGHT + 16, f"{x:,g}", 11) for x in sorted({x for x, _ in points})]
    drawn = [_line([(to_x(x), to_y(y)) for x, y in line], colors[name]) for name, line in lines.items()]
    return "\n".join([frame, heading, named, *xs, *_grid(left, points, to_y), *drawn])


def _scale(values, start, end):
    """A logarithmic scale with some room at both ends."""
    low, high = math.log10(min(values)) - 0.1, math.log10(max(values)) + 0.1
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


def _grid(left, points, to_y):
    """Lines across at 1, 2 and 5 of every power of ten."""
    low, high = min(y for _, y in points), max(y for _, y in points)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for value in (digit * 10.0**power for power in powers for digit in (1, 2, 5)):
        if low / 1.2 <= value <= high * 1.2:
            yield f'<line x1="{left}" x2="{left + WIDTH}" y1="{to_y(value):.1f}" y2="{to_y(value):.1f}" stroke="#ddd"/>'
            yield _text(left - 6, to_y(value) + 4, f"{value:g}", 11, "end")


def _line(points, color):
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{color}" stroke-width="2"/>{dots}'


def _entry(left, top, name, color):
    line = f'<line x1="{left}" x2="{left + 24}" y1="{top}" y2="{top}" stroke="{color}" stroke-width="3"/>'
    return line + _text(left + 32, top + 4, name, 12, "start")


def _text(x, y, words, size, anchor="middle"):
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words.replace('`', ''))}</text>"
