/** The verified caller. Built only from claims of a token whose signature, issuer, audience and times were checked. */
export interface Principal {
  /** `iss`, the issuer's URL. */
  readonly issuer: string;
  /** The issuer's short name in the configuration: unique per issuer, a DNS label (no "@"). */
  readonly issuerName: string;
  /** `sub`, unique within the issuer. */
  readonly subject: string;
  /** The display name, from a configurable claim. Never decides ownership: two issuers may both have an "alice". */
  readonly user: string;
  readonly groups: readonly string[];
  readonly team: string | undefined;
  /** The first 16 hex digits of the token's SHA-256: finds a token's uses in the audit without being the token. */
  readonly tokenFingerprint: string;
  /** `exp`, in milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Who owns things and whom the driver sees as `user_id`: derived from issuer and subject only. The issuer's name holds
 * no "@", so the last "@" splits it without doubt.
 */
export function ownerId(principal: Pick<Principal, "issuerName" | "subject">): string {
  return `${principal.subject}@${principal.issuerName}`;
}
