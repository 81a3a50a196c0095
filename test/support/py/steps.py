"""Steps that a stock PySpark client does, one JSON line each: {"step", "seconds", "result"} or {"step", "error"}.

The connection URL comes from the environment (GATEHOUSE_URL), never from the arguments, because it holds a token.
Steps run in the order of the arguments, on one Spark session; a failing step does not stop the others.
"""

import gc
import json
import os
import sys
import tempfile
import threading
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

# PySpark 4.1 can hang when the collector drops a session on a gRPC thread: closing it there waits for calls of that thread.
gc.disable()

STEPS = {}


def step(function):
    STEPS[function.__name__] = function
    return function


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)


@step
def where(spark):
    """Which driver and which Connect session serve this client, and whom the driver takes it for."""
    return {
        "driver": spark.conf.get("spark.app.id"),
        "address": spark.conf.get("spark.connect.grpc.binding.address"),
        "session": spark.session_id,
    }


@step
def dataframe(spark):
    left = spark.range(100).withColumn("key", F.col("id") % 10)
    right = spark.range(10).withColumnRenamed("id", "key").withColumn("name", F.concat(F.lit("k"), "key"))
    joined = left.filter("id < 50").join(right, "key").groupBy("name").agg(F.sum("id").alias("total"))
    return {row["name"]: row["total"] for row in joined.orderBy("name").collect()}


@step
def sql(spark):
    return [row["n"] for row in spark.sql("SELECT id * id AS n FROM range(5) ORDER BY id").collect()]


@step
def python_udf(spark):
    reverse = F.udf(lambda text: text[::-1], "string")
    return [row[0] for row in spark.createDataFrame([("abc",), ("xyz",)], ["t"]).select(reverse("t")).collect()]


@step
def local_relation(spark):
    rows = [(index, f"row number {index}") for index in range(200_000)]
    frame = spark.createDataFrame(rows, ["id", "text"])
    row = frame.agg(F.count("*"), F.sum("id"), F.max(F.length("text"))).collect()[0]
    return list(row)


@step
def to_pandas(spark):
    frame = spark.range(2_000_000).withColumn("half", F.col("id") / 2).toPandas()
    return [len(frame), int(frame["id"].sum()), float(frame["half"].iloc[-1])]


@step
def artifact(spark):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "gatehouse_sample.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write("def answer():\n    return 'from the artifact'\n" + "# filler\n" * 20_000)
        spark.addArtifacts(path, pyfile=True)

    @F.udf("string")
    def use_it():
        import gatehouse_sample

        return gatehouse_sample.answer()

    return spark.range(1).select(use_it()).collect()[0][0]


@step
def streaming(spark):
    query = (
        spark.readStream.format("rate")
        .option("rowsPerSecond", 20)
        .load()
        .writeStream.format("memory")
        .queryName("gatehouse_rate")
        .start()
    )
    wait_until(lambda: spark.sql("SELECT count(*) AS n FROM gatehouse_rate").collect()[0]["n"] > 0, 60)
    active_before = query.isActive
    query.stop()
    return {"before": active_before, "after": query.isActive, "left": len(spark.streams.active)}


@step
def interrupt(spark):
    outcome = {}
    slow = F.udf(lambda value: (time.sleep(0.5), value)[1], "long")

    def run():
        spark.addTag("gatehouse-slow")
        try:
            spark.range(0, 400, 1, 2).select(slow("id")).collect()
            outcome["error"] = None
        except Exception as error:  # the class differs between Spark versions
            outcome["error"] = str(error).splitlines()[0]

    thread = threading.Thread(target=run)
    thread.start()
    started = time.monotonic()
    interrupted = []
    while thread.is_alive() and time.monotonic() - started < 60:
        interrupted += spark.interruptTag("gatehouse-slow")
        thread.join(0.2)
    return {"alive": thread.is_alive(), "interrupted": len(set(interrupted)), "error": outcome.get("error")}


@step
def long_query(spark):
    """Longer than the driver lets one answer stream last, so the client has to come back for the rest."""
    slow = F.udf(lambda value: (time.sleep(0.25), value)[1], "long")
    seconds = float(os.environ.get("GATEHOUSE_LONG_QUERY_SECONDS", "8"))
    rows = spark.range(0, int(seconds * 8), 1, 2).select(slow("id").alias("id")).collect()
    return [len(rows), sum(row["id"] for row in rows)]


@step
def clone(spark):
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.range(3).createOrReplaceTempView("before_clone")
    copy = spark.cloneSession()
    copy.range(5).createOrReplaceTempView("only_in_clone")
    return {
        "other": copy.session_id != spark.session_id,
        "inherited": copy.table("before_clone").count(),
        "zone": copy.conf.get("spark.sql.session.timeZone"),
        "leaked": spark.catalog.tableExists("only_in_clone"),
    }


@step
def make_view(spark):
    spark.range(7).createOrReplaceTempView("shared_name_view")
    return spark.table("shared_name_view").count()


@step
def see_view(spark):
    return spark.catalog.tableExists("shared_name_view")


@step
def five_queries(spark):
    answers = []
    for index in range(5):
        total = spark.range(index * 100).agg(F.coalesce(F.sum("id"), F.lit(0))).collect()[0][0]
        answers.append([total, spark.conf.get("spark.app.id"), spark.session_id])
    return answers


@step
def failing_query(spark):
    """An error of Spark's own: it reaches the client with its class and its SQL state."""
    try:
        spark.sql("SELECT no_such_column FROM range(1)").collect()
    except Exception as error:
        return {"class": error.getCondition(), "state": error.getSqlState()}
    return None


def one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:2000]


def main(names):
    failed = False
    begun = time.monotonic()
    try:
        spark = SparkSession.builder.remote(os.environ["GATEHOUSE_URL"]).create()
    except Exception as error:
        print(json.dumps({"step": "connect", "error": one_line(error)}), flush=True)
        return 3
    print(json.dumps({"step": "connect", "seconds": time.monotonic() - begun, "result": spark.session_id}), flush=True)
    for name in names:
        begun = time.monotonic()
        line = {"step": name}
        try:
            line["result"] = STEPS[name](spark)
        except Exception as error:
            failed = True
            line["error"] = one_line(error)
        line["seconds"] = round(time.monotonic() - begun, 3)
        print(json.dumps(line), flush=True)
    if os.environ.get("GATEHOUSE_KEEP_SESSION") != "1":
        spark.stop()
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
