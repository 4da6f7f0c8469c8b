#!/usr/bin/env python3
"""
model.py - a model for Label Studio in Python: how often each word stands in the texts of
each label (naive Bayes).  Change predict() and fit(); the rest stays as it is.

Runs with Python 3.8 or newer; packages are listed in requirements.txt.

    prelabel start --with NAME=VALUE        os.environ["NAME"] is "VALUE" here

What is printed to standard error is found in the log.  Standard output belongs to the
answers: a print() to it would be taken for one, so it goes to standard error, too.
"""
import json
import math
import re
import sys


def words(text):
    return re.findall(r"\w+", text.lower())


def text_of(task, control):
    """The text that a control is over, "" where the task has none."""
    value = task["data"].get(control["inputs"][0]["value"]) if control["inputs"] else None
    return value if isinstance(value, str) else ""


def predict(tasks, parsed_label_config, train_output, context, **_):
    """
    One prediction for each task, in order: {"result": [REGION, ...], "score": 0 to 1}.

    tasks                Label Studio's: {"id": 7, "data": {"text": "..."}, ...}
    parsed_label_config  {"label": {"type": "Choices", "inputs": [...], "labels": [...], ...}}
    train_output         what fit() returned; None before the first training
    context              what is selected in the editor, or None
    also                 label_config (the XML), extra_params (entered for the backend)

    A region is {"value": {"choices": ["Yes"]}} or, for spans, {"value": {"labels": ["Name"],
    "start": 0, "end": 4}}, or "rating", "number", "text".  from_name, to_name and type may
    be given; else it belongs to the first control that it fits.
    """
    return [predict_one(task, parsed_label_config, train_output) for task in tasks]


def predict_one(task, config, trained):
    control = next((c for c in config.values() if c["type"] == "Choices"), None)
    if control is None:
        return {"result": [], "score": 0}
    labels = control["labels"]
    trained = trained or {"texts": {}, "counts": {}}
    known = [label for label in labels if label in trained["texts"]] or labels
    vocabulary = len({w for label in known for w in trained["counts"].get(label, {})}) + 1
    logs = []
    for label in known:
        counts = trained["counts"].get(label, {})
        n = sum(counts.values())
        log = math.log(trained["texts"].get(label, 0) + 1)
        for w in words(text_of(task, control)):
            log += math.log((counts.get(w, 0) + 1) / (n + vocabulary))
        logs.append(log)
    most = max(logs)
    shares = [math.exp(log - most) for log in logs]
    best = shares.index(max(shares))
    score = shares[best] / sum(shares)
    return {"result": [{"value": {"choices": [known[best]]}, "score": score}], "score": score}


def fit(examples, workdir, previous, **_):
    """
    Learns from all annotations of the project; what it returns, any dict that JSON can hold
    (up to 64 MB), is the train_output of predict() from then on.

    examples  [{"text": "...", "label": "Yes" or None, "data": {...}, "result": [REGION, ...],
               "task": 3, "annotation": 7}, ...]
    workdir   a folder for files that are too large for that
    previous  the train_output in force, or None
    also      event ("updates", "start", ...), label_config, parsed_label_config, extra_params
    """
    texts, counts = {}, {}
    for example in examples:
        label = example["label"]
        if label is None:
            continue
        texts[label] = texts.get(label, 0) + 1
        of = counts.setdefault(label, {})
        for w in words(example["text"]):
            of[w] = of.get(w, 0) + 1
    return {"texts": texts, "counts": counts}


# ---- questions in, answers out: a line of JSON each ------------------------------------

def answer(question):
    if "predict" in question:
        return {"predictions": predict(**question["predict"])}
    return fit(**question["fit"])


def main():
    questions, answers = sys.stdin.buffer, sys.stdout
    sys.stdout = sys.stderr
    for line in questions:
        try:
            text = json.dumps(answer(json.loads(line)), allow_nan=False)
        except Exception as e:      # costs this answer; the next may be right
            import traceback
            traceback.print_exc()
            text = json.dumps({"error": f"{type(e).__name__}: {e}"})
        print(text, file=answers, flush=True)


if __name__ == "__main__":
    main()
