#!/usr/bin/env python3
"""corpus.py - the first inputs of each fuzz target, written into corpus/TARGET/.

    corpus.py            they come from tests/data, tests/http/protocol and the words below

What libFuzzer found to add to them is kept beside them, under the first digits of its SHA-1
(run.py keep).
"""
import base64, glob, json, os, struct

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)

CHOICES = "<View><Text name='text' value='$text'/><Choices name='label' toName='text'%s>%s</Choices></View>"
CONFIGS = {
    "single": CHOICES % ("", "<Choice value='good'/><Choice value='bad' alias='b'/>"),
    "multiple": CHOICES % (" choice='multiple'", "<Choice value='a &amp; b'/><Choice value='\u03a3\u0130'/><Choice value='c'/>"),
    "nested": CHOICES % (" allowNested='true'", "<Choice value='a'><Choice value='b'/></Choice>"),
    "labels": "<View><Labels name='ner' toName='t'><Label value='place'/><Label value='person' background='red'/></Labels><Text name='t' value='$text'/></View>",
    "hypertext": "<View><HyperText name='h' value='$html'/><Choices name='c' toName='h'><Choice value='x'/><Choice value='y'/></Choices></View>",
    "paragraphs": "<View><Paragraphs name='p' value='$talk' textKey='said' nameKey='who'/><Choices name='c' toName='p'><Choice value='x'/><Choice value='y'/></Choices></View>",
    "several": "<View><Text name='a' value='$a'/><Text name='b' value='$b'/><Choices name='c' toName='a,b'><Choice value='x'/></Choices><Rating name='r' toName='a'/><TextArea name='t' toName='b'/></View>",
    "url": "<View><Text name='a' value='$a' valueType='url'/><Choices name='c' toName='a'><Choice value='x'/></Choices></View>",
    "comment": "<?xml version='1.0' encoding='UTF-8'?><!-- <!DOCTYPE a> --><View><![CDATA[<Choices>]]><Style>.x { }</Style>&#x1f600;</View>",
    "doctype": "<!DOCTYPE View [<!ENTITY a 'b'>]><View>&a;</View>",
    "latin1": "<?xml version='1.0' encoding='ISO-8859-1'?><View/>",
}
WORDS = {
    "plain": "a warm and friendly place, don't go\nplan a trip 5 x_y\n\nI would",
    "sigma": "\u0391\u03a3 \u0391\u03a3.\u0391 \u0391\u03a3-\u0391 1\u03a3 \u0391\u0301\u03a3\u0301 \u03a3\u03a3 \u02b0\u03a3\u00ad\u0391",
    "letters": "\u0130stanbul \u212a\u212b \u1e9e \u24b6 \u2160 \u01c5 cafe\u0301 \u0928\u092e\u0938\u094d\u0924\u0947 \u4e2d\u6587 \u00b2\u00bd",
    "emoji": "\U0001f600\U0001f3fb\u200d\u2642 a\u200bb \ufeffc \u00ad",
}
BYTES = {
    "nul": b"a\0b \0\0 ab\0", "invalid": b"ab\xffcd \xc3 \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xc0\x80 e",
    "long": b"ab " * 200, "controls": "\x1b[31m \x7f \u0085 \u009b31m \u2028 \u202e".encode(),
}


def put(target, name, data):
    os.makedirs(os.path.join(HERE, "corpus", target), exist_ok=True)
    with open(os.path.join(HERE, "corpus", target, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def requests():
    for path in sorted(glob.glob(TESTS + "/http/protocol/*.json") + glob.glob(TESTS + "/http/older/1.4.1-*.json")):
        with open(path, encoding="utf-8") as f:
            r = json.load(f)
        yield os.path.basename(path)[:-5], r


def short(value, depth=0):
    """What is said again and again is said once: inputs are to be small."""
    if isinstance(value, dict):
        drop = {"model_version", "created_username", "prediction", "draft_created_at", "lead_time", "unique_id", "import_id", "last_action",
                "bulk_created", "comment_count", "unresolved_comment_count", "last_comment_updated_at", "file_upload", "comment_authors",
                "inner_id", "overlap", "is_labeled", "meta", "total_annotations", "cancelled_annotations", "total_predictions",
                "result_count", "parent_prediction", "parent_annotation"}
        keep = {k: short(v, depth + 1) for k, v in value.items() if k not in drop}
        return {k: keep[k] for k in list(keep)[:14]} if depth > 0 else keep
    return [short(v, depth + 1) for v in value[:2]] if isinstance(value, list) else value


def main():
    for name, r in requests():
        body = r.get("body")
        target = next((t for t in ("predict", "setup", "webhook") if r["path"].split("?")[0].endswith(t)), "webhook" if "train" in r["path"] else None)
        if isinstance(body, dict) and target:
            put(target, name, compact(short(body)))
        head = {"REQUEST_METHOD": r["method"], "SCRIPT_NAME": r["path"].split("?")[0], "QUERY_STRING": (r["path"].split("?") + [""])[1],
                "CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": "Basic dXNlcjpwYXNz"}
        if not isinstance(body, dict) or target in ("predict", "setup") and "batch" not in name:
            data = compact(short(body)) if isinstance(body, dict) else b""
            head["CONTENT_LENGTH"] = str(len(data))
            put("variables", name, "\n".join(f"{k}={v}" for k, v in head.items()).encode() + b"\n\n" + data)
    for name, xml in CONFIGS.items():
        put("label_config", name, xml)
        put("setup", "config-" + name, compact({"project": "7.1700000000", "schema": xml, "hostname": "", "access_token": "x", "extra_params": None}))
        data = {"text": "warm place", "t": "x", "html": "<p>a &amp; b</p>", "talk": [{"who": "a", "said": "warm"}, {"said": "place"}], "a": "q", "b": 1}
        put("predict", "config-" + name, compact({"tasks": [{"id": 1, "data": data}, {"data": {"text": "\u0391\u03a3"}}], "project": "12.1700000000", "label_config": xml}))
    for path in sorted(glob.glob(TESTS + "/data/configs/*.xml")):
        with open(path, "rb") as f:
            put("label_config", os.path.basename(path)[:-4], f.read())
    put("predict", "stored-config", '{"tasks":[{"data":{"text":"cold soup"}}],"project":"12.1700000000"}')
    put("predict", "selected", compact({"tasks": [{"id": 5, "data": {"text": "Ann met Ann in Rome"}}], "project": "3.1", "label_config": CONFIGS["labels"].replace("$text", "$text"),
        "params": {"context": {"result": [{"id": "a", "from_name": "ner", "to_name": "t", "type": "labels", "value": {"start": 0, "end": 3, "text": "Ann", "labels": ["person"]}}]}}}))
    project = {"id": 12, "title": "t", "created_at": "2023-11-14T22:13:20Z", "label_config": CONFIGS["single"]}
    row = {"id": 3, "task": 3, "updated_at": "2024-06-01T10:00:00.5+02:00", "completed_by": {"id": 1}, "ground_truth": True,
           "result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["bad"]}}]}
    for name, event in {
        "created": {"action": "ANNOTATION_CREATED", "annotation": row, "task": {"id": 3, "data": {"text": "x"}, "updated_at": None}},
        "deleted": {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}, {"id": 2}]}, "one-deleted": {"action": "ANNOTATION_DELETED", "annotation": {"id": 5}},
        "tasks-deleted": {"action": "TASKS_DELETED", "tasks": [{"id": 2}, {"id": 9223372036854775807}]},
        "bulk": {"action": "ANNOTATIONS_CREATED", "annotation": [row, dict(row, id=4, was_cancelled=True)], "task": [{"id": 3, "data": {"text": "y"}}]},
        "start": {"action": "START_TRAINING"}, "unknown": {"action": "SOMETHING_ELSE"},
    }.items():
        put("webhook", name, compact(dict(event, project=project)))
        put("webhook", name + "-alone", compact(event))
    put("webhook", "train", compact({"annotations": [{"id": 8, "data": {"text": "z"}, "annotations": [dict(row, id=80)]}], "project": "12.1700000000", "label_config": CONFIGS["single"], "params": {}}))

    for name, text in WORDS.items():
        put("tokenize", name, text)
        put("log", name, "7f3a\n" + text.replace("\n", " "))
    for name, data in BYTES.items():
        put("tokenize", name, data)
        put("log", name, b"0123\n" + data)
    put("log", "exact", b"\n" + b"x" * 1023)
    put("log", "long-letters", "\n" + "\u00e9" * 600)

    for name, (user, password, header) in {
        "right": ("user", "pass", "Basic " + base64.b64encode(b"user:pass").decode()), "no-colon": ("a", "", "Basic YQ=="), "empty": ("", "", "Basic Og=="),
        "spaces": ("u", "p:q", "basic   " + base64.b64encode(b"u:p:q").decode()), "two": ("u", "p", "Basic dTpw, Basic dTpw"), "nul": ("u", "p", "Basic dTpwAA=="),
        "loose": ("u", "pp", "Basic dTpwcB=="), "other": ("u", "p", "Bearer dTpw"),
    }.items():
        put("auth", name, f"{user}\n{password}\n{header}")

    edit = lambda op, part, where, value: struct.pack("<BBHI", op, part, where, value)
    for sort in range(4):
        for config in range(4):
            put("weights", f"whole-{sort}-{config}", bytes([sort, config]))
        for part in range(6):
            put("weights", f"counts-{sort}-{part}", bytes([sort, 0]) + b"".join(edit(2, part, at, at) for at in (24, 28, 40, 48)))
            put("weights", f"reals-{sort}-{part}", bytes([sort, 0]) + edit(3, part, 32, 14) + edit(3, part, 64, 17))
            put("weights", f"cut-{sort}-{part}", bytes([sort, 1]) + edit(7, part, 40, 2) + edit(9, part, 0, 1))

    for name, text in {
        "values": '{"a":[1,-0,1.5e-3,1E400,99999999999999999999,"\\u00e9\\ud83d\\ude00\\n",true,null],"a":{},"":[[]]}', "deep": "[" * 64 + "1" + "]" * 64, "too-deep": "[" * 65 + "]" * 65,
        "nan": "[NaN]", "single": "['a']", "lone": '["\\ud800","\\udc00x"]', "nul": '{"a\\u0000b":"\\u0000"}', "space": " \t\r\n[ 1 , 2 ] \n", "number": "123", "cut": '{"a":"b',
        "reals": "[0.1,1e22,1e23,5e-324,2.2250738585072011e-308,1.7976931348623157e308,9007199254740993," + "1" * 30 + ",0." + "0" * 30 + "1]",
    }.items():
        put("json", name, text)

    line = lambda **k: json.dumps(k, ensure_ascii=False)
    for name, text in {
        "array": '[{"data":{"text":"a"},"id":1},{"text":"b"},"c"]', "lines": "one text\n" + line(text="b") + "\n\n \t" + line(data={"text": "c"}) + "\r\n",
        "labelled": line(text="a", label="x") + "\n" + line(text="b", label=["x", "y"]) + "\n" + line(text="c") + "\nbroken\n" + line(text="d", label=[]),
        "labelled-known": line(text="cold", label="bad") + "\n" + line(text="warm", label="good") + "\n", "bom": "\ufeff[{\"text\":\"a\"}]", "half-pair": '[{"text":"\\ud800"}]', "pair": '[{"text":"\\ud83d\\ude00"}]',
        "export": '[{"id":50,"data":{"text":"new"},"annotations":[{"id":51,"result":[{"from_name":"label","to_name":"text","type":"choices","value":{"choices":["good"]}}],"updated_at":"2024-01-01T00:00:00Z"}]}]',
        "empty": "", "blank": " \n\n", "nothing": "[]", "numbers": "[1]",
    }.items():
        put("tasks", name, text)

    with open(TESTS + "/data/protocol/api-project.json", encoding="utf-8") as f:
        p = short(json.load(f)); p.update(id=12, title="t", label_config=CONFIGS["single"], created_at="2023-11-14T22:13:20Z")
    with open(TESTS + "/data/protocol/api-export.json", encoding="utf-8") as f:
        export = short(json.load(f))
    P, E = compact(p).decode(), compact(export).decode()
    ok = lambda *bodies: "".join(f"200\n{b}\n%%\n" for b in bodies)
    hook = '{"id":4,"url":"http://backend.example:9090/webhook","send_payload":true,"send_for_all_actions":false,"is_active":true,"headers":{},"actions":["ANNOTATION_CREATED"],"project":12}'
    ml = '{"id":2,"url":"http://backend.example:9090","title":"prelabel","is_interactive":true,"state":"CO","project":12,"auth_method":"NONE"}'
    me = '{"id":1,"email":"a@example.org"}'
    task = '{"id":50,"project":12,"data":{"text":"new"},"annotations":[{"id":51,"result":[{"from_name":"label","to_name":"text","type":"choices","value":{"choices":["good"]}}],"updated_at":"2024-01-01T00:00:00Z"}]}'
    access = '{"access":"eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjo5OTk5OTk5OTk5fQ.c2ln"}'
    for name, text in {
        "project": "p\n" + ok(P), "export": "e\n" + ok(E), "export-cut": "e\n0\n" + E[:300] + "\n%%\n200\n[]", "export-again": "e\n503\n{}\n%%\n" + ok(E), "reconcile": "r\n" + ok(P, f"[{task},{task}]"),
        "reconcile-deleted": "r\n" + ok(P, "[]"), "reconcile-other": "r\n" + ok(P, '[{"id":1,"project":13}]'), "personal": "R\n" + ok(access, P, f"[{task}]"), "expired": "P\n" + ok(access) + "401\n{}\n%%\n" + ok(access, P),
        "list": "l\n" + ok(f"[{hook}]"), "pages": "l\n" + ok(f'{{"results":[{hook}],"next":"x"}}', f'{{"results":[{hook}],"next":null}}'), "tasks": "l\n" + ok('{"tasks":[1,2],"total":3}', '{"tasks":[3],"total":3}'),
        "connect": "c\n" + ok(me, P, f"[{ml}]", f"[{hook}]", ml, hook, P, me, P), "connect-new": "t\n" + ok(me, '{"results":[],"next":null}', P, P, "[]", ml, "[]", hook, P), "disconnect": "d\n" + ok(me, P, f"[{ml}]", f"[{hook}]", "", ""),
        "refused": 'p\n401\n{"detail":"Invalid token 0123456789abcdef0123456789abcdef01234567."}', "form": 'c\n' + ok(me, P) + '400\n{"detail":"Validation error","validation_errors":{"url":["is wrong."]}}', "gone": "p\n404\n{}",
        "redirect": "p\n302\n", "html": "p\n200\n<html>", "legacy": 'p\n401\n{"detail":"Authentication token no longer valid: legacy token authentication has been disabled for this organization"}', "limit": "p\n429\n{}\n%%\n429\n\n%%\n429\n\n%%\n",
    }.items():
        put("ls_answers", name, text)

    for name, lines in {
        "health": ["REQUEST_METHOD=GET", "SCRIPT_NAME=/livez"], "head": ["REQUEST_METHOD=HEAD", "SCRIPT_NAME=/health", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"],
        "split": ["REQUEST_METHOD=GET", "SCRIPT_NAME=/hea", "PATH_INFO=lth"], "unknown": ["REQUEST_METHOD=GET", "SCRIPT_NAME=/x\x1e\x1fSet-Cookie: a", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"],
        "wrong-method": ["REQUEST_METHOD=PUT", "SCRIPT_NAME=/predict", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"], "no-method": ["SCRIPT_NAME=/"], "secret": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/webhook", "HTTP_X_WEBHOOK_SECRET=secret", "CONTENT_LENGTH=21", "", '{"action":"whatever"}'],
        "error": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/error", "REDIRECT_STATUS=413"], "error-other": ["REQUEST_METHOD=GET", "SCRIPT_NAME=/error", "REDIRECT_STATUS=418"], "metrics": ["REQUEST_METHOD=GET", "SCRIPT_NAME=/metrics", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"],
        "status": ["REQUEST_METHOD=GET", "SCRIPT_NAME=/status", "QUERY_STRING=project=12&a=%41+b&project=%zz", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"], "job": ["REQUEST_METHOD=GET", "SCRIPT_NAME=/job_status", "QUERY_STRING=job=1", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"],
        "train": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/train", "QUERY_STRING=project=12", "CONTENT_LENGTH=0", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"], "gzip": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/predict", "HTTP_CONTENT_ENCODING=gzip", "CONTENT_LENGTH=2", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz", "", "{}"],
        "type": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/predict", "CONTENT_TYPE=text/html; a=b", "CONTENT_LENGTH=2", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz", "", "{}"], "large": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/predict", "CONTENT_LENGTH=99999999999999999999", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz"],
        "sign": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/predict", "CONTENT_LENGTH=+2", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz", "", "{}"], "cut": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/predict", "CONTENT_LENGTH=9", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz", "", "{}"],
        "older": ["REQUEST_METHOD=POST", "SCRIPT_NAME=/validate", "CONTENT_LENGTH=19", "HTTP_AUTHORIZATION=Basic dXNlcjpwYXNz", "", '{"config":"<View>"}'],
    }.items():
        put("variables", name, "\n".join(lines))


main()
