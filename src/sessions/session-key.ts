import { GatewayError } from "../kernel/errors.ts";
import { parseSessionHeader, parseSessionHost } from "./session-key-parse.ts";

/** The canonical name of a session. `cluster` is the Kubernetes cluster ("local" for the local runtime). */
export interface SessionKey {
  readonly cluster: string;
  readonly namespace: string;
  readonly app: string;
}

/** `namespace/app`: how people write it. One cluster's names; see {@link sessionKeyId} for maps. */
export function displayKey(key: SessionKey): string {
  return `${key.namespace}/${key.app}`;
}

/** A string that is equal exactly when the keys are; the parts are DNS names, so "/" cannot occur in them. */
export function sessionKeyId(key: SessionKey): string {
  return `${key.cluster}/${key.namespace}/${key.app}`;
}

/** Where a call may name its session. */
export interface SessionKeySource {
  /** `x-spark-session-id`, undefined where it was not sent (an empty one was sent). */
  readonly header: string | undefined;
  /** `:authority`. */
  readonly host: string;
  /** The domain of host names per session (lower case, no leading or trailing dot); undefined: hosts name nothing. */
  readonly domain: string | undefined;
  readonly cluster: string;
  /** The key for a call that names none, such as the user's default session; may throw SESSION_KEY_NEEDED. */
  readonly fallback: () => SessionKey;
}

/**
 * The one session that a call is about: from its header, else from its host, else the fallback. Both forms at once must
 * agree; a malformed one is refused even where the other is well-formed.
 * @throws GatewayError SESSION_KEY_INVALID, SESSION_KEY_CONFLICT, or what `fallback` throws
 */
export function resolveSessionKey(source: SessionKeySource): SessionKey {
  const byHeader = source.header === undefined ? undefined : parseSessionHeader(source.header);
  const byHost = source.domain === undefined ? undefined : parseSessionHost(source.host, source.domain);
  if (
    byHeader !== undefined &&
    byHost !== undefined &&
    (byHeader.namespace !== byHost.namespace || byHeader.app !== byHost.app)
  ) {
    throw new GatewayError(
      "SESSION_KEY_CONFLICT",
      "x-spark-session-id and the host name name different sessions; send only one of them, or the same in both",
    );
  }
  const name = byHeader ?? byHost;
  if (name === undefined) return source.fallback();
  return { cluster: source.cluster, namespace: name.namespace, app: name.app };
}
