"""A stock PySpark client that stays up and does what it is told, for tests that break things around it.

Reads JSON lines {"id", "do", "with"} and answers each with {"step": "<id>", "result"} or {"step": "<id>", "error"}; a
request that says when it is well under way prints {"step": "<id> begun"} then. Each runs on a thread of its own. The
connection URL comes from the environment (GATEHOUSE_URL), because it holds a token.
"""

import gc
import json
import os
import sys
import threading
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

# PySpark 4.1 can hang when the collector drops a session on a gRPC thread: closing it there waits for calls of that thread.
gc.disable()

WORK = {}
printing = threading.Lock()
current = {}


def work(function):
    WORK[function.__name__] = function
    return function


def say(line):
    with printing:
        print(json.dumps(line), flush=True)


@work
def connect(begun, impatient=False):
    """With `impatient` the client's own retries are off, so that a refusal shows at once."""
    spark = SparkSession.builder.remote(os.environ["GATEHOUSE_URL"]).create()
    if impatient:
        spark.client.set_retry_policies([])
    current["spark"] = spark
    return spark.session_id


@work
def get_or_create(begun):
    current["spark"] = SparkSession.builder.remote(os.environ["GATEHOUSE_URL"]).getOrCreate()
    return current["spark"].session_id


@work
def where(begun):
    return current["spark"].conf.get("spark.app.id")


@work
def count(begun):
    return current["spark"].range(10).count()


@work
def make_view(begun):
    current["spark"].range(7).createOrReplaceTempView("kept_view")
    return current["spark"].table("kept_view").count()


@work
def see_view(begun):
    return current["spark"].table("kept_view").count()


@work
def stream(begun, seconds):
    """Rows of many small partitions, a quarter of a second each: two cores take half of `seconds`, and rows come all along."""
    slow = F.udf(lambda value: (time.sleep(0.25), value)[1], "long")
    rows = int(seconds * 4)
    frame = current["spark"].range(0, rows, 1, rows // 2).select(slow("id").alias("id"))
    total = 0
    for index, row in enumerate(frame.toLocalIterator()):
        if index == 0:
            begun()
        total += row["id"]
    return [index + 1, total]


@work
def upload(begun, megabytes):
    """An artifact of zeros; says that it has begun before the first byte."""
    path = os.path.join(os.environ["GATEHOUSE_FOLDER"], f"upload-{os.getpid()}.bin")
    with open(path, "wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    begun()
    try:
        current["spark"].addArtifacts(path, file=True)
    finally:
        os.unlink(path)


def handle(request):
    name = str(request["id"])
    try:
        result = WORK[request["do"]](lambda: say({"step": f"{name} begun"}), **request.get("with", {}))
        say({"step": name, "result": result})
    except BaseException as error:
        say({"step": name, "error": " ".join(f"{type(error).__name__}: {error}".split())[:4000]})


for line in sys.stdin:
    threading.Thread(target=handle, args=(json.loads(line),), daemon=True).start()
os._exit(0)
