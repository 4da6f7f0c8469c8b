"""
world.py - a project in Label Studio, as far as protocol.md tells: what each action changes, and what is sent for it.

Nothing here is taken from prelabel.  An action changes the state and returns the webhooks
that Label Studio sends for it (protocol.md 6.2), most often one, and none for what 6.4 lists.
Every change of a row moves its updated_at; ids are never used twice but by `undo`, which
stands for a database that was restored.
"""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import NER, Project, review  # noqa: E402

LABELS = ("positive", "negative", "neutral", "spam")


class World(Project):
    def __init__(self, seed, pid=1):
        super().__init__(pid, LABELS)
        self.rng = random.Random(seed)
        self.at = {}            # task id: updated_at
        self.gone = []          # annotations that were deleted, for `undo`
        self.aid = 0
        self.log = []           # (action, webhooks) of each

    # ---- the parts -------------------------------------------------------------
    def task_json(self, tid, data):
        return dict(super().task_json(tid, data), updated_at=self.at.get(tid, self.born))

    def touch(self, *tids):
        for t in tids:
            self.at[t] = self.now()

    def new_task(self, text=None):
        label = self.rng.choice(LABELS)
        # The last word has one letter: TOKEN_PATTERN decides whether it is one.
        tid = self.task({"text": text if text is not None else review(label, self.rng.randrange(400)) + " " + label[0], "n": self.rng.randrange(9)})
        self.touch(tid)
        return tid

    def result(self, label):
        """Regions as the editor, the API and older imports make them."""
        region = self.region(label)
        kind = self.rng.randrange(6)
        if kind == 0:
            region = dict(region, id=f"r{self.rng.randrange(10**6)}", origin="manual")
        if kind == 1:           # another control's before ours
            return [{"from_name": "stars", "to_name": self.to, "type": "rating", "value": {"rating": 4}}, region]
        return [region]

    def new_annotation(self, tid, label=None, **kw):
        self.aid += 1
        label = label or (self.rng.choice(LABELS) if self.rng.random() < 0.2 else self.like(tid))
        a = self.annotation(self.aid, tid, label, by=self.rng.randint(1, 3), **kw)
        a["result"] = kw.get("result", self.result(label))
        self.touch(tid)
        return a

    def like(self, tid):
        """The label whose words the text has, so that there is something to learn."""
        from harness import WORDS
        text = self.tasks[tid].get("text") or ""
        return max(LABELS, key=lambda v: sum(w in text.split() for w in WORDS[v]))

    def change(self, a, **kw):
        a = dict(a, **kw, updated_at=self.now())
        self.annotations[a["id"]] = a
        self.touch(a["task"])
        return self.updated(a)

    def drop(self, ids):
        for i in ids:
            a = self.annotations.pop(i)
            self.gone.append(a)
            self.touch(a["task"])

    def any(self):
        return self.rng.choice(sorted(self.annotations)) if self.annotations else None

    def event_task(self, tid):
        return dict(super().event_task(tid), updated_at=self.at.get(tid, self.born))

    # ---- what people do: each returns the webhooks sent -------------------------------
    def create(self):
        tid = self.rng.choice(sorted(self.tasks)) if self.tasks and self.rng.random() < 0.25 else self.new_task()
        return [self.created(self.new_annotation(tid))]

    def create_empty(self):
        return [self.created(self.new_annotation(self.new_task(), result=[]))]

    def create_skipped(self):
        return [self.created(self.new_annotation(self.new_task(), was_cancelled=True, **({"result": []} if self.rng.random() < 0.5 else {})))]

    def take_over(self):
        """Predictions taken over as annotations: parallel lists."""
        return [self.created_many([self.new_annotation(self.new_task()) for _ in range(self.rng.randint(2, 5))])]

    def update(self):
        a = self.annotations[self.any()]
        return [self.change(a, result=self.result(self.rng.choice(LABELS)), updated_by=self.rng.randint(1, 3))]

    def save_again(self):
        """Submitted once more as it is: updated_at alone moves."""
        return [self.change(self.annotations[self.any()])]

    def skip(self):
        return [self.change(self.annotations[self.any()], was_cancelled=True)]

    def unskip(self):
        ids = [i for i, a in self.annotations.items() if a["was_cancelled"]]
        return [self.change(self.annotations[self.rng.choice(sorted(ids))], was_cancelled=False)] if ids else []

    def ground_truth(self):
        a = self.annotations[self.any()]
        return [self.change(a, ground_truth=not a["ground_truth"])]

    def delete(self):
        i = self.any()
        self.drop([i])
        return [self.event("ANNOTATIONS_DELETED", annotations=[{"id": i}])]

    def delete_bulk(self):
        tids = set(self.rng.sample(sorted(self.tasks), min(4, len(self.tasks))))
        ids = [i for i, a in self.annotations.items() if a["task"] in tids]
        self.drop(ids)
        return [self.event("ANNOTATIONS_DELETED", annotations=[{"id": i} for i in ids])] if ids else []

    def delete_tasks(self):
        tids = self.rng.sample(sorted(self.tasks), min(self.rng.randint(1, 3), len(self.tasks)))
        self.annotations = {i: a for i, a in self.annotations.items() if a["task"] not in tids}
        for t in tids:
            del self.tasks[t]
        self.gone = [a for a in self.gone if a["task"] in self.tasks]
        return [self.event("TASKS_DELETED", tasks=[{"id": t} for t in tids])]

    def delete_all_tasks(self):                 # 6.4: nothing is sent
        self.tasks, self.annotations, self.gone = {}, {}, []
        return []

    def to_draft(self):                         # 6.4: nothing is sent
        self.drop([self.any()])
        self.gone.pop()
        return []

    def import_annotated(self):                 # 6.2: the tasks alone; 6.4: the annotations in them
        tids = [self.new_task() for _ in range(self.rng.randint(1, 5))]
        for t in tids:
            self.new_annotation(t, completed_by=None if self.rng.random() < 0.2 else 1)
        return [self.tasks_created(tids)]

    def edit_task(self):                        # no action is in 6.2 for it
        t = self.rng.choice(sorted(self.tasks))
        text = self.rng.choice(["", "caf\u00e9 \u0130stanbul \U0001f600", review(self.rng.choice(LABELS), self.rng.randrange(400))])
        self.tasks[t] = {"text": text, "n": 1}
        self.touch(t)
        return []

    def rename(self):
        return [dict(self.event("PROJECT_UPDATED"))]

    def label_set(self):
        """A label is removed though annotations carry it, or comes back; now and then another order."""
        labels = list(LABELS)
        if self.rng.random() < 0.6:
            labels.remove(self.rng.choice(LABELS))
        if self.rng.random() < 0.3:
            self.rng.shuffle(labels)
        self.labels = labels
        return [self.event("PROJECT_UPDATED")]

    def other_config(self):
        """Choices are gone from the config for a while."""
        self.own_config = None if self.own_config else NER
        return [self.event("PROJECT_UPDATED")]

    def recreate(self):
        """Deleted and made anew: another id."""
        a = self.annotations[self.any()]
        self.drop([a["id"]])
        b = self.new_annotation(a["task"])
        b["result"] = a["result"]
        return [self.event("ANNOTATIONS_DELETED", annotations=[{"id": a["id"]}]), self.created(b)]

    def undo(self):
        """One that was deleted is back under its id."""
        if not self.gone:
            return []
        a = dict(self.gone.pop(self.rng.randrange(len(self.gone))), updated_at=self.now())
        self.annotations[a["id"]] = a
        self.touch(a["task"])
        return [self.created(a)]

    def start_training(self):
        return [self.event("START_TRAINING")]

    WEIGHTS = {"create": 34, "create_empty": 2, "create_skipped": 3, "take_over": 3, "update": 12, "save_again": 2, "skip": 3, "unskip": 3,
               "ground_truth": 4, "delete": 6, "delete_bulk": 2, "delete_tasks": 2, "delete_all_tasks": 0.3, "to_draft": 4,
               "import_annotated": 4, "edit_task": 4, "rename": 1, "label_set": 2, "other_config": 0.6, "recreate": 3, "undo": 3,
               "start_training": 2}
    NEED_ANNOTATIONS = {"update", "save_again", "skip", "unskip", "ground_truth", "delete", "to_draft", "recreate"}
    NEED_TASKS = {"delete_bulk", "delete_tasks", "edit_task"}

    def step(self, name=None):
        """One action: (its name, the webhooks).  Chosen by weight where none is named."""
        while name is None or (name in self.NEED_ANNOTATIONS and not self.annotations) or (name in self.NEED_TASKS and not self.tasks):
            name = self.rng.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
        sent = getattr(self, name)()
        self.log.append((name, [e["action"] for e in sent]))
        return name, sent

    def rows(self):
        """What a store in line with it holds: {annotation id: (task, result, skipped, ground truth, user, updated_at)}."""
        return {i: (a["task"], a["result"], a["was_cancelled"], a["ground_truth"], a["completed_by"], a["updated_at"])
                for i, a in self.annotations.items()}

    def texts(self):
        """{task id: data} of the tasks that have an annotation."""
        return {t: self.tasks[t] for t in {a["task"] for a in self.annotations.values()}}
