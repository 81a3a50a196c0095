/**
 * The greatest length of each text in an audit record, in UTF-16 units. Longer values are cut and end in "…", so that no
 * caller can fill the disk or hide a record behind a long one.
 */
export const auditLimits = {
  decision_id: 64,
  request_id: 128,
  source_address: 64,
  method: 200,
  reason: 64,
  message: 1000,
  issuer: 512,
  subject: 256,
  user: 256,
  group: 128,
  team: 128,
  token_fingerprint: 64,
  session: 320,
  driver: 256,
  driver_uid: 128,
  user_id: 512,
  claimed_user_id: 200,
  connect_session: 128,
  operation_id: 128,
  owner: 512,
} as const;

/** How many of the caller's groups a record names. */
export const auditGroups = 64;
