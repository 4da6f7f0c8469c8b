"""reference.py SOLVER TRAIN TEST - scikit-learn on one data set, as JSON: what `tests/bench/run fit` prints beside prelabel.

SOLVER: lbfgs (the library's default), newton-cg (to 1e-8), or svm:FILE, which fits nothing: the TF-IDF rows of TRAIN go
to FILE in the form that liblinear's train reads.  One thread.  Memory: peak_mb of the process at the end of the fit,
before_mb at its begin, with the library and the texts read.
"""
import json
import math
import sys
import time

import numpy
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

C = 10


def rows(name):
    with open(name, encoding="utf-8") as f:
        got = [json.loads(line) for line in f]
    return [r["text"] for r in got], [r["label"] for r in got]


def peak_mb():
    """Not ru_maxrss, which begins with that of the process that started this one."""
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) / 1024


def gradient(model, x, labels):
    """|grad F| of lib/learn/logreg.h where the solver stopped."""
    p = model.predict_proba(x)
    y = numpy.array(labels)[:, None] == model.classes_[None, :]
    error = p - y
    if len(model.classes_) == 2:
        error = error[:, 1:]
    return float(numpy.sqrt(((C * (x.T @ error) + model.coef_.T) ** 2).sum() + ((C * error.sum(axis=0)) ** 2).sum()))


solver, train, test = sys.argv[1:]
texts, labels = rows(train)
vectorizer = TfidfVectorizer(ngram_range=(1, 3))
if solver.startswith("svm:"):
    x = vectorizer.fit_transform(texts)
    x.sort_indices()
    number = {c: k + 1 for k, c in enumerate(sorted(set(labels)))}
    with open(solver[4:], "w", encoding="ascii") as f:
        for i, label in enumerate(labels):
            at = slice(x.indptr[i], x.indptr[i + 1])
            f.write(f"{number[label]} " + " ".join(f"{j + 1}:{v:.17g}" for j, v in zip(x.indices[at], x.data[at])) + "\n")
    sys.exit()
model = {"lbfgs": LogisticRegression(C=C), "newton-cg": LogisticRegression(C=C, solver="newton-cg", tol=1e-8, max_iter=10000)}[solver]
before_mb, wall, cpu = peak_mb(), time.monotonic(), time.process_time()
x = vectorizer.fit_transform(texts)
model.fit(x, labels)
wall, cpu, after_mb = time.monotonic() - wall, time.process_time() - cpu, peak_mb()
grad = gradient(model, x, labels)

texts, labels = rows(test)
p = model.predict_proba(vectorizer.transform(texts))
at = {c: k for k, c in enumerate(model.classes_)}
known = [(row, at[y]) for row, y in zip(p, labels) if y in at]
print(json.dumps({
    "wall_s": wall, "cpu_s": cpu, "grad": grad, "before_mb": before_mb, "peak_mb": after_mb,
    "accuracy": sum(model.classes_[row.argmax()] == y for row, y in zip(p, labels)) / len(labels),
    "log_loss": sum(-math.log(max(row[k], 1e-300)) for row, k in known) / len(known)}))
