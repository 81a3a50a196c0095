/** What the first message of a call says about it, read from its top-level fields. */
export interface SparkCall {
  /** The method's short name. */
  readonly method: string;
  /** `session_id`: Spark's own session. */
  readonly connectSession: string | undefined;
  /** `operation_id`, where the method has one. A UUID is given in lower case, as the driver keeps it. */
  readonly operationId: string | undefined;
  /** `user_context.user_id` as the client sent it. */
  readonly claimedUserId: string | undefined;
  /** ExecutePlan only: the client can come back to it (request_options.reattach_options.reattachable). */
  readonly reattachable: boolean;
  /** ReleaseExecute only: the whole operation is released (release_all), so nothing is left running. */
  readonly releasesOperation: boolean;
  /**
   * ExecutePlan only: the command starts or stops a streaming query. A compressed command cannot be looked into and
   * counts as a start: a driver that is kept too long costs less than a query that is ended too early.
   */
  readonly streamingQuery: "start" | "stop" | undefined;
  /** The query that is stopped (`query_id.id`), where `streamingQuery` is "stop". */
  readonly streamingQueryId: string | undefined;
  /** CloneSession only: the Connect session that the client asks for (`new_session_id`). */
  readonly newConnectSession: string | undefined;
}
