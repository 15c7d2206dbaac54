// SPDX-License-Identifier: Apache-2.0
/** Processes, threads, how they come and go, and what the recorder says of itself. */
import { type Part, part } from '../../abi/ioctl.js';
import { signalCode, signalName } from '../../abi/linux/signals.js';
import { reasonText, tierName } from '../../abi/mmio-sites.js';
import { escapeText, hex, hexBytes, size, textOf } from '../../abi/text.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import { payloadBytes, payloadOf } from '../payloads.js';
import type { Session } from '../state.js';
import type { Description } from './description.js';
import { resultText } from './result.js';

const ARGUMENTS_SHOWN = 32;
const forks = ['fork', 'vfork', 'clone', 'posix_spawn'] as const;
const losses = [
  'ring full',
  'no ring',
  'no collector',
  'payload ring full',
  'descriptor table',
  'internal',
] as const;

function said(op: string, text: string, parts: readonly Part[], result?: string): Description {
  return { op, text: text === '' ? op : `${op} ${text}`, result, parts, known: true };
}

/** A number where one holds it exactly. */
function exact(value: bigint): number | bigint {
  return value <= 0xffff_ffffn ? Number(value) : value;
}

function nulSeparated(bytes: Uint8Array): readonly string[] {
  const words = new TextDecoder().decode(bytes).split('\0');
  if (words[words.length - 1] === '') words.pop();
  return words;
}

function commandText(words: readonly string[]): string {
  const shown = words.slice(0, ARGUMENTS_SHOWN).map((word) => {
    const safe = escapeText(word);
    return safe === '' || /[\s'"]/.test(safe) ? `'${safe}'` : safe;
  });
  return `${shown.join(' ')}${words.length > ARGUMENTS_SHOWN ? ' …' : ''}`;
}

export function describeProcess(session: Session, event: Event): Description {
  switch (event.kind) {
    case EventKind.THREAD: {
      const name = payloadOf(event, PayloadRole.NAME);
      const text =
        name === undefined ? (session.definitions.threads.get(event.thread)?.name ?? '') : textOf(name);
      const pid = exact(event.offset);
      const tid = exact(event.value);
      return said('thread', `pid=${pid} tid=${tid}${text === '' ? '' : ` ${escapeText(text)}`}`, [
        part('pid', String(pid), pid),
        part('tid', String(tid), tid),
        part('name', escapeText(text), text),
      ]);
    }
    case EventKind.PROCESS: {
      const definition = session.definitions.processes.get(session.processOf(event));
      const recorded = payloadOf(event, PayloadRole.ARGV);
      const argv = recorded === undefined ? (definition?.argv ?? []) : nulSeparated(recorded);
      const exe = payloadOf(event, PayloadRole.EXE);
      const path = exe === undefined ? escapeText(definition?.exe ?? '') : textOf(exe);
      const pid = exact(event.offset);
      const text = `pid=${pid} parent=${event.value}${path === '' ? '' : ` exe=${path}`} ${commandText(argv)}`;
      return said('process', text.trimEnd(), [
        part('pid', String(pid), pid),
        part('exe', path, path),
        part('argv', commandText(argv), [...argv]),
      ]);
    }
    case EventKind.CLOCK:
      return said('clock', `monotonic=${event.offset} realtime=${event.value}`, [
        part('monotonic', String(event.offset), event.offset),
        part('realtime', String(event.value), event.value),
      ]);
    case EventKind.SIGNAL: {
      const code = Number(BigInt.asIntN(32, event.value));
      const name = signalName(event.op);
      return said('signal', `${name} ${signalCode(event.op, code)} at ${hex(event.offset)}`, [
        part('signal', name, event.op),
        part('code', signalCode(event.op, code), code),
        part('address', hex(event.offset), event.offset),
      ]);
    }
    case EventKind.EXIT:
      return said('exit', `status=${event.op}`, [part('status', String(event.op), event.op)]);
    case EventKind.EXEC: {
      const path = textOf(payloadOf(event, PayloadRole.PATH) ?? new Uint8Array(0));
      const result = event.errno === 0 ? undefined : resultText(event);
      return said('exec', path, [part('path', path, path)], result);
    }
    case EventKind.FORK:
      return said(
        forks[event.op] ?? 'fork',
        '',
        [],
        resultText(event, (pid) => `pid ${pid}`),
      );
    case EventKind.LOST: {
      const cause = losses[event.op] ?? `cause ${event.op}`;
      return said('lost', `${event.value} events, ${size(event.result)} bytes: ${cause}`, [
        part('events', String(event.value), event.value),
        part('bytes', String(event.result), event.result),
        part('cause', cause, cause),
      ]);
    }
    default: {
      const bytes = payloadBytes(event, PayloadRole.IN);
      const tier = Number(BigInt.asUintN(32, event.value));
      const tierText = tierName(tier);
      const reason = reasonText(event.op);
      const code = bytes === undefined ? '' : ` bytes=${hexBytes(bytes)}`;
      return said('site', `${tierText}${reason === '' ? '' : ` (${reason})`}${code}`, [
        part('address', hex(event.offset), event.offset),
        part('tier', tierText, tier),
        ...(reason === '' ? [] : [part('reason', reason, event.op)]),
        ...(bytes === undefined ? [] : [part('bytes', hexBytes(bytes), hexBytes(bytes, 64))]),
      ]);
    }
  }
}
