# For images that cannot install the package: copy this file, and import what you need from it.
# Values are those of JSON. (A line that `print` has left open would swallow the next frame.)
import itertools
import json
import re
import sys

_types = {}


def send(part, value):
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # an error: a server would go down
    text = json.dumps({part: value}, allow_nan=False)
    bare = re.sub(r'"[^"]*"', "", re.sub(r"\\.", "", text))  # without texts
    depth = max(itertools.accumulate((c in "[{") - (c in "]}") for c in bare))
    if len(text) > 5e6 or depth > 1000 or re.search(r"\d{1001}", bare):
        raise ValueError("too long or deep for the engine: write it to a file, and declare that")
    sys.stdout.write("::" + text + "::\n")
    sys.stdout.flush()


def outputs(values):
    send("outputs", dict(values))


def metric(kind, name, value, **tags):
    if kind not in ("counter", "timer", "gauge") or not 0 < len(name) <= 150:
        raise ValueError("a metric is a counter, timer or gauge, its name 1 to 150 characters")
    if kind == "timer" and not abs(float(value)) < 9e9:
        raise ValueError("a timer must be a number of seconds below 9e9")
    tags = {key: "%s" % (tags[key],) for key in tags if tags[key] is not None}
    if _types.setdefault((name, frozenset(tags)), kind) != kind:
        raise ValueError("the metric %r had another type before" % name)
    send("metrics", [{"name": name, "type": kind, "value": float(value), "tags": tags}])


def log(level, message):
    if level not in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR"):
        raise ValueError("a level is TRACE, DEBUG, INFO, WARN or ERROR")
    send("logs", [{"level": level, "message": "%s" % (message,)}])
