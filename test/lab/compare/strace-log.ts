// SPDX-License-Identifier: Apache-2.0
import { type Call, type CallName, kindOfPath } from './calls.js';
import { ownCall } from './own-calls.js';

/**
 * How strace must be called for this parser. -i: the address of each system call tells the shim's own ones from those that
 * it forwards; -y: what each descriptor is; -X raw: numbers, not names; --seccomp-bpf: other calls run at full speed.
 */
export const straceOptions = [
  ...['-f', '--seccomp-bpf', '-i', '-y', '-X', 'raw', '-s', '0', '-e', 'signal=none'],
  '-e',
  `trace=${[
    ...['open', 'openat', 'openat2', 'creat', 'close', 'dup', 'dup2', 'dup3', 'fcntl', 'ioctl'],
    ...[
      'read',
      'write',
      'readv',
      'writev',
      'pread64',
      'pwrite64',
      'preadv',
      'pwritev',
      'preadv2',
      'pwritev2',
      'lseek',
    ],
    ...['mmap', 'munmap', 'mremap', 'eventfd', 'eventfd2', 'execve'],
  ].join(',')}`,
] as const;

export interface StraceLog {
  /** The driver's calls that are compared, in the order in which they were entered. */
  readonly calls: readonly Call[];
  /** Calls that the shim made for itself, counted by their entry in the published list. */
  readonly own: ReadonlyMap<string, number>;
  /** Calls from inside the shim that the list does not have. */
  readonly unpublished: readonly string[];
  /** Lines that could not be understood: none, or the comparison is not worth much. */
  readonly unknown: readonly string[];
}

interface Line {
  readonly thread: number;
  readonly address: bigint | undefined;
  readonly text: string;
  readonly number: number;
}

interface Span {
  readonly start: bigint;
  readonly end: bigint;
}

const shimName = /\/libvfiotape\.so$/;
/** The loader has system calls of its own, too: it makes them before anything is preloaded. */
const libcName = /\/(libc\.so\.6|ld-linux-x86-64\.so\.2)$/;

/** Reads a log that strace wrote with `straceOptions`. */
export function parseStraceLog(text: string): StraceLog {
  const calls: Call[] = [];
  const own = new Map<string, number>();
  const unpublished: string[] = [];
  const unknown: string[] = [];
  const shim: Span[] = [];
  const libc: Span[] = [];
  for (const line of completeLines(text, unknown)) {
    const parsed = parseCall(line.text);
    if (parsed === undefined) {
      unknown.push(`${line.number}: ${line.text}`);
      continue;
    }
    noteLibrary(parsed, shimName, shim);
    noteLibrary(parsed, libcName, libc);
    const inShim = line.address !== undefined && isWithin(line.address, shim);
    // A call that a signal interrupted and the kernel starts again: the driver made it once.
    if (parsed.result === undefined) continue;
    const call = toCall(parsed, line, parsed.result);
    // The shim has no VFIO descriptor of its own: what it does on one, it does for the driver's syscall(2).
    if (call !== undefined) {
      // Of a log without libc's mappings nothing is known.
      const past = libc.length > 0 && !inShim && !isWithin(line.address, libc);
      calls.push(past ? { ...call, pastLibc: true } : call);
    } else if (inShim) {
      const entry = ownCall(parsed.name, placeOf(parsed), descriptor(parsed.arguments[4]).fd === -1);
      if (entry === undefined) unpublished.push(`${line.number}: ${line.text}`);
      else own.set(entry, (own.get(entry) ?? 0) + 1);
    }
  }
  return { calls, own, unpublished, unknown };
}

/** Joins `<unfinished ...>` with what resumes it, and leaves out exits. In the order of entry. */
function completeLines(text: string, unknown: string[]): readonly Line[] {
  const lines: {
    thread: number;
    address: bigint | undefined;
    text: string;
    number: number;
    whole: boolean;
  }[] = [];
  const open = new Map<number, (typeof lines)[number]>();
  text.split('\n').forEach((raw, index) => {
    if (raw === '') return;
    const match = /^(\d+)\s+\[([0-9a-f]+|\?+)\] (.*)$/.exec(raw);
    const [, thread, address, rest] = match ?? [];
    if (thread === undefined || address === undefined || rest === undefined) {
      unknown.push(`${index + 1}: ${raw}`);
      return;
    }
    if (rest.startsWith('+++') || rest.startsWith('---')) return;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1];
    if (resumed !== undefined) {
      const begun = open.get(Number(thread));
      if (begun === undefined) {
        unknown.push(`${index + 1}: ${raw}`);
        return;
      }
      begun.text += resumed;
      begun.whole = true;
      open.delete(Number(thread));
      return;
    }
    const unfinished = /^(.*?) ?<unfinished \.\.\.>$/.exec(rest)?.[1];
    const line = {
      thread: Number(thread),
      address: address.startsWith('?') ? undefined : BigInt(`0x${address}`),
      text: unfinished ?? rest,
      number: index + 1,
      whole: unfinished === undefined,
    };
    lines.push(line);
    if (!line.whole) open.set(line.thread, line);
  });
  // What its thread did not live to see the end of was no completed call.
  return lines.filter(({ whole }) => whole);
}

interface Parsed {
  readonly name: string;
  readonly arguments: readonly string[];
  readonly result: bigint | undefined;
  /** What the returned descriptor is. */
  readonly resultPath: string | undefined;
  readonly error: string;
}

function parseCall(text: string): Parsed | undefined {
  const head = /^(\w+)\(/.exec(text);
  const name = head?.[1];
  if (name === undefined) return undefined;
  const split = splitArguments(text, name.length + 1);
  if (split === undefined) return undefined;
  const match = /^\s*= (\?|0x[0-9a-f]+|-?\d+)(?:<((?:[^>\\]|\\.)*)>)?(?: (E[A-Z0-9]+))?/.exec(
    text.slice(split.end),
  );
  const result = match?.[1];
  if (result === undefined) return undefined;
  return {
    name,
    arguments: split.parts,
    result: result === '?' ? undefined : BigInt(result),
    resultPath: match?.[2],
    error: match?.[3] ?? '',
  };
}

/** The arguments from `start` to the parenthesis that closes them; commas inside of strings, structures and paths don't count. */
function splitArguments(
  text: string,
  start: number,
): { readonly parts: string[]; readonly end: number } | undefined {
  const parts: string[] = [];
  let depth = 0;
  let from = start;
  for (let i = start; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++;
    } else if (c === '<' && /\d/.test(text[i - 1] ?? '')) {
      for (i++; i < text.length && text[i] !== '>'; i++) if (text[i] === '\\') i++;
    } else if (c === '(' || c === '[' || c === '{') {
      depth++;
    } else if (c === ')' && depth === 0) {
      if (i > start) parts.push(text.slice(from, i).trim());
      return { parts, end: i + 1 };
    } else if (c === ')' || c === ']' || c === '}') {
      depth--;
    } else if (c === ',' && depth === 0) {
      parts.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  return undefined;
}

interface Descriptor {
  readonly fd: number;
  readonly path: string;
}

function descriptor(argument: string | undefined): Descriptor {
  const match = /^(-?\d+)(?:<(.*)>)?$/.exec(argument ?? '');
  return { fd: Number(match?.[1] ?? -1), path: match?.[2] ?? '' };
}

function integer(argument: string | undefined): bigint {
  const match = /^(-?)(0x[0-9a-f]+|\d+)/.exec(argument ?? '');
  const value = BigInt(match?.[2] ?? 0);
  return match?.[1] === '-' ? -value : value;
}

/** The pieces of a library, as the loader maps them. */
function noteLibrary({ name, arguments: args, result }: Parsed, library: RegExp, spans: Span[]): void {
  if (name !== 'mmap' || result === undefined || result <= 0n) return;
  if (library.test(descriptor(args[4]).path)) spans.push({ start: result, end: result + integer(args[1]) });
}

/** True also of an address that strace could not tell. */
function isWithin(address: bigint | undefined, spans: readonly Span[]): boolean {
  return address === undefined || spans.some(({ start, end }) => address >= start && address < end);
}

/** The file that a call was made on, or tried to open. */
function placeOf({ name, arguments: args, resultPath }: Parsed): string {
  switch (name) {
    case 'open':
      return resultPath ?? unquote(args[0]);
    case 'openat':
      return resultPath ?? unquote(args[1]);
    case 'mmap':
      return descriptor(args[4]).path;
    default:
      return descriptor(args[0]).path;
  }
}

const MAP_FLAGS_SHIFT = 8n;
/** Decimal in -X raw: 0 F_DUPFD, 1030 F_DUPFD_CLOEXEC of fcntl.h. */
const duplications: ReadonlySet<bigint> = new Set([0n, 1030n]);

function toCall(parsed: Parsed, line: Line, result: bigint): Call | undefined {
  const { arguments: args, name, error } = parsed;
  const make = (call: CallName, { fd, path }: Descriptor, request = 0n, offset = 0n): Call | undefined => {
    const kind = kindOfPath(path);
    return kind === undefined
      ? undefined
      : {
          thread: line.thread,
          name: call,
          kind,
          fd,
          request,
          offset,
          result,
          error,
          where: `line ${line.number}`,
        };
  };
  const opened = (path: string | undefined, flags: string | undefined): Call | undefined =>
    make('open', { fd: Number(result), path: parsed.resultPath ?? unquote(path) }, integer(flags));
  const first = descriptor(args[0]);
  const vector = (): bigint =>
    [...(args[1] ?? '').matchAll(/iov_len=(\d+)/g)].reduce(
      (sum, [, length]) => sum + BigInt(length ?? 0),
      0n,
    );
  switch (name) {
    case 'open':
      return opened(args[0], args[1]);
    case 'openat':
      return opened(args[1], args[2]);
    case 'creat':
      return undefined;
    case 'close':
      return make('close', first);
    case 'dup':
    case 'dup2':
    case 'dup3':
      return make('dup', first);
    case 'fcntl':
      return duplications.has(integer(args[1])) ? make('dup', first) : undefined;
    case 'ioctl':
      return make('ioctl', first, integer(args[1]));
    case 'read':
      return make('read', first, integer(args[2]));
    case 'write':
      return make('write', first, integer(args[2]));
    case 'readv':
    case 'preadv':
    case 'preadv2':
      return make('read', first, vector(), integer(args[3]));
    case 'writev':
    case 'pwritev':
    case 'pwritev2':
      return make('write', first, vector(), integer(args[3]));
    case 'pread64':
      return make('read', first, integer(args[2]), integer(args[3]));
    case 'pwrite64':
      return make('write', first, integer(args[2]), integer(args[3]));
    case 'mmap':
      return make(
        'mmap',
        descriptor(args[4]),
        integer(args[2]) | (integer(args[3]) << MAP_FLAGS_SHIFT),
        integer(args[5]),
      );
    case 'eventfd':
      return make('eventfd', { fd: Number(result), path: 'anon_inode:[eventfd]' }, 0n, integer(args[0]));
    case 'eventfd2':
      return make(
        'eventfd',
        { fd: Number(result), path: 'anon_inode:[eventfd]' },
        integer(args[1]),
        integer(args[0]),
      );
    default:
      return undefined;
  }
}

function unquote(argument: string | undefined): string {
  return (argument ?? '').replace(/^"(.*)"$/, '$1');
}
