// SPDX-License-Identifier: Apache-2.0
import { decodeIoctl, type Part, rawParts } from '../../abi/ioctl.js';
import { objectKindName } from '../../abi/object-kinds.js';
import { hex } from '../../abi/text.js';
import { type Event, EventFlag } from '../../traces/model.js';
import { ioctlCall } from '../payloads.js';
import type { Session } from '../state.js';
import type { Description } from './description.js';
import { resultText } from './result.js';

/** ` a=1 b=2 -> c=3`: what went in, then what came out. */
export function partsText(parts: readonly Part[]): string {
  let before = '';
  let after = '';
  for (const { name, text, out } of parts) {
    if (out) after += ` ${name}=${text}`;
    else before += ` ${name}=${text}`;
  }
  return after === '' ? before : `${before} ->${after}`;
}

/** The name that a filter's `op` compares with, without decoding the call. */
export function ioctlName(session: Session, event: Event): string {
  return session.ioctl(event.object, event.op)?.name ?? `ioctl ${hex(event.op)}`;
}

export function describeIoctl(session: Session, event: Event): Description {
  const kind = session.names.kind(event.object);
  const ioctl = session.ioctl(event.object, event.op);
  const call = ioctlCall(event);
  const parts = ioctl === undefined ? rawParts(call) : decodeIoctl(ioctl, call);
  const op = ioctl?.name ?? `ioctl ${hex(event.op)}`;
  let text =
    ioctl === undefined
      ? `${op} on ${objectKindName(kind)} (unknown)${partsText(parts)}`
      : op + partsText(parts);
  if (event.payloads.some(({ cut }) => cut)) text += ' (cut)';
  if ((event.flags & EventFlag.RAW) !== 0) text += ' (raw)';
  const result = resultText(event, (value) => (ioctl?.returns === 'fd' ? `fd ${value}` : String(value)));
  return { op, text, result, parts, known: ioctl !== undefined };
}
