"""chart.py - horizontal bars as SVG, for what the bench scripts measured.

write(path, title, note, groups): groups are (heading, bars), bars are (label, value, text, ours); all bars have one scale,
which begins at 0. What is ours is drawn in another colour. The note says unit, machine and versions: a chart is quoted
without its page. No library: the file must be the same wherever it is drawn.
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
    width, height = LEFT + WIDTH + RIGHT, y + 24
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
                f'font-family="sans-serif" font-size="13" fill="#1a202c">\n'
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
                f'<text x="16" y="28" font-size="16" font-weight="bold">{escape(title)}</text>\n'
                + "\n".join(parts) +
                f'\n<text x="16" y="{height - 10}" font-size="11" fill="#4a5568">{escape(note)}</text>\n</svg>\n')


def machine():
    """What /proc/cpuinfo calls the CPU, and the widest vectors that xfc uses on it."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        lines = dict(line.split(":", 1) for line in f if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = fields.get("flags", "").split()
    return f"{fields.get('model name', 'unknown CPU')} with {'AVX-512' if 'avx512bw' in flags else 'AVX2'}"
