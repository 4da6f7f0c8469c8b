#!/usr/bin/env python3
"""report.py - what the runs so far reached of lib/, by gcov's counters in $BUILD (make cover).

    report.py                   figures of lib/ and of each file; exit status 1 below the goals
    report.py lib/base/json.c   its lines and branches that nothing reached

A line counts that has code, a branch as gcc's -O0 makes it: `a && b` has four.
"""
import collections
import glob
import json
import os
import subprocess
import sys

BUILD = os.environ.get("BUILD", "build/cover")
GOAL_LINES = float(os.environ.get("COVER_LINES", "95"))
GOAL_BRANCHES = float(os.environ.get("COVER_BRANCHES", "85"))


def read():
    """{file: ({line: count}, {(line, how many): counts of its branches})}, summed over who includes it: a header, and
    the sources that a test takes in whole."""
    files = collections.defaultdict(lambda: (collections.Counter(), {}))
    notes = sorted(glob.glob(BUILD + "/**/*.gcno", recursive=True))
    out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *notes], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True).stdout
    for document in out.splitlines():
        for f in json.loads(document)["files"]:
            if not f["file"].startswith("lib/"):
                continue
            lines, branches = files[f["file"]]
            for at in f["lines"]:
                lines[at["line_number"]] += at["count"]
                counts = [b["count"] for b in at["branches"]]
                key = at["line_number"], len(counts)
                if counts:
                    branches[key] = [a + b for a, b in zip(branches.get(key, [0] * len(counts)), counts)]
    return files


def figures(lines, branches):
    every = [c for counts in branches.values() for c in counts]
    return sum(c > 0 for c in lines.values()), len(lines), sum(c > 0 for c in every), len(every)


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def show(name, lines, branches):
    missed = collections.Counter()
    for (line, _), counts in branches.items():
        missed[line] += sum(c == 0 for c in counts)
    with open(name, encoding="utf-8") as source:
        for n, text in enumerate(source, 1):
            if n in lines and lines[n] == 0:
                print(f"{name}:{n}: never     {text.rstrip()}")
            elif missed[n]:
                print(f"{name}:{n}: {missed[n]} not taken {text.rstrip()}")


def main():
    files = read()
    if not files:
        sys.exit(f"report.py: no counters below {BUILD}")
    if len(sys.argv) > 1:
        for name in sys.argv[1:]:
            show(name, *files[name])
        return
    rows = {name: figures(*f) for name, f in files.items()}
    total = [sum(row[i] for row in rows.values()) for i in range(4)]
    print("   lines            branches         file")
    for name, (a, b, c, d) in sorted(rows.items(), key=lambda r: percent(*r[1][2:])):
        print(f"  {percent(a, b):5.1f} % of {b:4d}  {percent(c, d):5.1f} % of {d:4d}  {name}")
    lines, branches = percent(*total[:2]), percent(*total[2:])
    print(f"lib: {total[0]} of {total[1]} lines, {lines:.1f} % (goal {GOAL_LINES:g}); "
          f"{total[2]} of {total[3]} branches, {branches:.1f} % (goal {GOAL_BRANCHES:g})")
    sys.exit(lines < GOAL_LINES or branches < GOAL_BRANCHES)


if __name__ == "__main__":
    main()
