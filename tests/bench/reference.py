"""reference.py SOLVER TRAIN TEST - scikit-learn on one data set, as JSON: what `tests/bench/run compare` prints beside prelabel.

SOLVER: newton-cg (to the optimum), lbfgs (the library's default), liblinear (one against the rest).
"""
import json
import math
import sys
import time

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier


def rows(name):
    with open(name, encoding="utf-8") as f:
        got = [json.loads(line) for line in f]
    return [r["text"] for r in got], [r["label"] for r in got]


solver, train, test = sys.argv[1:]
texts, labels = rows(train)
model = {"newton-cg": LogisticRegression(C=10, solver="newton-cg", tol=1e-10, max_iter=10000),
         "lbfgs": LogisticRegression(C=10),
         "liblinear": OneVsRestClassifier(LogisticRegression(C=10, solver="liblinear"))}[solver]
t = time.monotonic()
vectorizer = TfidfVectorizer(ngram_range=(1, 3))
model.fit(vectorizer.fit_transform(texts), labels)
fit_s = time.monotonic() - t

texts, labels = rows(test)
t = time.monotonic()
p = model.predict_proba(vectorizer.transform(texts))
predict_s = time.monotonic() - t
at = {c: k for k, c in enumerate(model.classes_)}
known = [(row, at[y]) for row, y in zip(p, labels) if y in at]
print(json.dumps({
    "accuracy": sum(model.classes_[row.argmax()] == y for row, y in zip(p, labels)) / len(labels),
    "log_loss": sum(-math.log(max(row[k], 1e-300)) for row, k in known) / len(known),
    "fit_s": fit_s, "predict_s": predict_s}))
