"""What a person sees who runs one query with each of several connection URLs (GATEHOUSE_URLS, a JSON object).

Prints one JSON line for each: {"step": name, "result": {"rows"} or {"type", "text", "condition"}, "seconds"}.
"""

import gc
import json
import os
import time

from pyspark.sql import SparkSession

# PySpark 4.1 can hang when the collector drops a session on a gRPC thread: closing it there waits for calls of that thread.
gc.disable()

for name, url in json.loads(os.environ["GATEHOUSE_URLS"]).items():
    begun = time.monotonic()
    try:
        spark = SparkSession.builder.remote(url).create()
        result = {"rows": spark.range(3).count()}
        spark.stop()
    except Exception as error:
        condition = error.getCondition() if hasattr(error, "getCondition") else None
        result = {"type": type(error).__name__, "text": str(error), "condition": condition}
    print(json.dumps({"step": name, "result": result, "seconds": round(time.monotonic() - begun, 3)}), flush=True)
