// SPDX-License-Identifier: Apache-2.0
/** The fields of a filter expression: what each compares with, and the words of `--help`. */
import { ioctlNames } from '../../abi/ioctls.js';
import { errnoNumber } from '../../abi/linux/errno.js';
import { kindNames, kindNumber } from '../describe/kinds.js';
import type { FilterSubject } from './subject.js';

export type Field =
  | {
      readonly type: 'number';
      readonly help: string;
      readonly get: (subject: FilterSubject) => number | bigint;
      /** Undefined when the word is no value of this field. */
      readonly parse: (text: string) => number | bigint | undefined;
      readonly expects: string;
    }
  | {
      readonly type: 'text';
      readonly help: string;
      /** Each is compared: equal when one of them is. */
      readonly get: (subject: FilterSubject) => readonly string[];
      /** Words that a value must be one of, where there is a closed list; a close one is suggested. */
      readonly values?: () => readonly string[];
    };

const TIME_UNITS: Readonly<Record<string, number>> = { '': 1, ns: 1, us: 1e3, ms: 1e6, s: 1e9 };
const SIZE_UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  K: 1n << 10n,
  M: 1n << 20n,
  G: 1n << 30n,
  T: 1n << 40n,
};

/** Any 64-bit number, signed or not, and 4K, 2M. */
export function parseInteger(text: string): bigint | undefined {
  const match = /^(-?)(0x[0-9a-f]{1,16}|\d{1,20})([KMGT]?)$/i.exec(text);
  if (match === null) return undefined;
  const [, sign, digits, unit] = match;
  const value = BigInt(digits as string) * (SIZE_UNITS[(unit as string).toUpperCase()] as bigint);
  return sign === '-' ? -value : value;
}

/** Nanoseconds; 1.5ms, 200us. */
export function parseTime(text: string): number | undefined {
  const match = /^(\d{1,18}(?:\.\d{1,12})?)(ns|us|ms|s)?$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * (TIME_UNITS[match[2] ?? ''] as number);
}

const integer = { parse: parseInteger, expects: 'a number' } as const;
const time = { parse: parseTime, expects: 'a time such as 1.5ms, 200us or 80ns' } as const;

function number(
  help: string,
  get: (subject: FilterSubject) => number | bigint,
  how: typeof integer | typeof time = integer,
): Field {
  return { type: 'number', help, get, ...how };
}

export const FIELDS: Readonly<Record<string, Field>> = {
  kind: {
    type: 'number',
    help: `kind of event: ${kindNames().join(', ')}`,
    get: (subject) => subject.kind,
    parse: kindNumber,
    expects: `one of ${kindNames().join(', ')}`,
  },
  op: {
    type: 'text',
    help: 'name of the call: VFIO_DEVICE_SET_IRQS, read, mmap, …',
    get: (subject) => [subject.op],
    values: () => [...ioctlNames(), ...kindNames()],
  },
  object: {
    type: 'text',
    help: 'device0, its address 0000:00:04.0, container0, or a kind of object: device, group, eventfd, …',
    get: (subject) => {
      const name = subject.objectName;
      const label = subject.objectLabel;
      return [name, label, label.slice(name.length + 1), name.replace(/\d+$/, '')];
    },
  },
  region: {
    type: 'text',
    help: 'BAR0 … BAR5, ROM, config, VGA',
    get: (subject) => optional(subject.description.region),
  },
  offset: number('offset in the region; elsewhere the file offset or address', (subject) => subject.offset),
  register: {
    type: 'text',
    help: 'name of a register that was touched: Command, PCIe.DevCtl, …',
    get: (subject) => subject.description.registers?.map(({ name }) => name) ?? [],
  },
  value: number('value read or written; an ioctl’s argument', (subject) => subject.value),
  result: number('what the call returned', (subject) => subject.result),
  errno: {
    type: 'number',
    help: 'EINVAL, ENOTTY, …; 0 when the call succeeded',
    get: (subject) => subject.errno,
    parse: (text) => errnoNumber(text.toUpperCase()) ?? parseInteger(text),
    expects: 'an errno such as EINVAL, or a number',
  },
  fd: number('descriptor', (subject) => subject.fd),
  interrupt: {
    type: 'text',
    help: 'what an eventfd stands for: ~ MSIX[2]',
    get: (subject) =>
      subject.description.parts.filter(({ name }) => name === 'interrupt').map(({ text }) => text),
  },
  thread: {
    type: 'text',
    help: 'thread id, or name',
    get: (subject) => [String(subject.tid), subject.threadName],
  },
  process: number('process id', (subject) => subject.pid),
  time: number(
    'since the start of the recording, of the call’s entry: 1.5ms, 200us',
    (subject) => subject.time,
    time,
  ),
  duration: number('of the call: 80ns, 1ms', (subject) => subject.duration, time),
  number: number('number of the event', (subject) => subject.number),
  site: {
    type: 'text',
    help: 'call site: ~ qemu-img, ~ nvme_poll, ~ nvme.c:12',
    get: (subject) => subject.site,
  },
  text: {
    type: 'text',
    help: 'the decoded call, as shown: ~ MASTER=1',
    get: (subject) => [subject.description.text],
  },
};

function optional(value: string | undefined): readonly string[] {
  return value === undefined ? [] : [value];
}
