"""chart.py - horizontal bars and lines as SVG, for what the bench scripts measured.

write(path, title, note, groups): groups are (heading, bars), bars are (label, value, text, ours); all bars have one scale,
which begins at 0. What is ours is drawn in another colour.
lines(path, title, note, x, y, curves): x and y are (label, ticks), which span the picture; curves are (label, points).
The note says unit, machine and versions: a chart is quoted without its page. No library: the file must be the same
wherever it is drawn.
"""
from xml.sax.saxutils import escape

LEFT, WIDTH, RIGHT, BAR, GAP, HEAD = 190, 520, 130, 20, 6, 26


def write(path, title, note, groups):
    top = max(value for _, bars in groups for _, value, _, _ in bars) or 1
    parts, y = [], 54
    for heading, bars in groups:
        if heading:
            parts.append(f'<text x="16" y="{y + 14}" font-weight="bold">{escape(heading)}</text>')
            y += HEAD
        for label, value, text, ours in bars:
            width, colour = max(1, value / top * WIDTH), "#2b6cb0" if ours else "#a0aec0"
            parts.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 15}">{escape(text)}</text>')
            y += BAR + GAP
        y += GAP
    save(path, title, note, parts, LEFT + WIDTH + RIGHT, y + 24)


def save(path, title, note, parts, width, height):
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
                f'font-family="sans-serif" font-size="13" fill="#1a202c">\n'
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
                f'<text x="16" y="28" font-size="16" font-weight="bold">{escape(title)}</text>\n'
                + "\n".join(parts) +
                f'\n<text x="16" y="{height - 10}" font-size="11" fill="#4a5568">{escape(note)}</text>\n</svg>\n')


COLOURS = ("#2b6cb0", "#2f855a", "#c05621", "#718096", "#805ad5")  # told apart also in grey: each line has a dash of its own
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4")


def lines(path, title, note, x, y, curves):
    left, top, width, height = 60, 54, 560, 260

    def place(axis, ticks, value):
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return left + width * share if axis == "x" else top + height * (1 - share)

    parts = []
    for tick in x[1]:
        at = place("x", x[1], tick)
        parts.append(f'<text x="{at:.1f}" y="{top + height + 18}" text-anchor="middle">{tick:g}</text>')
    for tick in y[1]:
        at = place("y", y[1], tick)
        parts.append(f'<path d="M{left} {at:.1f}h{width}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle">{escape(x[0])}</text>')
    parts.append(f'<text x="{left}" y="{top - 8}" font-size="11" fill="#4a5568">{escape(y[0])}</text>')
    for i, (label, points) in enumerate(curves):
        colour, at = COLOURS[i % len(COLOURS)], top + height - 18 * (len(curves) - i)
        line = " ".join(f"{place('x', x[1], a):.1f},{place('y', y[1], b):.1f}" for a, b in points)
        style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{DASHES[i % len(DASHES)]}"'
        parts.append(f'<polyline points="{line}" fill="none" {style}/>')
        parts.append(f'<path d="M{left + 14} {at - 4}h28" {style}/>')
        parts.append(f'<text x="{left + 50}" y="{at}">{escape(label)}</text>')
    save(path, title, note, parts, left + width + 30, top + height + 72)


def machine():
    """What /proc/cpuinfo calls the CPU, and the widest vectors that xfc uses on it."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        lines = dict(line.split(":", 1) for line in f if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = fields.get("flags", "").split()
    return f"{fields.get('model name', 'unknown CPU')} with {'AVX-512' if 'avx512bw' in flags else 'AVX2'}"
