import { freePort } from "../../deploy/local/ports.ts";

/** Loopback addresses and a port that nobody else uses, for drivers of one test. */
export async function driverAddresses(): Promise<{ readonly addressPool: string; readonly port: number }> {
  const byte = () => 1 + Math.floor(Math.random() * 250);
  return { addressPool: `127.${100 + (byte() % 100)}.${byte()}.0/24`, port: await freePort() };
}
