import { GatewayError } from "../kernel/errors.ts";

/** The two parts of a session's name that a client can choose. */
export interface SessionName {
  readonly namespace: string;
  readonly app: string;
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const MAX_LABEL = 63;
const MAX_APP = 253;
/** The longest DNS name, a trailing dot, and a port. */
const MAX_HOST = 253 + 1 + 6;
const FORMS = "write it as <namespace>.<app> or <namespace>/<app>";

const invalid = (what: string): GatewayError => new GatewayError("SESSION_KEY_INVALID", what);

/** An RFC 1123 label: 1 to 63 lower-case letters, digits and hyphens, a hyphen neither first nor last. */
export function isDnsLabel(text: string): boolean {
  return text.length <= MAX_LABEL && LABEL.test(text);
}

/** An RFC 1123 subdomain: labels with single dots between them, at most 253 characters in all. */
function isDnsSubdomain(text: string): boolean {
  return text.length <= MAX_APP && text.split(".").every(isDnsLabel);
}

function named(namespace: string, app: string): SessionName {
  if (!isDnsLabel(namespace)) {
    throw invalid(
      "the session's namespace must be a DNS label: 1 to 63 lower-case letters, digits and hyphens, " +
        "a hyphen neither first nor last",
    );
  }
  if (!isDnsSubdomain(app)) {
    throw invalid(
      "the session's app name must be a DNS name: lower-case letters, digits, hyphens and single dots, " +
        "at most 253 characters, each part 1 to 63 and without a hyphen first or last",
    );
  }
  return { namespace, app };
}

/**
 * The name in one `x-spark-session-id` value. Each string has at most one reading:
 * - with a "/": exactly one, `namespace/app`;
 * - with a "%": exactly one, and it is `%2F` (not `%2f`), read as "/";
 * - else it splits at its first ".": `namespace.app`. A namespace has no dots, the app may.
 * @throws GatewayError SESSION_KEY_INVALID
 */
export function parseSessionHeader(value: string): SessionName {
  if (value === "") throw invalid(`x-spark-session-id is empty; ${FORMS}, or leave it out`);
  if (value.includes(",")) throw invalid(`x-spark-session-id holds more than one value; send one; ${FORMS}`);
  if (value.length > MAX_LABEL + MAX_APP + 3) throw invalid(`x-spark-session-id is too long; ${FORMS}`);
  if (/[A-Z]/.test(value.replace("%2F", ""))) {
    throw invalid(`x-spark-session-id holds upper-case letters; ${FORMS}, in lower case`);
  }
  const separator = value.includes("/") ? "/" : value.includes("%") ? "%2F" : ".";
  const at = value.indexOf(separator);
  if (at < 0) throw invalid(`x-spark-session-id does not name a namespace and an app; ${FORMS}`);
  return named(value.slice(0, at), value.slice(at + separator.length));
}

/**
 * The name in a host `app--namespace.<domain>`, or undefined where the host is the domain itself or lies outside of it.
 * ASCII case, the port and one trailing dot make no difference. A name with "--" or dots in a part cannot be written so.
 * @param domain lower case, without leading or trailing dot
 * @throws GatewayError SESSION_KEY_INVALID for a host inside the domain of any other form, and for one that is too long to be a name
 */
export function parseSessionHost(host: string, domain: string): SessionName | undefined {
  // Before anything is searched in it: a client can send 60 KiB.
  if (host.length > MAX_HOST) throw invalid(`the host name is longer than ${MAX_HOST} characters`);
  const lower = host.replace(/[A-Z]/g, (c) => c.toLowerCase());
  const colon = lower.indexOf(":");
  const name = colon < 0 ? lower : lower.slice(0, colon);
  const bare = name.endsWith(".") ? name.slice(0, -1) : name;
  if (!`.${bare.replace(/\.+$/, "")}`.endsWith(`.${domain}`)) return undefined;
  const malformed = invalid(`the host name does not name a session; write it as <app>--<namespace>.${domain}`);
  if (bare.endsWith(".") || (colon >= 0 && !/^:\d{1,5}$/.test(lower.slice(colon)))) throw malformed;
  if (bare === domain) return undefined;
  const label = bare.slice(0, -domain.length - 1);
  const at = label.indexOf("--");
  if (at < 0 || at !== label.lastIndexOf("--") || !isDnsLabel(label)) throw malformed;
  const app = label.slice(0, at);
  const namespace = label.slice(at + 2);
  if (!isDnsLabel(app) || !isDnsLabel(namespace)) throw malformed;
  return { namespace, app };
}
