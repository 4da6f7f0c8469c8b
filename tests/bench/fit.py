"""fit.py - text in, model out: beside scikit-learn and liblinear, on the same texts with the same parameters."""
import itertools
import os
import random
import shutil
import subprocess
import sys
import time

from common import *

DATA = os.environ.get("BENCH_DATA", "../shared/data")
CACHE = os.environ.get("BENCH_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "prelabel-bench")
SKLEARN = ("scikit-learn==1.9.1", "numpy==2.2.6", "scipy==1.17.1")
LIMIT = 60 * RUNS       # seconds that one program may take on one data set; what it was at then is left
ONE_THREAD = {f"{x}_NUM_THREADS": "1" for x in ("OMP", "OPENBLAS", "MKL")}
SETS = (("sms", 4459, 2), ("sentiment8", 10000, 3), ("banking77", 10003, 77))
ZIPF = list(itertools.accumulate(1 / (i + 8) for i in range(6000)))


def made_up(rng, n, classes):
    """Texts of a vocabulary of 6,000 words, every fourth of the class's own."""
    words = ["".join(rng.choice(SYLLABLES) for _ in range(1 + i % 4)) + str(i % 7) for i in range(6000)]
    for i in range(n):
        label = i % classes
        text = rng.choices(words, cum_weights=ZIPF, k=6 + rng.randrange(14))
        for k in range(0, len(text), 4):
            text[k] = f"c{label if rng.random() < 0.8 else rng.randrange(classes)}w{int(rng.random() ** 2 * 40)}"
        yield " ".join(text), f"class {label}"


def data_sets(work):
    """(name, classes, train file, test file), where the rows are a stride of at most as many as the goals name."""
    for name, n, classes in SETS:
        files = []
        for part, most in (("train", n), ("test", 2000)):
            path = os.path.join(DATA, name, part + ".jsonl")
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as f:
                    got = [(r["text"], r["label"]) for r in map(json.loads, f)]
                got = [got[i * len(got) // min(most, len(got))] for i in range(min(most, len(got)))]
            else:
                got = list(made_up(random.Random(name + part), most, classes))
                part = "made-up-" + part
            files.append(os.path.join(work, f"{name}-{part}.jsonl"))
            with open(files[-1], "w", encoding="utf-8") as f:
                f.writelines(json.dumps({"text": t, "label": y}, ensure_ascii=False) + "\n" for t, y in got)
        yield name + (", made up" if "made-up" in files[0] else ""), n, classes, *files


def sklearn_python():
    venv = os.path.join(CACHE, "venv-" + SKLEARN[0].split("==")[1])
    if not os.path.exists(os.path.join(venv, ".ready")):
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([os.path.join(venv, "bin", "pip"), "install", "-q", "--disable-pip-version-check", *SKLEARN], check=True)
        open(os.path.join(venv, ".ready"), "w").close()
    return os.path.join(venv, "bin", "python")


def limited(argv, left, **kw):
    """once(), or None where it takes longer than `left` seconds."""
    try:
        return once(["timeout", str(max(1, int(left))), *argv], **kw)
    except SystemExit as e:
        if str(e).endswith("exit 124"):
            return None
        raise


def in_turn(programs):
    """{name: [result of each run]}: A B C A B C …, each as often as it may within its time."""
    got, spent = {name: [] for name in programs}, dict.fromkeys(programs, 0.0)
    for k in range(RUNS):
        for name, run in programs.items():
            if spent[name] > LIMIT / 3 or (k > 0 and not got[name]):
                continue
            t = time.monotonic()
            r = run(LIMIT)
            spent[name] += time.monotonic() - t
            if r is not None:
                got[name].append(r)
    return got


def ours(threads, train):
    return lambda left: json.loads(once([MEASURE, "fit", str(threads), train])[0])


def sklearn(python, solver, train, test):
    def run(left):
        out = limited([python, os.path.join(HERE, "reference.py"), solver, train, test], left, env=dict(os.environ, **ONE_THREAD))
        return out and json.loads(out[0])
    return run


def liblinear(svm, model):
    """-s 0: L2-penalised logistic regression, the primal, one class against the rest; -B 1: an intercept, which it penalises too."""
    def run(left):
        out = limited(["liblinear-train", "-q", "-s", "0", "-c", "10", "-e", "1e-6", "-B", "1", svm, model], left)
        return out and {"wall_s": out[1], "cpu_s": out[2], "grad": None}
    return run


def middle(runs, key):
    return median(r[key] for r in runs)


def commands(work, name, train, test):
    """(accuracy, log loss) of the model that `prelabel train` publishes."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("LABEL_STUDIO_")}
    env["MODEL_DIR"] = os.path.join(work, "fit-" + name.replace(" ", "-"))
    once([PRELABEL, "import", "--project", "1", train], env=env)
    once([PRELABEL, "train", "--project", "1"], env=env, stderr=subprocess.DEVNULL)
    r = json.loads(once([PRELABEL, "evaluate", "--project", "1", "--json", test], env=env)[0])
    return r["accuracy"], r["log_loss"]


def fit(work):
    python, body, same = sklearn_python(), [], []
    for name, n, classes, train, test in data_sets(work):
        svm = os.path.join(work, "rows.svm")
        once([python, os.path.join(HERE, "reference.py"), "svm:" + svm, train, test])
        default, exact = "scikit-learn, default (lbfgs)", "scikit-learn, newton-cg to 1e-8"
        linear = "liblinear, one against the rest, rows ready" if classes > 2 else "liblinear, rows ready"
        got = in_turn({"**prelabel**": ours(1, train), default: sklearn(python, "lbfgs", train, test), linear: liblinear(svm, os.path.join(work, "svm.model")),
                       exact: sklearn(python, "newton-cg", train, test)})
        mine = got["**prelabel**"]
        accuracy, loss = commands(work, name, train, test)
        for program, runs in got.items():
            if not runs:
                body.append((name, f"{n:,} × {classes}", program, "0", f"> {LIMIT} s", "", "", "", "", "", "", ""))
                continue
            base = middle(mine, "cpu_s")
            theirs = [accuracy, loss] if runs is mine else [runs[0].get("accuracy"), runs[0].get("log_loss")]
            body.append((name, f"{n:,} × {classes}", program, str(len(runs)), middle(runs, "wall_s"), middle(runs, "cpu_s"), middle(runs, "cpu_s") / base,
                         "" if runs[0]["grad"] is None else f"{middle(runs, 'grad'):.1e}", middle(runs, "peak_mb") if "peak_mb" in runs[0] else "",
                         f"{runs[0]['before_mb']:.0f}" if "before_mb" in runs[0] else "", *("" if x is None else f"{x:.4f}" for x in theirs)))
        size = f"{name} {n:,} × {classes}: fit, scikit-learn's default over ours"
        if got[default]:
            wall, cpu = (middle(got[default], k) / middle(mine, k) for k in ("wall_s", "cpu_s"))
            goal(size, f"{wall:.0f} × (CPU {cpu:.0f} ×)", "≥ 20 ×", min(wall, cpu) >= 20)
            share = middle(mine, "peak_mb") / middle(got[default], "peak_mb")
            goal(f"{name}: peak memory of that fit, ours over scikit-learn's", f"{share:.3f} ({middle(mine, 'peak_mb'):.0f} of {middle(got[default], 'peak_mb'):.0f} MB)", "≤ 0.1", share <= 0.1)
        else:
            goal(size, f"> {LIMIT / middle(mine, 'wall_s'):.0f} ×, not ended after {LIMIT} s", "≥ 20 ×", LIMIT / middle(mine, "wall_s") >= 20)
        sums = [ours(t, train)(0)["sha256"] for t in (1, 2, 4)]
        same.append(len(set(sums)) == 1 and mine[0]["sha256"] == sums[0])
    goal("bytes of the weights for TRAIN_THREADS 1, 2, 4", ", ".join("identical" if s else "**different**" for s in same), "identical", all(same))
    table("Text in, model out", ("data", "texts × classes", "program", "runs", "wall s", "CPU s", "CPU, ours = 1", "gradient where it ends", "peak MB", "of it before the fit", "accuracy", "log loss"), body,
          "One thread each, in turn; texts read before, tokens and TF-IDF inside, but for liblinear, whose time is reading the finished rows and fitting them; where "
          "there are more than two classes it fits another model (one against the rest), with a penalty on the intercept too. The gradient is that of lib/learn/logreg.h: "
          "scikit-learn's default stops before the optimum. Peak memory is the whole process's.")
