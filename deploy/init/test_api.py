#!/usr/bin/env python3
"""test_api.py - what Label Studio does with this backend: health, setup, predict, and a training by events.

    python3 test_api.py                          starts the backend of this folder on a free port, with an empty store
    URL=http://localhost:9090 python3 test_api.py    one that runs already (it gets a project 987654321)

PRELABEL is the program that is started (prelabel).  Only Python's standard library is needed.
"""
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
LABELS = ["positive", "negative"]
CONFIG = ('<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">'
          + "".join(f'<Choice value="{label}"/>' for label in LABELS) + "</Choices></View>")
TEXTS = {"positive": "a great place with lovely food", "negative": "cold soup and a rude waiter"}
PROJECT = 987654321
CREATED = "2026-01-02T03:04:05.000000Z"
KEY = f"{PROJECT}.1767323045"
EVENTS = 24


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server, cls.url = None, os.environ.get("URL", "").rstrip("/")
        if cls.url:
            return
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        cls.url = f"http://127.0.0.1:{port}"
        cls.data = tempfile.TemporaryDirectory()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "BASIC_AUTH_", "WEBHOOK_"))}
        env.update(HOST="127.0.0.1", PORT=str(port), MODEL_DIR=cls.data.name, START_TRAINING_EACH_N_UPDATES=str(EVENTS))
        cls.server = subprocess.Popen([os.environ.get("PRELABEL", "prelabel"), "start", HERE], env=env)
        for _ in range(6000):
            try:
                urllib.request.urlopen(cls.url + "/health", timeout=5).close()
                return
            except OSError:
                if cls.server.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError("the backend does not answer")

    @classmethod
    def tearDownClass(cls):
        if cls.server:
            cls.server.send_signal(signal.SIGTERM)
            cls.server.wait()
            cls.data.cleanup()

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            self.fail(f"{path}: {refused.code} {refused.read().decode()}")

    def setup(self):
        return self.call("/setup", {"project": KEY, "schema": CONFIG, "hostname": "", "access_token": "", "extra_params": None})[1]["model_version"]

    def predict(self, texts):
        tasks = [{"id": i + 1, "data": {"text": text}} for i, text in enumerate(texts)]
        status, answer = self.call("/predict", {"project": KEY, "label_config": CONFIG, "tasks": tasks, "params": {"context": None}})
        self.assertEqual(status, 200)
        self.assertEqual(len(answer["results"]), len(texts))
        return answer["results"]

    def event(self, i, label):
        self.call("/webhook", {
            "action": "ANNOTATION_CREATED", "project": {"id": PROJECT, "created_at": CREATED, "label_config": CONFIG},
            "task": {"id": i, "data": {"text": f"{TEXTS[label]} {i}"}},
            "annotation": {"id": i, "task": i, "was_cancelled": False, "updated_at": f"2026-01-03T00:00:{i:02d}.000000Z", "result": [
                {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]}})

    def test_1_health(self):
        status, answer = self.call("/health")
        self.assertEqual((status, answer["status"]), (200, "UP"))

    def test_2_setup(self):
        self.assertTrue(self.setup())

    def test_3_predict(self):
        version = self.setup()
        for prediction in self.predict(["some text", "", "another one \U0001f600"]):
            self.assertEqual(prediction["model_version"], version)
            self.assertTrue(0 <= prediction["score"] <= 1)
            for region in prediction["result"]:
                self.assertEqual((region["from_name"], region["to_name"]), ("sentiment", "text"))
                self.assertIn(region["value"]["choices"][0], LABELS)

    def test_4_training(self):
        before = self.setup()
        for i in range(EVENTS):
            self.event(i + 1, LABELS[i % 2])
        for _ in range(600):
            if self.setup() != before:
                break
            time.sleep(0.1)
        self.assertNotEqual(self.setup(), before, "no new version came of the events")
        got = self.predict([TEXTS[label] for label in LABELS])
        self.assertEqual([p["result"][0]["value"]["choices"] for p in got], [[label] for label in LABELS])


if __name__ == "__main__":
    unittest.main()
