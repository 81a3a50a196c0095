import { BlockList, isIP } from "node:net";
import type { Pod } from "./objects.ts";

/**
 * What no pod has for its own: unspecified, link-local (with it the clouds' metadata servers), multicast, reserved. Loopback
 * is not here: only kubelet writes a pod's status, and on a single machine it may well give such addresses.
 */
const nobodys = new BlockList();
nobodys.addSubnet("0.0.0.0", 8);
nobodys.addSubnet("169.254.0.0", 16);
nobodys.addSubnet("224.0.0.0", 3);
nobodys.addSubnet("::", 128, "ipv6");
nobodys.addSubnet("fe80::", 10, "ipv6");
nobodys.addSubnet("ff00::", 8, "ipv6");
// The metadata server of one cloud.
nobodys.addAddress("fd00:ec2::254", "ipv6");

/**
 * Where a pod listens, as an IP address; undefined while it has none, or none to which calls with a token may be sent. A
 * name would be looked up, wherever it leads.
 */
export function podAddress(pod: Pod | undefined): string | undefined {
  const address: unknown = pod?.status?.podIP;
  if (typeof address !== "string") return undefined;
  const version = isIP(address);
  if (version === 0 || address.includes("%")) return undefined;
  return nobodys.check(address, version === 6 ? "ipv6" : "ipv4") ? undefined : address;
}
