"""sk.py - scikit-learn behind prelabel: JSON lines in, JSON lines out."""
import base64
import json
import pickle
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

answers, sys.stdout = sys.stdout, sys.stderr


def fit(examples, **_):
    known = [e for e in examples if e["label"]]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10.0))
    model.fit([e["text"] for e in known], [e["label"] for e in known])
    return {"model": base64.b64encode(pickle.dumps(model)).decode()}


def predict(tasks, train_output, parsed_label_config, **_):
    control = next(iter(parsed_label_config.values()))
    if not train_output:
        return {"predictions": [{"result": [{"value": {"choices": control["labels"][:1]}}], "score": 0.0} for _ in tasks]}
    model = pickle.loads(base64.b64decode(train_output["model"]))
    proba = model.predict_proba([t["data"].get(control["inputs"][0]["value"]) or "" for t in tasks])
    return {"predictions": [{"result": [{"value": {"choices": [model.classes_[p.argmax()]]}}], "score": p.max()} for p in proba]}


for line in sys.stdin:
    (what, question), = json.loads(line).items()
    print(json.dumps({"fit": fit, "predict": predict}[what](**question)), file=answers, flush=True)
