import { ensureTools, type OptionalTool, type Tools } from "../../deploy/local/tools.ts";

/** The pinned programs, installed where they are missing; progress goes to standard error. */
export async function testTools(...wanted: readonly OptionalTool[]): Promise<Tools> {
  return await ensureTools(wanted, (line) => void process.stderr.write(`${line}\n`));
}
