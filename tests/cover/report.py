#!/usr/bin/env python3
"""report.py - what the runs so far reached of lib/, by gcov's counters in $BUILD (make cover).

    report.py                   figures of lib/ and of each file, and what is left of the parsers, auth, the store
                                and leases; exit status 1 below the goals, or where that is not in tests/cover/never
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
# Of these every branch is taken, or listed with the reason why none can take it.
EVERY = {
    "parsers": ["lib/base/json.c", "lib/base/json_digest.c", "lib/studio/label_config.c", "lib/studio/config_elements.c",
                "lib/studio/xml_libxml2.c", "lib/web/http.c"],
    "auth": ["lib/web/auth.c"],
    "store": ["lib/store/store_sqlite.c", "lib/store/blocks.c"],
    "leases": ["lib/train.c", "lib/trainer.c"],
}
NEVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "never")


def read():
    """{file: ({line: count}, {(line, how many): counts of its branches}, {line: function})}, summed over who includes
    it: a header, and the sources that a test takes in whole."""
    files = collections.defaultdict(lambda: (collections.Counter(), {}, {}))
    # Of the library all; of others what ran: they may be of an earlier source.
    notes = sorted(n for n in glob.glob(BUILD + "/**/*.gcno", recursive=True)
                   if n.startswith(BUILD + "/lib/") or os.path.exists(n[:-len("gcno")] + "gcda"))
    out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *notes], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True).stdout
    for document in out.splitlines():
        for f in json.loads(document)["files"]:
            if not f["file"].startswith("lib/"):
                continue
            lines, branches, functions = files[f["file"]]
            for at in f["lines"]:
                functions[at["line_number"]] = at.get("function_name", "")
                lines[at["line_number"]] += at["count"]
                counts = [b["count"] for b in at["branches"]]
                key = at["line_number"], len(counts)
                if counts:
                    branches[key] = [a + b for a, b in zip(branches.get(key, [0] * len(counts)), counts)]
    return files


def figures(lines, branches, _):
    every = [c for counts in branches.values() for c in counts]
    return sum(c > 0 for c in lines.values()), len(lines), sum(c > 0 for c in every), len(every)


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def show(name, lines, branches, _):
    missed = collections.Counter()
    for (line, _), counts in branches.items():
        missed[line] += sum(c == 0 for c in counts)
    with open(name, encoding="utf-8") as source:
        for n, text in enumerate(source, 1):
            if n in lines and lines[n] == 0:
                print(f"{name}:{n}: never     {text.rstrip()}")
            elif missed[n]:
                print(f"{name}:{n}: {missed[n]} not taken {text.rstrip()}")


def left(name, branches, functions):
    """{(file, function, text of the line): branches not taken}: what it is told by stays when lines move."""
    missed = collections.Counter()
    with open(name, encoding="utf-8") as source:
        text = source.read().splitlines()
    for (line, _), counts in branches.items():
        missed[name, functions[line], " ".join(text[line - 1].split())] += sum(c == 0 for c in counts)
    return +missed


def listed():
    """The same of tests/cover/never, with the reason: a line `# REASON`, then lines `N FILE FUNCTION: TEXT`."""
    entries, reason = {}, ""
    with open(NEVER, encoding="utf-8") as f:
        for line in f.read().splitlines():
            if line.startswith("# "):
                reason = line[2:]
            elif line:
                place, text = line.split(": ", 1)
                n, name, function = place.split()
                entries[name, function, text] = int(n), reason
    return entries


def check_every(files):
    """Prints what is left of EVERY; true: all of it is listed, and nothing else is."""
    entries, good = listed(), True
    for what, names in EVERY.items():
        for name in names:
            _, branches, functions = files.get(name, ({}, {}, {}))
            good &= bool(branches)
            missed = left(name, branches, functions)
            mine = {place: entry for place, entry in entries.items() if place[0] == name}
            n = sum(len(counts) for counts in branches.values())
            print(f"{what}: {name}: {n - sum(missed.values())} of {n} branches, {sum(n for n, _ in mine.values())} listed")
            for place in sorted(set(missed) | set(mine)):
                n, reason = mine.get(place, (0, ""))
                if missed[place] == n:
                    print(f"     {n} {place[1]}: {place[2]}  [{reason}]")
                else:
                    good = False
                    print(f"FAIL {missed[place]} not taken, {n} listed: {' '.join(place[:2])}: {place[2]}")
    for place in sorted(p for p in entries if p[0] not in sum(EVERY.values(), [])):
        good = False
        print(f"FAIL listed, and no part of this: {' '.join(place[:2])}")
    return good


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
    every = check_every(files)
    sys.exit(lines < GOAL_LINES or branches < GOAL_BRANCHES or not every)


if __name__ == "__main__":
    main()
