"""What a stock PySpark client does to a driver's life; JSON lines as in steps.py. The first argument says what:

hold FILE            runs a query that sends nothing and lasts until FILE exists; FILE.running says in which process
stream FILE          starts a streaming query, says so and stays until it is killed
stop_streams         stops the streaming queries of the Connect session that the URL names
outlive FILE         both at once; when FILE.try exists it tries to begin something new and says what came of it
"""

import gc
import json
import os
import sys
import threading
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from steps import one_line

# PySpark 4.1 can hang when the collector drops a session on a gRPC thread: closing it there waits for calls of that thread.
gc.disable()


def say(step, result):
    print(json.dumps({"step": step, "result": result}), flush=True)


def complain(step, error):
    print(json.dumps({"step": step, "error": one_line(error)}), flush=True)


def until_there(path):
    while not os.path.exists(path):
        time.sleep(0.05)


def hold(spark, path):
    # In here, because the function is sent to the driver without this module.
    def wait(value):
        import os
        import time

        with open(path + ".running", "w") as file:
            file.write(str(os.getpid()))
        while not os.path.exists(path):
            time.sleep(0.05)
        return value

    rows = spark.range(0, 4, 1, 1).select(F.udf(wait, "long")("id").alias("id")).collect()
    say("hold", [row["id"] for row in rows])


def hold_or_complain(spark, path):
    try:
        hold(spark, path)
    except Exception as error:
        complain("hold", error)


def start_stream(spark):
    stream = spark.readStream.format("rate").option("rowsPerSecond", 1).load()
    query = stream.writeStream.format("memory").queryName("lifetimes").start()
    say("streaming", {"session": spark.session_id, "query": query.id})


def stop_streams(spark):
    running = spark.streams.active
    for query in running:
        query.stop()
    say("stopped", [query.id for query in running])


def outlive(spark, path):
    start_stream(spark)
    thread = threading.Thread(target=hold_or_complain, args=(spark, path))
    thread.start()
    until_there(path + ".try")
    for name, begin in {
        "execute": lambda: spark.range(3).collect(),
        "session": lambda: spark.cloneSession(),
    }.items():
        try:
            begin()
            say(name, "let through")
        except Exception as error:  # the class differs between Spark versions
            complain(name, error)
    thread.join()


def main(what, path=None):
    try:
        spark = SparkSession.builder.remote(os.environ["GATEHOUSE_URL"]).create()
    except Exception as error:
        complain("connect", error)
        return 3
    say("connect", spark.session_id)
    if what == "hold":
        hold(spark, path)
    elif what == "outlive":
        outlive(spark, path)
    elif what == "stop_streams":
        stop_streams(spark)
    else:
        start_stream(spark)
        until_there(path)
    # Like a client that goes without a word: nothing is released but what it has read to the end.
    time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
