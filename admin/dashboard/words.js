// Adit's labels in words. What is not listed is shown as it is, blanks for underscores.

import { capital } from "./format.js";

const WORDS = {
  // Reject classes.
  stale: ["Too late", "The share was for a job that the pool had replaced already"],
  duplicate: ["Sent twice", "The same share was sent before"],
  low_difficulty: ["Not hard enough", "The share does not reach the difficulty that was asked for"],
  unauthorized: ["Unknown worker", "The pool does not accept this worker's name"],
  not_subscribed: ["Not subscribed", "The miner sent a share before its handshake was over"],
  time: ["Wrong time", "The time in the share is too far from the job's"],
  version: ["Wrong version", "The share changes version bits that the pool does not allow"],
  other: ["Other", "Any other reason; the pool's own words say more"],
  unanswered: ["No answer", "The pool gave no verdict in time, or the connection ended before it came"],
  // States of a pool.
  up: ["Up", "It works; miners are sent there"],
  degraded: ["With faults", "It works, but not well; miners are still sent there"],
  down: ["Down", "It does not work; miners are not sent there"],
  half_open: ["Trying again", "It was down; one probe finds out whether it works again"],
  disabled: ["Switched off", "An operator switched it off"],
  draining: ["Draining", "An operator drains it: no new miner is sent there, and those that can be moved without a reconnect leave"],
  // States of a worker.
  online: ["Online", "At least one connection is open under this name"],
  offline: ["Offline", "No connection is open under this name"],
  // Why miners leave.
  miner_closed: ["the miner closed it"],
  miner_broken: ["the miner's network broke"],
  miner_not_reading: ["the miner did not read"],
  first_request_timeout: ["the miner said nothing"],
  subscribe_timeout: ["the miner never subscribed"],
  authorize_timeout: ["the miner gave no name"],
  miner_idle: ["the miner was silent for too long"],
  miner_line_too_long: ["the miner sent a line that is too long"],
  miner_bad_line: ["the miner sent something unreadable"],
  tls_on_plain_port: ["TLS on a port without TLS"],
  http_on_plain_port: ["HTTP on the miners' port"],
  not_stratum: ["it did not speak Stratum"],
  foreign_coin: ["a miner for another coin"],
  pool_closed: ["the pool closed it"],
  pool_broken: ["the network to the pool broke"],
  pool_not_reading: ["the pool did not read"],
  pool_unreachable: ["the pool could not be reached"],
  pool_connect_timeout: ["connecting to the pool took too long"],
  pool_silent: ["the pool was silent for too long"],
  pool_line_too_long: ["the pool sent a line that is too long"],
  pool_garbage: ["the pool sent something unreadable"],
  pool_gave_no_job: ["the pool gave no job in time"],
  held_too_much: ["too much waited for the pool"],
  no_pool: ["no pool could be used"],
  dismissed: ["an operator closed it"],
  stopping: ["Adit is stopping"],
  panicked: ["a mistake in Adit; see its log"],
  // Drills.
  completed: ["completed"],
  cancelled: ["ended by an operator"],
  aborted: ["cut short by a failure"],
  stopped: ["cut short, as Adit stopped"],
  // Bounds.
  connections: ["Connections"],
  connection_limit: ["connections in all"],
  address_limit: ["connections from one address"],
};

/** A label in words. */
export const word = (label) => WORDS[label]?.[0] ?? String(label).replaceAll("_", " ");

/** What it means, if there is more to say. */
export const meaning = (label) => WORDS[label]?.[1];

/** The same, to begin a line. */
export const title = (label) => capital(word(label));

/** What to do about a reason that /health gives. */
export function advice(reason) {
  const known = [
    [/^no usable pool/, "Miners have nowhere to work. Look at the pools below: network, address, account."],
    [/^pool /, "Its miners are sent to the other pools, if there are any."],
    [/shards? alive$/, "A serving thread hangs or ended. Its log says why; a restart helps."],
    [/^draining/, "Adit lets no miner in any more and stops when the last shares have their verdict."],
    [/^no new miners/, "Miners connected already go on."],
    [/^the ledger cannot be written/, "Miners go on; shares are only counted until it works again. Is the disk full?"],
    [/^rows wait/, "The disk is slow; nothing is lost while the queue has room."],
    [/^(connections|descriptors|memory|ledger queue):/, "At the bound, further ones are refused."],
  ];
  return known.find(([pattern]) => pattern.test(reason))?.[1] ?? "";
}
