// SPDX-License-Identifier: Apache-2.0
/**
 * The PCI function that a server has, from what it answers: regions, interrupts and configuration space. Registers that the
 * simulated kernel itself acts on (command, power, MSI, MSI-X, BARs) are kept on this side; all others are asked for each time.
 */
import { decode, encode, readU32, type Values } from '../../abi/layout.js';
import { errnoName } from '../../abi/linux/errno.js';
import { UserError } from '../../abi/user-error.js';
import { DEVICE_FLAGS } from '../../abi/vfio/device-info.js';
import { IRQ_INDEXES, IRQ_INFO } from '../../abi/vfio/irqs.js';
import { REGION_INFO } from '../../abi/vfio/region-info.js';
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import {
  AF,
  advancedFeatures,
  EXPRESS,
  express,
  MSI,
  MSIX,
  msi,
  msix,
  PM,
  pm,
} from '../devices/pci/capabilities.js';
import type { BarDescription, CapabilityDescription, PciDescription } from '../devices/pci/description.js';
import { Command, REGION_ACCESS, USER_DEVICE_INFO_BYTES } from './protocol.js';
import type { ServerConnection } from './server-connection.js';

export interface RemoteFunction {
  readonly pci: PciDescription;
  /** VFIO_USER_DEVICE_RESET works. */
  readonly canReset: boolean;
  /** Vectors of INTx, MSI and MSI-X. */
  readonly vectors: readonly number[];
  /** Offsets in configuration space that are kept here. */
  readonly kept: ReadonlySet<number>;
}

const HEADER_BYTES = 0x40;
const CONFIG_BYTES = 256;
const EXTENDED_BYTES = 4096;
const BARS = 6;
const STATUS_CAPABILITIES = 0x10;

export function askFunction(server: ServerConnection): RemoteFunction {
  const info = expect(
    server,
    Command.DEVICE_GET_INFO,
    fields(USER_DEVICE_INFO_BYTES, 0),
    USER_DEVICE_INFO_BYTES,
  );
  const flags = readU32(info, 4);
  if ((flags & DEVICE_FLAGS.bits.PCI) === 0)
    throw new UserError(`vfio-user:${server.path}: the server's device is no PCI device`);
  const config = readConfig(server);
  const kept = new Set(Array.from({ length: HEADER_BYTES }, (_, offset) => offset));
  const capabilities = capabilitiesOf(config, kept);
  const view = new DataView(config.buffer);
  const pin = config[0x3d] as number;
  const canReset = (flags & DEVICE_FLAGS.bits.RESET) !== 0;
  return {
    canReset,
    vectors: [IRQ_INDEXES.values.INTX, IRQ_INDEXES.values.MSI, IRQ_INDEXES.values.MSIX].map((index) =>
      vectorsOf(server, index, readU32(info, 12)),
    ),
    kept,
    pci: {
      vendor: view.getUint16(0, true),
      device: view.getUint16(2, true),
      subsystemVendor: view.getUint16(0x2c, true),
      subsystem: view.getUint16(0x2e, true),
      classCode: view.getUint32(8, true) >>> 8,
      revision: config[8] as number,
      interruptPin: pin <= 4 ? (pin as 0 | 1 | 2 | 3 | 4) : 0,
      interruptLine: config[0x3c] as number,
      bars: barsOf(server, config),
      configSize: config.length === EXTENDED_BYTES ? EXTENDED_BYTES : CONFIG_BYTES,
      capabilities,
      specificReset: canReset,
      extendedCapabilities: config.length === EXTENDED_BYTES ? extendedOf(config) : [],
    },
  };
}

/** One access to a region: the bytes read, or a negative errno. */
export function readRegion(
  server: ServerConnection,
  region: number,
  offset: number,
  count: number,
): Uint8Array | number {
  const answer = server.ask(
    Command.REGION_READ,
    encode(REGION_ACCESS, { offset: BigInt(offset), region, count }),
  );
  if (typeof answer === 'number') return answer;
  const bytes = answer.subarray(REGION_ACCESS.size);
  return bytes.length === count ? bytes : new Uint8Array(count).fill(0xff);
}

export function writeRegion(
  server: ServerConnection,
  region: number,
  offset: number,
  bytes: Uint8Array,
): number {
  const payload = new Uint8Array(REGION_ACCESS.size + bytes.length);
  payload.set(encode(REGION_ACCESS, { offset: BigInt(offset), region, count: bytes.length }));
  payload.set(bytes, REGION_ACCESS.size);
  const answer = server.ask(Command.REGION_WRITE, payload);
  return typeof answer === 'number' ? answer : 0;
}

/** argsz, flags, index, and zeroes. */
function fields(size: number, index: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setUint32(8, index, true);
  return bytes;
}

function expect(server: ServerConnection, command: number, payload: Uint8Array, bytes: number): Uint8Array {
  const answer = server.ask(command, payload);
  if (typeof answer === 'number')
    throw new UserError(
      `vfio-user:${server.path}: the server does not describe its device: ${errnoName(-answer)}`,
    );
  if (answer.length < bytes)
    throw new UserError(`vfio-user:${server.path}: the server's description of its device is cut short`);
  return answer;
}

function regionOf(server: ServerConnection, index: number): Values<typeof REGION_INFO> {
  const payload = fields(REGION_INFO.size, index);
  return decode(
    REGION_INFO,
    expect(server, Command.DEVICE_GET_REGION_INFO, payload, REGION_INFO.size),
  ) as Values<typeof REGION_INFO>;
}

function vectorsOf(server: ServerConnection, index: number, indexes: number): number {
  if (index >= indexes) return 0;
  const answer = server.ask(Command.DEVICE_GET_IRQ_INFO, fields(IRQ_INFO.size, index));
  // A server may refuse an index that its device has not.
  return typeof answer === 'number' || answer.length < IRQ_INFO.size
    ? 0
    : Math.min(2048, readU32(answer, 12));
}

function readConfig(server: ServerConnection): Uint8Array {
  const { size } = regionOf(server, CONFIG_REGION);
  const bytes = new Uint8Array(size >= BigInt(EXTENDED_BYTES) ? EXTENDED_BYTES : CONFIG_BYTES);
  for (let at = 0; at < bytes.length; at += CONFIG_BYTES) {
    const piece = readRegion(server, CONFIG_REGION, at, CONFIG_BYTES);
    if (typeof piece === 'number')
      throw new UserError(
        `vfio-user:${server.path}: configuration space can't be read: ${errnoName(-piece)}`,
      );
    bytes.set(piece, at);
  }
  return bytes;
}

function barsOf(server: ServerConnection, config: Uint8Array): readonly (BarDescription | undefined)[] {
  const bars: (BarDescription | undefined)[] = [];
  while (bars.length < BARS) {
    const index = bars.length;
    const size = Number(regionOf(server, index).size);
    const register = readU32(config, 0x10 + 4 * index);
    if (size === 0) {
      bars.push(undefined);
      continue;
    }
    const wide = (register & 7) === 4 && index + 1 < BARS;
    bars.push({
      size: powerOfTwo(size),
      kind: (register & 1) !== 0 ? 'io' : wide ? 'memory64' : 'memory32',
      prefetchable: (register & 9) === 8,
    });
    if (wide) bars.push(undefined);
  }
  return bars;
}

/** A BAR is; what lies behind the region's end is answered with ones. */
function powerOfTwo(size: number): number {
  return 2 ** Math.ceil(Math.log2(size));
}

interface Place {
  readonly id: number;
  readonly offset: number;
}

function chainOf(config: Uint8Array): readonly Place[] {
  if (((config[6] as number) & STATUS_CAPABILITIES) === 0) return [];
  const places: Place[] = [];
  for (let at = (config[0x34] as number) & ~3; at >= HEADER_BYTES && places.length < 48; ) {
    if (places.some(({ offset }) => offset === at)) break;
    places.push({ id: config[at] as number, offset: at });
    at = (config[at + 1] as number) & ~3;
  }
  return places;
}

function capabilitiesOf(config: Uint8Array, kept: Set<number>): readonly CapabilityDescription[] {
  const places = chainOf(config);
  return places.map(({ id, offset }) => {
    const next = places.reduce(
      (least, other) => (other.offset > offset && other.offset < least ? other.offset : least),
      CONFIG_BYTES,
    );
    const known = knownCapability(config, id, offset);
    const length = Math.min(known?.bytes.length ?? next - offset, next - offset);
    if (known !== undefined) for (let at = offset; at < offset + length; at++) kept.add(at);
    return {
      id,
      offset,
      bytes: powerOn(config.slice(offset, offset + length), id),
      ...(known?.writable !== undefined && { writable: known.writable.slice(0, length) }),
      ...(known?.writeOneToClear !== undefined && {
        writeOneToClear: known.writeOneToClear.slice(0, length),
      }),
    };
  });
}

/** The server may have been used before: interrupts begin disabled, and power in D0. */
function powerOn(bytes: Uint8Array, id: number): Uint8Array {
  if (id === MSI) bytes[2] = (bytes[2] ?? 0) & ~0x71;
  if (id === MSIX) bytes[3] = (bytes[3] ?? 0) & ~0xc0;
  if (id === PM) bytes[4] = (bytes[4] ?? 0) & ~3;
  return bytes;
}

/** Those whose bits the simulated kernel must know; their masks are the specifications'. */
function knownCapability(config: Uint8Array, id: number, offset: number): CapabilityDescription | undefined {
  const control = (config[offset + 2] as number) | ((config[offset + 3] as number) << 8);
  switch (id) {
    case PM:
      return pm({ offset, noSoftReset: ((config[offset + 4] as number) & 8) !== 0 });
    case MSI: {
      const vectors = (1 << Math.min(5, (control >>> 1) & 7)) as 1 | 2 | 4 | 8 | 16 | 32;
      return msi({ offset, vectors, wide: (control & 0x80) !== 0, maskable: (control & 0x100) !== 0 });
    }
    case MSIX:
      return msix({
        offset,
        vectors: (control & 0x7ff) + 1,
        table: placeOf(config, offset + 4),
        pba: placeOf(config, offset + 8),
      });
    case EXPRESS:
      return express({ offset, type: ((control >>> 4) & 0xf) === 9 ? 'integrated' : 'endpoint' });
    case AF:
      return advancedFeatures(offset);
    default:
      return undefined;
  }
}

function placeOf(config: Uint8Array, at: number): { readonly bar: number; readonly offset: number } {
  const dword = readU32(config, at);
  return { bar: dword & 7, offset: (dword & ~7) >>> 0 };
}

function extendedOf(config: Uint8Array): readonly CapabilityDescription[] {
  const found: { id: number; version: number; offset: number }[] = [];
  for (let at = CONFIG_BYTES; at >= CONFIG_BYTES && at + 4 <= EXTENDED_BYTES && found.length < 480; ) {
    const header = readU32(config, at);
    if (header === 0 || header === 0xffff_ffff || found.some(({ offset }) => offset === at)) break;
    found.push({ id: header & 0xffff, version: (header >>> 16) & 0xf, offset: at });
    at = (header >>> 20) & ~3;
  }
  return found.map(({ id, version, offset }) => {
    const next = found.reduce(
      (least, other) => (other.offset > offset && other.offset < least ? other.offset : least),
      EXTENDED_BYTES,
    );
    return { id, version, offset, bytes: config.slice(offset, next) };
  });
}
