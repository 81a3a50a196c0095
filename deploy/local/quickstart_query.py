"""The quick start's query: a stock PySpark client.

It loads PySpark first and then reads one JSON line {"url", "ca_file"} from standard input: so it can be started before
there is anything to connect to, and its token is neither in its arguments nor in its environment.
"""

import json
import os
import sys

from pyspark.sql import SparkSession

line = sys.stdin.readline()
if not line:
    sys.exit(1)
target = json.loads(line)
os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = target["ca_file"]
try:
    spark = SparkSession.builder.remote(target["url"]).create()
    numbers = spark.range(1_000_000).selectExpr("id % 3 AS remainder")
    rows = sorted(numbers.groupBy("remainder").count().collect())
    print(f"Spark {spark.version} counted: " + ", ".join(f"remainder {row[0]}: {row[1]}" for row in rows))
    spark.stop()
except Exception as error:
    print(" ".join(str(error).split()))
    sys.exit(3)
