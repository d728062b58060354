"""Draws docs/policy.svg from the table that make bench prints.

    python tools/policy_plot.py < table > docs/policy.svg
"""
import re
import sys

WIDTH, LEFT, ROW, TOP, SCALE = 860, 330, 22, 34, 2.0  # SCALE: the ratio at the right edge
HOURS = ("creation 0m", "creation 10m", "creation 60m", "creation 240m", "clock 0m", "clock 10m", "clock 60m", "clock 240m")


def rows(text):
    for line in text.splitlines():
        m = re.match(r"(\S.*?)\s+([\d.]+)\s+([\d.]+)$", line)
        if m:
            yield m[1], float(m[2]), float(m[3])


def bars(title, chosen, y, out):
    out.append(f'<text x="8" y="{y}" class="h">{title}</text>')
    for name, median, p90 in chosen:
        y += ROW
        at = lambda v: LEFT + (WIDTH - LEFT - 70) * (min(v, SCALE) - 0.6) / (SCALE - 0.6)
        ours = "," not in name or name.endswith("an hour")
        out.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{name}</text>')
        out.append(f'<line x1="{at(0.6):.1f}" x2="{at(median):.1f}" y1="{y}" y2="{y}" stroke="{"#1f6f54" if ours else "#b8b8b8"}" stroke-width="11"/>')
        out.append(f'<line x1="{at(median):.1f}" x2="{at(p90):.1f}" y1="{y}" y2="{y}" stroke="#555" stroke-width="2"/>')
        out.append(f'<text x="{at(max(median, p90)) + 6:.1f}" y="{y + 4}">{median:.3f}{" →" if max(median, p90) > SCALE else ""}</text>')
    return y + 2 * ROW


def main():
    table = list(rows(sys.stdin.read()))
    hours = [r for r in table if r[0] in HOURS or r[0] in ("creation 0m, time-out of 15 minutes", "creation 0m, pair of Lambdas by age", "clock 0m, time-out of 15 minutes", "clock 0m, pair of Lambdas by age")]
    money = [r for r in table if "USD an hour" in r[0] and "budget" not in r[0]]
    out = []
    y = bars("paid hours over the clairvoyant's: median, line to the 90th percentile", hours, TOP, out)
    y = bars("money over the best fixed time-out's: geometric mean, line to the 90th percentile", money, y, out)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">')
    one = LEFT + (WIDTH - LEFT - 70) * 0.4 / (SCALE - 0.6)
    print(f'<style>.h{{font-weight:bold}}</style><rect width="100%" height="100%" fill="white"/><line x1="{one:.1f}" x2="{one:.1f}" y1="{TOP}" y2="{y - ROW}" stroke="#c33" stroke-dasharray="3 3"/>')
    print("\n".join(out) + "</svg>")


if __name__ == "__main__":
    main()
