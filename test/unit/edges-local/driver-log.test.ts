import { describe, expect, it } from "vitest";
import { interpretLog } from "../../../src/edges/local/driver-log.ts";

const noise = `26/11/21 10:29:27 ERROR Utils: Uncaught exception in thread shutdown-hook-0
java.lang.ExceptionInInitializerError
\tat org.apache.spark.executor.Executor.stop(Executor.scala:481)
Caused by: java.lang.NullPointerException: the shutdown's own trouble
\t... 16 more
`;

describe("the cause in a driver's log", () => {
  it("is the exception that ended the main thread, not what the shutdown says after it", () => {
    const { cause } = interpretLog(
      `26/11/21 10:29:26 INFO Executor: Starting
Exception in thread "main" org.apache.spark.SparkIllegalArgumentException: [INVALID_CONF_VALUE] 'banana' is invalid
\tat org.apache.spark.SparkContext.<init>(SparkContext.scala:1)
${noise}`,
    );
    expect(cause).toBe("SparkIllegalArgumentException: [INVALID_CONF_VALUE] 'banana' is invalid");
  });

  it("is the root of that exception", () => {
    const { cause } = interpretLog(
      `Exception in thread "main" org.apache.spark.SparkException: it failed
\tat a.B.c(B.scala:1)
Caused by: java.lang.RuntimeException: half way
\tat a.B.d(B.scala:2)
Caused by: java.lang.ClassNotFoundException: no.such.Plugin
\t... 3 more
${noise}`,
    );
    expect(cause).toBe("ClassNotFoundException: no.such.Plugin");
  });

  it("is Java's own complaint where Java did not get as far", () => {
    expect(interpretLog("Error occurred during initialization of VM\nToo small maximum heap\n").cause).toBe(
      "Error occurred during initialization of VM: Too small maximum heap",
    );
    expect(interpretLog("Error: Could not create the Java Virtual Machine.\nError: A fatal exception\n").cause).toBe(
      "Error: Could not create the Java Virtual Machine.",
    );
  });

  it("is nothing where nothing says it", () => {
    expect(interpretLog("26/11/21 10:29:26 INFO Executor: Starting\n").cause).toBeUndefined();
    expect(interpretLog("")).toEqual({ tail: [], cause: undefined });
  });

  it("keeps the last 20 lines that people can read, each of bounded length", () => {
    const lines = Array.from({ length: 30 }, (_, i) => `line ${i}\n\tat a.B.c(B.scala:${i})`);
    const { tail } = interpretLog(`${lines.join("\n")}\n${"x".repeat(10_000)}\n`);
    expect(tail).toHaveLength(20);
    expect(tail[0]).toBe("line 11");
    expect(tail[19]).toHaveLength(500);
  });
});
