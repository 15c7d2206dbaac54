// SPDX-License-Identifier: Apache-2.0
import type { IoctlCall } from '../abi/ioctl.js';
import { type Event, EventKind, PayloadRole } from '../traces/model.js';

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

/** Some of its bytes are not those that were recorded: a secret that the recorder left out, or what `scrub` did. */
export function isRedacted(event: Event): boolean {
  return event.payloads.length > 0 && event.payloads.some(({ redacted }) => redacted);
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
    redacted: isRedacted(event),
  };
}

/** The bytes that a read or write moved; of a write that failed, those that it was given. */
export function movedBytes(event: Event): Uint8Array {
  const length = Math.max(0, Number(event.errno === 0 ? event.result : BigInt(event.op)));
  if (event.kind === EventKind.READ && event.errno !== 0) return new Uint8Array(0);
  const data = payloadBytes(event, PayloadRole.DATA);
  if (data !== undefined) return data.subarray(0, length);
  const bytes = new Uint8Array(Math.min(length, 8));
  let rest = event.value;
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}
