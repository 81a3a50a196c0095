"""A stock PySpark client that has loaded its libraries before it is told where to connect, so that what is measured is the
server's part. Reads the URL as one line of standard input, because it holds a token; prints how long each step took, in ms."""

import json
import sys
import time

import grpc  # noqa: F401
import pandas  # noqa: F401
import pyarrow  # noqa: F401
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

print("loaded", flush=True)
url = sys.stdin.readline().strip()
begun = time.monotonic()
took = {}


def step(name, work):
    at = time.monotonic()
    result = work()
    took[name] = (time.monotonic() - at) * 1000
    return result


spark = step("connect", lambda: SparkSession.builder.remote(url).create())
step("first", lambda: spark.range(1).collect())
took["total"] = (time.monotonic() - begun) * 1000
step("second", lambda: spark.range(1).collect())
step("sql", lambda: spark.sql("SELECT id % 3 AS k, count(*) AS n FROM range(1000) GROUP BY 1 ORDER BY 1").collect())
step("pandas", lambda: spark.range(10).join(spark.range(5), "id").toPandas())
step("udf", lambda: spark.range(3).select(F.udf(lambda n: n + 1, "long")("id")).collect())
print(json.dumps(took), flush=True)
