// SPDX-License-Identifier: Apache-2.0
/** What a device did by itself: reads and writes of memory, interrupts. */
import { part } from '../../abi/ioctl.js';
import { hex, hexBytes, hexWidth } from '../../abi/text.js';
import { irqIndexName } from '../../abi/vfio/irqs.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import { payloadBytes } from '../payloads.js';
import type { Description } from './description.js';
import { resultText } from './result.js';

const INTX = 0;
const AMBIGUOUS = 2;
/** By op, bits 0-7. */
const OPS = ['dma-read', 'dma-write', 'dma-fill', 'dma-held'];

/** The bytes that a DMA event moved. */
export function dmaBytes(event: Event): Uint8Array {
  const data = payloadBytes(event, PayloadRole.DATA);
  if (data !== undefined) return data;
  const bytes = new Uint8Array(event.result < 0n ? 0 : Number(event.result < 8n ? event.result : 8n));
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number((event.value >> BigInt(8 * i)) & 0xffn);
  return bytes;
}

export function describeDma(event: Event): Description {
  return event.kind === EventKind.DMA ? describeTransfer(event) : describeInterrupt(event);
}

function describeTransfer(event: Event): Description {
  const op = OPS[event.op & 0xff] ?? `dma-${event.op & 0xff}`;
  const bytes = dmaBytes(event);
  const parts = [part('iova', hex(event.offset), event.offset)];
  let text = `${op} ${hex(event.offset)}`;
  if (event.errno === 0) {
    text += ` ${event.result} bytes`;
    parts.push(part('bytes', String(event.result), event.result));
    if (bytes.length > 0)
      text += ` = ${event.result <= 8n ? hexWidth(event.value, bytes.length) : hexBytes(bytes)}`;
    if (((event.op >>> 8) & 0xff) === AMBIGUOUS) text += ' ambiguous';
  }
  return {
    op,
    text,
    result: event.errno === 0 ? undefined : resultText(event),
    parts,
    offset: event.offset,
    known: true,
  };
}

function describeInterrupt(event: Event): Description {
  const name = `${irqIndexName(event.op)}[${event.offset}]`;
  const level = event.op === INTX ? ` level=${event.value}` : '';
  return {
    op: 'interrupt',
    text: `interrupt ${name}${level}`,
    result: undefined,
    parts: [part('interrupt', name, name)],
    known: true,
  };
}
