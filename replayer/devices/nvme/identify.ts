// SPDX-License-Identifier: Apache-2.0
/** Identify data structures (NVMe 1.4 figures 245, 247 and 249). */

export const IDENTIFY_BYTES = 4096;
export const NAMESPACE_ID = 1;
/** 2^7 pages of 4 KiB: the largest transfer. */
export const MDTS = 7;
export const VERSION_1_4 = 0x0001_0400;
export const ABORT_LIMIT = 3;
export const EVENT_LIMIT = 3;
export const ERROR_LOG_ENTRIES = 64;

const COMPARE = 0x01;
const DATASET_MANAGEMENT = 0x04;
const WRITE_ZEROES = 0x08;

export interface Identity {
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  readonly vendor: number;
  readonly subsystemVendor: number;
}

function text(bytes: Uint8Array, at: number, length: number, value: string): void {
  bytes.fill(0x20, at, at + length);
  bytes.set(new TextEncoder().encode(value).subarray(0, length), at);
}

export function identifyController(identity: Identity): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, identity.vendor, true);
  view.setUint16(2, identity.subsystemVendor, true);
  text(bytes, 4, 20, identity.serial);
  text(bytes, 24, 40, identity.model);
  text(bytes, 64, 8, identity.firmware);
  bytes[72] = 6; // RAB
  bytes[77] = MDTS;
  view.setUint32(80, VERSION_1_4, true);
  bytes[111] = 1; // CNTRLTYPE: I/O controller
  bytes[258] = ABORT_LIMIT;
  bytes[259] = EVENT_LIMIT;
  bytes[260] = 0x03; // FRMW: one slot, read only
  bytes[261] = 0x06; // LPA: commands supported log, extended data
  bytes[262] = ERROR_LOG_ENTRIES - 1;
  view.setUint16(266, 343, true); // WCTEMP, kelvin
  view.setUint16(268, 373, true); // CCTEMP
  bytes[512] = 0x66; // SQES
  bytes[513] = 0x44; // CQES
  view.setUint32(516, 1, true); // NN
  view.setUint16(520, COMPARE | DATASET_MANAGEMENT | WRITE_ZEROES, true);
  bytes[525] = 0x01; // VWC
  bytes.set(new TextEncoder().encode(`nqn.2014-08.org.nvmexpress:vfiotape:${identity.serial}`), 768);
  view.setUint16(2048, 2500, true); // PSD0: 25 W
  return bytes;
}

export interface NamespaceShape {
  readonly blocks: bigint;
  readonly blockShift: number;
  readonly serial: string;
}

export function identifyNamespace({ blocks, blockShift, serial }: NamespaceShape): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, blocks, true);
  view.setBigUint64(8, blocks, true);
  view.setBigUint64(16, blocks, true);
  bytes[33] = 0x09; // DLFEAT: deallocated blocks read as zeros, write zeroes deallocates
  bytes.set(eui64(serial), 120);
  view.setUint32(128, blockShift << 16, true); // LBAF0
  return bytes;
}

/** Active namespaces with an id above `after`. */
export function namespaceList(after: number): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  if (after < NAMESPACE_ID) new DataView(bytes.buffer).setUint32(0, NAMESPACE_ID, true);
  return bytes;
}

export function namespaceDescriptors(serial: string): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  bytes[0] = 1; // EUI64
  bytes[1] = 8;
  bytes.set(eui64(serial), 4);
  return bytes;
}

/** A stable number that is made from the serial number. */
function eui64(serial: string): Uint8Array {
  const bytes = new Uint8Array(8);
  let hash = 0x811c_9dc5;
  for (const character of serial) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x0100_0193) >>> 0;
  // Locally administered.
  new DataView(bytes.buffer).setUint32(4, hash);
  bytes[0] = 0x02;
  return bytes;
}
