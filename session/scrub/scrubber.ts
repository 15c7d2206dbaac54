// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import { EVENTFD, isDevice, LYON_NETLINK } from '../../abi/object-kinds.js';
import { ROM_REGION } from '../../abi/vfio/regions.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import { type Event, EventKind, type Payload, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { Amended } from '../copy-events.js';
import { Intervals } from '../intervals.js';
import { payloadBytes } from '../payloads.js';
import { Session, STATE_KINDS } from '../state.js';
import { AddressMap, visitAddresses } from './addresses.js';
import { hideIdentity } from './identity.js';
import { NameSearch } from './name-search.js';
import { addressesIn, commonPath, fileName } from './names.js';

const NOTHING = new Uint8Array();
const VGA_REGION = 8;
/** Whose pointers lead to what VFIO itself defines, ranges of IOVAs: the others' lead anywhere. */
const POINTED_KEPT: ReadonlySet<string> = new Set([
  'IOMMU_IOAS_ALLOW_IOVAS',
  'IOMMU_IOAS_IOVA_RANGES',
  'VFIO_DEVICE_FEATURE',
]);

interface Range {
  readonly start: bigint;
  readonly length: bigint;
}
const part = (_: Range, start: bigint, length: bigint): Range => ({ start, length });

/** How often something was left out, and how many bytes of it. */
export type Withheld = ReadonlyMap<string, { readonly count: number; readonly bytes: number }>;

/** What becomes of each name, address and payload; counts what it leaves out. */
export class Scrubber {
  readonly withheld = new Map<string, { count: number; bytes: number }>();
  readonly #names = new Set<string>();
  readonly addresses = new AddressMap();
  readonly iovas = new Intervals<Range>();
  /** What of names was kept. */
  readonly #kept = new Set<string>();
  events = 0;
  readonly #trace: Trace;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  /** Once through the trace: where the process had memory. */
  look(): void {
    const session = new Session(this.#trace.definitions, (change) => {
      if (change.type === 'dma-map' && change.length > 0n)
        this.iovas.add({ start: change.start, length: change.length }, part);
    });
    const see = (address: bigint, length: bigint): bigint => {
      this.addresses.see(address, length);
      return address;
    };
    for (const batch of this.#trace.batches()) {
      for (let row = batch.begin; row < batch.end; row++) {
        if (!LOOKED_AT.has(batch.kind[row] as number) && !batch.payloads.has(row)) continue;
        const event = eventOfRow(this.#trace, batch, row);
        visitAddresses(event, session.ioctl(event.object, event.op), see);
        if (STATE_KINDS.includes(event.kind)) session.apply(event);
      }
    }
    for (const { start, end } of this.#trace.definitions.modules.values())
      this.addresses.see(start, end > start ? end - start : 1n);
    for (const { address } of this.#trace.definitions.sites.values()) this.addresses.see(address, 1n);
  }

  /** Those of which nothing that was kept has a part by chance. */
  namesGone(): readonly string[] {
    const byChance = new NameSearch([...this.#names]).in(Buffer.from([...this.#kept].join('\0')));
    return [...this.#names].filter((name) => !byChance.has(name));
  }

  #keep(name: string): string {
    this.#kept.add(name);
    return name;
  }

  /** A name that is not kept. */
  drop(name: string): string {
    if (name === '') return '';
    this.#names.add(name);
    this.#count('names, paths and arguments', name.length);
    return '';
  }

  /** Of a path what is the same on every machine. */
  path(path: string): string {
    const kept = commonPath(path);
    return kept === path ? this.#keep(path) : this.drop(path);
  }

  /** Of a program's path its last part, or all where a distribution put it. */
  program(path: string): string {
    const kept = fileName(path);
    if (kept !== path) this.drop(path);
    return this.#keep(kept);
  }

  /** What the kernel makes of the program's name, unless the driver says otherwise, is nothing new. */
  thread(name: string, program: string): string {
    return basename(program).startsWith(name) ? this.#keep(name) : this.drop(name);
  }

  /** Of a command line the program, and which devices it names. */
  words([program = '', ...rest]: readonly string[]): readonly string[] {
    return [
      this.program(program),
      ...rest.flatMap((word) => {
        const kept = addressesIn(word);
        if (kept[0] !== word) this.drop(word);
        return kept.map((address) => this.#keep(address));
      }),
    ];
  }

  config(bytes: Uint8Array, lookup: Parameters<typeof hideIdentity>[0]): Uint8Array {
    const kept = bytes.slice();
    if (hideIdentity(lookup, 0, kept)) this.#count('serial numbers and MAC addresses', 0);
    return kept;
  }

  readonly #move = (address: bigint): bigint => this.addresses.move(address);

  amend(recorded: Event, session: Session): Amended {
    this.events++;
    const moved = visitAddresses(recorded, session.ioctl(recorded.object, recorded.op), this.#move);
    return { ...moved, ...this.#withoutContents({ ...recorded, ...moved }, session) };
  }

  #withoutContents(event: Event, session: Session): Amended {
    switch (event.kind) {
      case EventKind.LOAD:
      case EventKind.STORE:
      case EventKind.UPDATE:
        return this.#access(event, session);
      case EventKind.READ:
      case EventKind.WRITE:
        return this.#transfer(event, session);
      case EventKind.DMA:
        return event.errno === 0 ? this.#contents(event, 'contents of DMA memory', Number(event.result)) : {};
      case EventKind.IOCTL:
        return this.#ioctl(event, session);
      case EventKind.THREAD:
      case EventKind.PROCESS:
      case EventKind.OPEN:
      case EventKind.UNSEEN:
      case EventKind.EXEC:
        return { payloads: event.payloads.map((payload) => this.#named(event, payload)) };
      case EventKind.EXIT:
        return { payloads: event.payloads.map((payload) => this.#withhold(payload, 'memory maps')) };
      case EventKind.MMAP:
      case EventKind.MUNMAP:
      case EventKind.MREMAP:
      case EventKind.MPROTECT:
      case EventKind.MADVISE:
      case EventKind.SIGNAL:
      case EventKind.SITE:
        return {};
      case EventKind.CLOCK:
      case EventKind.CLOSE:
      case EventKind.DUP:
      case EventKind.LSEEK:
      case EventKind.EVENTFD:
      case EventKind.WAKE:
      case EventKind.FORK:
      case EventKind.SEND_FD:
      case EventKind.RECV_FD:
      case EventKind.LOST:
      case EventKind.INTERRUPT:
        return {};
      default:
        // A newer recorder's: nobody here knows what it holds.
        this.#count('events of a kind that is not known', 0);
        return {
          offset: 0n,
          value: 0n,
          result: 0n,
          payloads: event.payloads.map((payload) => this.#withhold(payload, 'payloads that are not known')),
        };
    }
  }

  #count(what: string, bytes: number): void {
    const known = this.withheld.get(what);
    if (known === undefined) this.withheld.set(what, { count: 1, bytes });
    else {
      known.count++;
      known.bytes += bytes;
    }
  }

  #withhold(payload: Payload, what: string): Payload {
    if (payload.data.length > 0) this.#count(what, payload.data.length);
    return { ...payload, data: NOTHING, redacted: true };
  }

  /** Nothing of the bytes that it moved. */
  #contents(event: Event, what: string, bytes: number): Amended {
    this.#count(what, bytes);
    const [first] = event.payloads.filter(({ role }) => role === PayloadRole.DATA);
    return { value: 0n, payloads: [dataPayload(NOTHING, first)] };
  }

  #access(event: Event, session: Session): Amended {
    const lookup = session.device(event.object)?.lookup(event.op & 0xff);
    if (lookup === undefined) return {};
    return this.#registers(event, lookup, Number(event.offset), (event.op >>> 8) & 0xff);
  }

  #transfer(event: Event, session: Session): Amended {
    const kind = session.names.kind(event.object);
    // Counts of interrupts; what the VFIO of 2010 and its driver tell each other.
    if (kind === EVENTFD || kind === LYON_NETLINK) return {};
    const count = event.errno === 0 && event.result > 0n ? Number(event.result) : 0;
    if (!isDevice(kind)) return this.#contents(event, 'contents of files and sockets', count);
    const device = session.device(event.object);
    const place = device?.locate(event.offset);
    if (device === undefined || place === undefined)
      return this.#contents(event, 'contents of files and sockets', count);
    if (place.index === ROM_REGION || place.index >= VGA_REGION)
      return this.#contents(event, 'contents of the ROM and of regions that are no BAR', count);
    return this.#registers(event, device.lookup(place.index), Number(place.offset), count);
  }

  #registers(
    event: Event,
    lookup: Parameters<typeof hideIdentity>[0],
    offset: number,
    width: number,
  ): Amended {
    const recorded = payloadBytes(event, PayloadRole.DATA);
    const bytes = recorded?.slice() ?? littleEndian(event.value, Math.min(width, 8));
    if (!hideIdentity(lookup, offset, bytes)) return {};
    this.#count('serial numbers and MAC addresses', 0);
    const [first] = event.payloads.filter(({ role }) => role === PayloadRole.DATA);
    const amended = { value: numberOf(bytes), payloads: [dataPayload(bytes, first)] };
    if (event.kind !== EventKind.UPDATE) return amended;
    const before = littleEndian(BigInt.asUintN(64, event.result), Math.min(width, 8));
    hideIdentity(lookup, offset, before);
    return { ...amended, result: BigInt.asIntN(64, numberOf(before)) };
  }

  #ioctl(event: Event, session: Session): Amended {
    const ioctl = session.ioctl(event.object, event.op);
    if (ioctl === undefined) {
      return {
        payloads: event.payloads.map((payload) =>
          this.#withhold(payload, 'arguments of ioctls that are not known'),
        ),
      };
    }
    const { argument, name } = ioctl;
    return {
      payloads: event.payloads.map((payload) => {
        const { role, data } = payload;
        if (role === PayloadRole.KIND) return payload;
        if (argument.kind === 'string') return this.#deviceName(payload);
        if (role !== PayloadRole.POINTED && role !== PayloadRole.POINTED_OUT) return payload;
        return data.length === 0 || POINTED_KEPT.has(name)
          ? payload
          : this.#withhold(payload, 'what arguments point to');
      }),
    };
  }

  /** VFIO_GROUP_GET_DEVICE_FD's: a device's address, and perhaps a token. */
  #deviceName(payload: Payload): Payload {
    const text = Buffer.from(payload.data).toString('latin1').replace(/\0.*$/s, '');
    const [address = ''] = addressesIn(text);
    if (address === text) return payload;
    this.drop(text);
    this.#keep(address);
    return { ...payload, data: Buffer.from(`${address}\0`, 'latin1'), redacted: true };
  }

  #programOf({ thread }: Event): string {
    const { threads, processes } = this.#trace.definitions;
    return processes.get(threads.get(thread)?.process ?? 0)?.exe ?? '';
  }

  #named(event: Event, payload: Payload): Payload {
    const { role, data } = payload;
    const text = Buffer.from(data).toString('utf8');
    const kept = (words: string): Payload =>
      words === text ? payload : { ...payload, data: Buffer.from(words), redacted: true };
    switch (role) {
      case PayloadRole.KIND:
        return payload;
      case PayloadRole.EXE:
        return kept(this.program(text));
      case PayloadRole.ARGV: {
        const words = text.split('\0');
        const ended = words.at(-1) === '' ? words.slice(0, -1) : words;
        return kept(
          this.words(ended)
            .map((word) => `${word}\0`)
            .join(''),
        );
      }
      case PayloadRole.PATH:
        return event.kind === EventKind.EXEC ? kept(this.program(text)) : kept(this.path(text));
      case PayloadRole.NAME:
        return kept(this.thread(text, this.#programOf(event)));
      default:
        return this.#withhold(
          payload,
          role === PayloadRole.MAPS ? 'memory maps' : 'payloads that are not known',
        );
    }
  }
}

/** Kinds that hold addresses of the process or change the session; payloads of all have addresses. */
const LOOKED_AT: ReadonlySet<number> = new Set([
  ...STATE_KINDS,
  EventKind.MPROTECT,
  EventKind.MADVISE,
  EventKind.SIGNAL,
  EventKind.SITE,
]);

function dataPayload(data: Uint8Array, first: Payload | undefined): Payload {
  return {
    role: PayloadRole.DATA,
    index: 0,
    address: first?.address ?? 0n,
    cut: first?.cut ?? false,
    fault: false,
    redacted: true,
    data,
  };
}

function littleEndian(value: bigint, width: number): Uint8Array {
  return Uint8Array.from({ length: width }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn));
}

function numberOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let at = Math.min(bytes.length, 8) - 1; at >= 0; at--)
    value = (value << 8n) | BigInt(bytes[at] as number);
  return value;
}
