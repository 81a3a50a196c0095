/**
 * The development issuer's process. It reads its options as one JSON line from standard input, so that nothing about it
 * shows in the process list, answers with one JSON line `{"url", "port"}`, and ends with SIGTERM or when standard input
 * closes: it never outlives whoever started it.
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { IssuerOptions } from "./issuer-options.ts";
import { startIssuer } from "./issuer-provider.ts";

const input = createInterface({ input: process.stdin });
const [line] = (await once(input, "line")) as [string];
const issuer = await startIssuer(JSON.parse(line) as IssuerOptions);
process.stdout.write(`${JSON.stringify({ url: issuer.url, port: issuer.port })}\n`);

const asked = new AbortController();
const over = { signal: asked.signal };
await Promise.race([once(process, "SIGTERM", over), once(process, "SIGINT", over), once(input, "close", over)]);
await issuer.close();
process.exit(0);
