#!/usr/bin/env python3
"""
faulty.py - a model that misbehaves on command.

A task whose text begins with "fault:NAME" makes it do what the tables say; all other
texts get a label and a score that are functions of the text, so that whoever asked can
tell that the answer is to this question.
"""
import json
import os
import signal
import sys
import time
import zlib

OUT = sys.stdout


def right(text, labels):
    n = zlib.crc32(text.encode())
    return {"result": [{"value": {"choices": [labels[n % len(labels)]]}}], "score": n / 2**32}


def say(line):
    OUT.write(line)
    OUT.flush()


def huge():
    for _ in range(80):
        say("x" * (1 << 20))
    time.sleep(100)


def closed():
    os.close(1)
    time.sleep(100)


def unasked(good):
    say(json.dumps({"predictions": [good]}) + "\n")
    time.sleep(0.002)
    say("loading done\n")


def one(good, **kw):
    say(json.dumps({"predictions": [dict(good, **kw)]}) + "\n")


def region(good, **kw):
    one(good, result=[dict({"value": {"choices": ["positive"]}}, **kw)])


# name: what is done with a right prediction at hand
FAULTS = {
    "exit": lambda g: os._exit(3),
    "exit0": lambda g: os._exit(0),
    "killed": lambda g: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda g: time.sleep(100),
    "spin": lambda g: [None for _ in iter(int, 1)],
    "deaf": lambda g: (signal.signal(signal.SIGTERM, signal.SIG_IGN), signal.signal(signal.SIGINT, signal.SIG_IGN), time.sleep(100)),
    "garbage": lambda g: say("Loading weights: 100%\n"),
    "empty": lambda g: say("\n"),
    "bytes": lambda g: (OUT.buffer.write(b"\xff\xfe\0\x80\n"), OUT.flush()),
    "nul": lambda g: say('{"predictions": []}\0\n'),
    "deep": lambda g: say("[" * 5000 + "]" * 5000 + "\n"),
    "huge": lambda g: huge(),
    "partial": lambda g: (say('{"predictions": [{"resu'), os._exit(0)),
    "unended": lambda g: (say(json.dumps({"predictions": [g]})), time.sleep(100)),
    "twice": lambda g: say((json.dumps({"predictions": [g]}) + "\n") * 2),
    "closed": lambda g: closed(),
    "children": lambda g: (os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "100"), os._exit(1)),
    "none": lambda g: say('{"predictions": []}\n'),
    "more": lambda g: say(json.dumps({"predictions": [g, g]}) + "\n"),
    "scalar": lambda g: say("17\n"),
    "label": lambda g: region(g, value={"choices": ["no such label"]}),
    "control": lambda g: region(g, from_name="nowhere"),
    "object": lambda g: region(g, result=[], value={"labels": ["positive"], "start": 0, "end": 1}),
    "nan": lambda g: one(g, score=float("nan")),
    "infinite": lambda g: say('{"predictions": [{"result": [], "score": 1e999}]}\n'),
    "score": lambda g: one(g, score="high"),
    "result": lambda g: one(g, result={}),
    "error": lambda g: say('{"error": "the weights are\\nnot there\\u0007"}\n'),
    "flood": lambda g: (sys.stderr.write("line \x1b[31m\n" * 20000), os._exit(1)),
}
# Those that may cost this answer, and do cost the next one.
LATE = {"unasked": unasked}
# Those that cost nothing.
HARMLESS = {
    "slow": lambda g: (time.sleep(0.1), one(g)),
    "talks": lambda g: (sys.stderr.write("note\n" * 2000), one(g)),
    "bare": lambda g: say(json.dumps([g]) + "\n"),
    "spaces": lambda g: say("  " + json.dumps({"predictions": [g]}) + "  \r\n"),
    "slowly": lambda g: [(say(c), time.sleep(0.001)) for c in json.dumps({"predictions": [g]}) + "\n"],
}


def main():
    for line in sys.stdin:
        question = json.loads(line)
        if "fit" in question:
            say('{"seen": %d}\n' % len(question["fit"]["examples"]))
            continue
        question = question["predict"]
        labels = question["parsed_label_config"]["label"]["labels"]
        texts = [t["data"].get("text", "") for t in question["tasks"]]
        name = texts[0].split()[0][6:] if texts and texts[0].startswith("fault:") else None
        if name:
            {**FAULTS, **LATE, **HARMLESS}[name](right(texts[0], labels))
        else:
            say(json.dumps({"predictions": [right(t, labels) for t in texts]}) + "\n")


if __name__ == "__main__":
    main()
