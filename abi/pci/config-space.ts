// SPDX-License-Identifier: Apache-2.0
/**
 * The configuration space of one device as far as it is known, and which register each byte belongs to. The chain of
 * capabilities is walked in the bytes that were seen, and again when a byte that the walk went through changes.
 */
import { type Register, register } from '../register.js';
import type { PlacedRegister } from '../register-access.js';
import type { Capability, CapabilityReader } from './capability.js';
import { EXTENDED_CAPABILITIES, EXTENDED_HEADER } from './extended-capabilities.js';
import { TYPE0_HEADER, TYPE1_HEADER } from './header.js';
import { STANDARD_CAPABILITIES } from './standard-capabilities.js';

export const CONFIG_BYTES = 4096;
const STANDARD_END = 256;
const HEADER_TYPE = 0x0e;
const STATUS = 0x06;
const FIRST_BAR = 0x10;
const CAPABILITY_POINTER = 0x34;
const FIRST_CAPABILITY = 0x40;

export interface PlacedCapability {
  readonly id: number;
  readonly extended: boolean;
  readonly name: string;
  readonly offset: number;
  /** Undefined when no table knows the id. */
  readonly capability: Capability | undefined;
}

const standard = new Map(STANDARD_CAPABILITIES.map((capability) => [capability.id, capability]));
const extended = new Map(EXTENDED_CAPABILITIES.map((capability) => [capability.id, capability]));

const ID = register('ID', 0, 1, { linux: 'PCI_CAP_LIST_ID' });
const NEXT = register('Next', 1, 1, { linux: 'PCI_CAP_LIST_NEXT' });

export class ConfigSpace {
  readonly bytes = new Uint8Array(CONFIG_BYTES);
  readonly #known = new Uint8Array(CONFIG_BYTES);
  /** Bytes that the last walk depended on. */
  readonly #structural = new Uint8Array(CONFIG_BYTES);
  #stale = true;
  #version = 0;
  #layout = 0;
  #capabilities: PlacedCapability[] = [];
  #placed: (PlacedRegister | undefined)[] = [];

  constructor(initial?: Uint8Array) {
    if (initial !== undefined) this.learn(0, initial);
  }

  /** These bytes were read from the device. What lies outside of the space is ignored. */
  learn(offset: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.learnByte(offset + i, bytes[i] as number);
  }

  /** The same for a number, without an array. */
  learnValue(offset: number, width: number, value: bigint): void {
    let rest = value;
    for (let i = 0; i < width; i++) {
      this.learnByte(offset + i, Number(rest & 0xffn));
      rest >>= 8n;
    }
  }

  learnByte(at: number, value: number): void {
    if (!(at >= 0 && at < CONFIG_BYTES)) return;
    if (this.#known[at] === 1 && this.bytes[at] === value) return;
    if (this.#structural[at] === 1) {
      this.#stale = true;
      this.#layout++;
    }
    this.#known[at] = 1;
    this.bytes[at] = value;
    if (at >= FIRST_BAR) this.#version++;
  }

  isKnown(offset: number, width = 1): boolean {
    for (let at = offset; at < offset + width; at++) if (this.#known[at] !== 1) return false;
    return true;
  }

  /** Little endian; undefined when a byte of it was never seen. */
  read(offset: number, width: 1 | 2 | 4): number | undefined {
    if (offset < 0 || offset + width > CONFIG_BYTES || !this.isKnown(offset, width)) return undefined;
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.bytes[offset + i] as number);
    return value;
  }

  /** Changes when a byte behind the Status register does: what is built from the space is built anew then. */
  get version(): number {
    return this.#version;
  }

  /** Changes when `lookup` may find another register at an offset. */
  get layout(): number {
    return this.#layout;
  }

  get capabilities(): readonly PlacedCapability[] {
    if (this.#stale) this.#walk();
    return this.#capabilities;
  }

  capability(id: number, inExtended = false): PlacedCapability | undefined {
    return this.capabilities.find((placed) => placed.id === id && placed.extended === inExtended);
  }

  /** The register that holds this byte. */
  readonly lookup = (offset: number): PlacedRegister | undefined => {
    if (this.#stale) this.#walk();
    return this.#placed[offset];
  };

  /** Reads for the walk, remembering what it depended on, known or not. */
  #depend(offset: number, width: 1 | 2 | 4): number | undefined {
    this.#structural.fill(1, Math.max(offset, 0), Math.min(offset + width, CONFIG_BYTES));
    return this.read(offset, width);
  }

  #walk(): void {
    this.#stale = false;
    this.#structural.fill(0);
    this.#capabilities = [];
    this.#placed = new Array<PlacedRegister | undefined>(CONFIG_BYTES);
    const type = (this.#depend(HEADER_TYPE, 1) ?? 0) & 0x7f;
    for (const entry of type === 1 ? TYPE1_HEADER : TYPE0_HEADER) this.#place(entry, 0, '');
    this.#walkStandard();
    this.#walkExtended();
  }

  #walkStandard(): void {
    const status = this.#depend(STATUS, 1);
    // Without the bit there is no list (7.5.1.1.4), whatever the pointer holds.
    if (status !== undefined && (status & 0x10) === 0) return;
    const seen = new Set<number>();
    let at = (this.#depend(CAPABILITY_POINTER, 1) ?? 0) & 0xfc;
    while (at >= FIRST_CAPABILITY && !seen.has(at)) {
      seen.add(at);
      const id = this.#depend(at, 1);
      const next = this.#depend(at + 1, 1);
      const known = id === undefined ? undefined : standard.get(id);
      const name = this.#add(
        known,
        id ?? 0,
        false,
        at,
        id === undefined ? `cap${at.toString(16)}` : `Cap${id}`,
      );
      this.#place(ID, at, name);
      this.#place(NEXT, at, name);
      this.#placeAll(known, at, name);
      if (next === undefined) return;
      at = next & 0xfc;
    }
  }

  #walkExtended(): void {
    const seen = new Set<number>();
    let at = STANDARD_END;
    while (at >= STANDARD_END && at + 4 <= CONFIG_BYTES && !seen.has(at)) {
      seen.add(at);
      const header = this.#depend(at, 4);
      // No list: all zeroes, or all ones where extended space is not there (7.6.2).
      if (header === undefined || header === 0 || header === 0xffff_ffff) return;
      const id = header & 0xffff;
      const known = extended.get(id);
      // vfio-pci hides a capability by giving it id 0 and keeping the chain (vfio_ecap_init).
      const name = this.#add(known, id, true, at, id === 0 ? 'Hidden' : `ExtCap${id.toString(16)}`);
      this.#place(EXTENDED_HEADER, at, name);
      this.#placeAll(known, at, name);
      at = (header >>> 20) & 0xffc;
    }
  }

  #add(
    capability: Capability | undefined,
    id: number,
    inExtended: boolean,
    offset: number,
    otherwise: string,
  ): string {
    const first = capability?.name ?? otherwise;
    const same = this.#capabilities.filter(
      ({ name }) => name === first || name.startsWith(`${first}#`),
    ).length;
    const name = same === 0 ? first : `${first}#${same + 1}`;
    this.#capabilities.push({ id, extended: inExtended, name, offset, capability });
    return name;
  }

  #placeAll(capability: Capability | undefined, at: number, name: string): void {
    if (capability === undefined) return;
    const read: CapabilityReader = (offset, width) => this.#depend(at + offset, width);
    const list =
      typeof capability.registers === 'function' ? capability.registers(read) : capability.registers;
    for (const entry of list) this.#place(entry, at, name);
  }

  /** First come, first served: a capability that overlaps an earlier one does not take its bytes. */
  #place(entry: Register, base: number, owner: string): void {
    const start = base + entry.offset;
    if (start + entry.width > CONFIG_BYTES) return;
    const placed = { register: entry, start, name: owner === '' ? entry.name : `${owner}.${entry.name}` };
    for (let at = start; at < start + entry.width; at++) this.#placed[at] ??= placed;
  }
}
