import { createServer } from "node:net";

/** Gives out addresses of a range in turn, so that one that was just given back is not used again at once. */
export interface AddressPool {
  /**
   * An address that is not in `used` and on which the port is free.
   * @throws Error saying why there is none
   */
  next(used: ReadonlySet<string>): Promise<string>;
}

const maxAttempts = 256;

export function createAddressPool(cidr: string, port: number, random: () => number = Math.random): AddressPool {
  const { first, count } = parseRange(cidr);
  let at = Math.floor(random() * count);
  return {
    async next(used) {
      let fault = "all are in use";
      for (let attempt = 0; attempt < Math.min(count, maxAttempts); attempt += 1) {
        const address = format(first + at);
        at = (at + 1) % count;
        if (used.has(address)) continue;
        const refused = await whyNotFree(address, port);
        if (refused === undefined) return address;
        fault = `${address}:${port}: ${refused}`;
      }
      throw new Error(`no free address in ${cidr} with port ${port} (${fault})`);
    },
  };
}

/** The host addresses of an IPv4 range: without its first and last one where it holds more than two. */
export function parseRange(cidr: string): { readonly first: number; readonly count: number } {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  const parts = match?.slice(1).map(Number) ?? [];
  const [a = 256, b = 256, c = 256, d = 256, bits = 33] = parts;
  if (bits > 32 || [a, b, c, d].some((part) => part > 255)) throw new Error(`"${cidr}" is not an IPv4 range`);
  const size = 2 ** (32 - bits);
  const base = Math.floor((a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d) / size) * size;
  return size > 2 ? { first: base + 1, count: size - 2 } : { first: base, count: size };
}

function format(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

async function whyNotFree(host: string, port: number): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}
