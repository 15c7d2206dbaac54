// SPDX-License-Identifier: Apache-2.0
import type { IoctlCall } from '../abi/ioctl.js';
import { type Event, PayloadRole } from '../traces/model.js';

export function payloadOf(event: Event, role: number): Uint8Array | undefined {
  for (const payload of event.payloads) if (payload.role === role && !payload.fault) return payload.data;
  return undefined;
}

/** All bytes of a role: readv has a segment for each vector. */
export function payloadBytes(event: Event, role: number): Uint8Array | undefined {
  const found = event.payloads.filter((payload) => payload.role === role);
  if (found.length <= 1) return found[0]?.data;
  const bytes = new Uint8Array(found.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of found) {
    bytes.set(data, at);
    at += data.length;
  }
  return bytes;
}

export function ioctlCall(event: Event): IoctlCall {
  return {
    argument: event.value,
    result: event.result,
    errno: event.errno,
    before: payloadOf(event, PayloadRole.IN),
    after: payloadOf(event, PayloadRole.OUT),
    pointedBefore: payloadOf(event, PayloadRole.POINTED),
    pointedAfter: payloadOf(event, PayloadRole.POINTED_OUT),
    fault: event.payloads.some(({ fault }) => fault),
    redacted: event.payloads.some(({ redacted }) => redacted),
  };
}
