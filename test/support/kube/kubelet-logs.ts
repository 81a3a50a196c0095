import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { ensureCertificates } from "../../../deploy/local/certificates.ts";

export interface ContainerName {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** The log of the container before the last restart. */
  readonly previous: boolean;
}

export interface LogEndpoint {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * The one address of a kubelet that the API server needs for `pods/<name>/log`: `/containerLogs/<namespace>/<pod>/<container>`.
 * Understands `tailLines`, `limitBytes` and `previous`; a log is never followed.
 * @param folder for a certificate of its own, which the API server does not check
 * @param find the log's file, or why there is none
 */
export async function startLogEndpoint(
  folder: string,
  find: (name: ContainerName) => { readonly file: string } | { readonly fault: string },
): Promise<LogEndpoint> {
  const { certFile, keyFile } = await ensureCertificates(folder);
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
    const url = new URL(request.url ?? "/", "https://kubelet");
    const [, root, namespace = "", pod = "", container = ""] = url.pathname.split("/").map(decodeURIComponent);
    if (root !== "containerLogs") return void response.writeHead(404).end();
    const found = find({ namespace, pod, container, previous: url.searchParams.get("previous") === "true" });
    if ("fault" in found) return void response.writeHead(400).end(found.fault);
    response.writeHead(200, { "content-type": "text/plain" }).end(part(readText(found.file), url.searchParams));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** The last lines, and of these the first bytes: the order of a kubelet. */
function part(text: string, query: URLSearchParams): Buffer {
  const [tail, limit] = [query.get("tailLines"), query.get("limitBytes")];
  const lines = text.split(/(?<=\n)/);
  const kept = tail === null ? text : lines.slice(Math.max(0, lines.length - Number(tail))).join("");
  const bytes = Buffer.from(kept);
  return limit === null ? bytes : bytes.subarray(0, Number(limit));
}
