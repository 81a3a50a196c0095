"""What an ordinary first session does, so that the classes which it needs end up in the archive. The URL is one line of
standard input, because it holds a token. Waits for the server."""

import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

url = sys.stdin.readline().strip()
end = time.monotonic() + 90
while True:
    try:
        spark = SparkSession.builder.remote(url).create()
        spark.range(1).collect()
        break
    except Exception:
        if time.monotonic() > end:
            raise
        time.sleep(0.2)

spark.range(1000).groupBy((F.col("id") % 3).alias("k")).count().orderBy("k").collect()
spark.range(10).join(spark.range(5), "id").toPandas()
spark.createDataFrame([(1, "a"), (2, "b")], ["n", "t"]).createOrReplaceTempView("v")
spark.sql("SELECT t, sum(n) AS total FROM v WHERE n > 0 GROUP BY t").collect()
spark.range(3).select(F.udf(lambda n: n + 1, "long")("id")).collect()
print(spark.version)
spark.stop()
