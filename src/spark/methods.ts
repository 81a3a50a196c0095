/** One method of `spark.connect.SparkConnectService`, with the top-level field numbers of its request that we read. */
export interface SparkMethod {
  readonly name: string;
  /** The `:path` of its calls. */
  readonly path: string;
  /** The field that holds the operation id, where the request has one. */
  readonly operationIdField: number | undefined;
  /** Calls that begin something; one of them may start a driver where there is none. */
  readonly startsWork: boolean;
  /**
   * Whether it passes while a driver drains, because running work may need it to finish. Config is such a call: PySpark
   * reads settings after the last row has arrived, and without them the result is lost.
   */
  readonly finishesWork: boolean;
  /** Whether its calls are attached to an operation, which may outlive them. */
  readonly executes: boolean;
  /** Whether a call may carry more than one request message. */
  readonly clientStreaming: boolean;
}

const method = (name: string, operationIdField: number | undefined, startsWork: boolean): SparkMethod => ({
  name,
  path: `/spark.connect.SparkConnectService/${name}`,
  operationIdField,
  startsWork,
  finishesWork: !startsWork || name === "Config",
  executes: name === "ExecutePlan" || name === "ReattachExecute",
  clientStreaming: name === "AddArtifacts",
});

/** All methods of the service (Spark 3.5 to 4.1). Source: spark/connect/base.proto. */
export const sparkMethods: readonly SparkMethod[] = [
  method("ExecutePlan", 6, true),
  method("AnalyzePlan", undefined, true),
  method("Config", undefined, true),
  method("AddArtifacts", undefined, true),
  method("ArtifactStatus", undefined, true),
  method("Interrupt", 6, false),
  method("ReattachExecute", 3, false),
  method("ReleaseExecute", 3, false),
  method("ReleaseSession", undefined, false),
  method("FetchErrorDetails", undefined, false),
  method("CloneSession", undefined, true),
];

const byName = new Map(sparkMethods.map((m) => [m.name, m]));
const byPath = new Map(sparkMethods.map((m) => [m.path, m]));

/** The method of that exact path, or undefined: no prefix, no normalisation. */
export function methodOfPath(path: string): SparkMethod | undefined {
  return byPath.get(path);
}

/** The method of that exact short name, or undefined. */
export function methodOfName(name: string): SparkMethod | undefined {
  return byName.get(name);
}
