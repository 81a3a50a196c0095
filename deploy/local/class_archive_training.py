"""What people do in their first sessions, so that the classes which that needs end up in the archive. The URL is one line of
standard input, because it holds a token. Waits for the server."""

import sys
import tempfile
import time

import pandas
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F


def plus_one(column: pandas.Series) -> pandas.Series:
    return column + 1


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

# What people do with data: files, tables, windows, dates and texts, nested columns, pandas both ways, mistakes.
days = spark.range(100).select(
    "id",
    (F.col("id") % 7).alias("k"),
    F.date_add(F.lit("2024-01-01").cast("date"), F.col("id").cast("int")).alias("day"),
    F.upper(F.concat_ws("-", F.lit("row"), F.col("id").cast("string"))).alias("name"),
)
with tempfile.TemporaryDirectory() as folder:
    days.write.partitionBy("k").parquet(f"{folder}/parquet")
    days.write.option("header", True).csv(f"{folder}/csv")
    days.write.json(f"{folder}/json")
    spark.read.parquet(f"{folder}/parquet").where("id > 10 AND k = 3").select("name").collect()
    spark.read.option("header", True).option("inferSchema", True).csv(f"{folder}/csv").describe("id").collect()
    spark.read.json(f"{folder}/json").agg(F.countDistinct("k"), F.avg("id"), F.max("day")).collect()
days.write.saveAsTable("days")
days.cache().count()
ranked = Window.partitionBy("k").orderBy(F.desc("day"))
days.withColumn("rank", F.row_number().over(ranked)).where("rank = 1").show()
spark.sql("SELECT date_trunc('month', day) AS m, count(*) FROM days d JOIN v ON d.k = v.n GROUP BY ALL ORDER BY 1").collect()
spark.sql("SELECT explode(split(name, '-')) AS part, CASE WHEN id > 5 THEN 'a' END AS c FROM days").distinct().count()
spark.sql("WITH t AS (SELECT k, collect_list(struct(id, name)) AS l FROM days GROUP BY k) SELECT * FROM t LIMIT 2").toPandas()
spark.createDataFrame(pandas.DataFrame({"x": [1.0, 2.0], "y": ["a", None]})).dropna().union(
    spark.createDataFrame([(3.0, "c")], ["x", "y"])
).toPandas()
days.select(F.pandas_udf(plus_one, "long")("id")).collect()
days.groupBy("k").applyInPandas(lambda part: part.head(1)[["id", "k"]], "id long, k long").collect()
days.unpersist()
try:
    spark.sql("SELECT nothing FROM days").collect()
except AnalysisException:
    pass
spark.sql("DROP TABLE days").collect()
print(spark.version)
spark.stop()
