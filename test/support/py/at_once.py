"""Like refused.py, but all at once: what people see who run a query each, with several URLs (GATEHOUSE_URLS, a JSON object)."""

import gc
import json
import os
import threading
import time

from pyspark.sql import SparkSession

# PySpark 4.1 can hang when the collector drops a session on a gRPC thread: closing it there waits for calls of that thread.
gc.disable()

printing = threading.Lock()


def ask(name, spark):
    begun = time.monotonic()
    try:
        result = {"rows": spark.range(3).count()}
    except Exception as error:
        condition = error.getCondition() if hasattr(error, "getCondition") else None
        result = {"type": type(error).__name__, "text": str(error), "condition": condition}
    with printing:
        print(json.dumps({"step": name, "result": result, "seconds": round(time.monotonic() - begun, 3)}), flush=True)


urls = json.loads(os.environ["GATEHOUSE_URLS"])
sessions = {name: SparkSession.builder.remote(url).create() for name, url in urls.items()}
threads = [threading.Thread(target=ask, args=each, daemon=True) for each in sessions.items()]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os._exit(0)
