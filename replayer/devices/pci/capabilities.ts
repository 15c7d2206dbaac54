// SPDX-License-Identifier: Apache-2.0
/** Capabilities as a device author states them: `msix({ offset: 0x40, vectors: 65, … })`. */
import type { CapabilityDescription } from './description.js';

export const PM = 0x01;
export const VPD = 0x03;
export const MSI = 0x05;
export const VENDOR = 0x09;
export const EXPRESS = 0x10;
export const MSIX = 0x11;
export const AF = 0x13;
export const AER = 0x01;

function set(bytes: Uint8Array, at: number, width: number, value: number): void {
  for (let i = 0; i < width; i++) bytes[at + i] = (value >>> (8 * i)) & 0xff;
}

export interface PmOptions {
  readonly offset: number;
  /** No reset on the way from D3hot to D0. */
  readonly noSoftReset: boolean;
  readonly capabilities?: number;
}

export function pm({ offset, noSoftReset, capabilities = 0x0003 }: PmOptions): CapabilityDescription {
  const bytes = new Uint8Array(8);
  const writable = new Uint8Array(8);
  const writeOneToClear = new Uint8Array(8);
  set(bytes, 2, 2, capabilities);
  set(bytes, 4, 2, noSoftReset ? 0x0008 : 0);
  // State, PME enable, data select; PME status is cleared by writing one.
  set(writable, 4, 2, 0x1f03);
  set(writeOneToClear, 4, 2, 0x8000);
  return { id: PM, offset, bytes, writable, writeOneToClear };
}

export interface MsiOptions {
  readonly offset: number;
  readonly vectors: 1 | 2 | 4 | 8 | 16 | 32;
  readonly wide?: boolean;
  readonly maskable?: boolean;
}

export function msi({ offset, vectors, wide = true, maskable = false }: MsiOptions): CapabilityDescription {
  const length = 10 + (wide ? 4 : 0) + (maskable ? 10 : 0);
  const bytes = new Uint8Array(length);
  const writable = new Uint8Array(length);
  set(bytes, 2, 2, (Math.log2(vectors) << 1) | (wide ? 0x80 : 0) | (maskable ? 0x100 : 0));
  set(writable, 2, 2, 0x0071);
  set(writable, 4, 4, 0xffff_fffc);
  const data = wide ? 12 : 8;
  if (wide) set(writable, 8, 4, 0xffff_ffff);
  set(writable, data, 2, 0xffff);
  if (maskable) set(writable, data + 4, 4, vectors === 32 ? 0xffff_ffff : 2 ** vectors - 1);
  return { id: MSI, offset, bytes, writable };
}

export interface MsixOptions {
  readonly offset: number;
  readonly vectors: number;
  readonly table: { readonly bar: number; readonly offset: number };
  readonly pba: { readonly bar: number; readonly offset: number };
}

export function msix({ offset, vectors, table, pba }: MsixOptions): CapabilityDescription {
  const bytes = new Uint8Array(12);
  const writable = new Uint8Array(12);
  set(bytes, 2, 2, vectors - 1);
  set(writable, 2, 2, 0xc000);
  set(bytes, 4, 4, table.offset | table.bar);
  set(bytes, 8, 4, pba.offset | pba.bar);
  return { id: MSIX, offset, bytes, writable };
}

export interface ExpressOptions {
  readonly offset: number;
  readonly type?: 'endpoint' | 'legacy' | 'integrated';
  readonly flr?: boolean;
}

export function express({ offset, type = 'endpoint', flr = false }: ExpressOptions): CapabilityDescription {
  const integrated = type === 'integrated';
  const bytes = new Uint8Array(integrated ? 0x2c : 0x3c);
  const writable = new Uint8Array(bytes.length);
  const writeOneToClear = new Uint8Array(bytes.length);
  set(bytes, 2, 2, 2 | ({ endpoint: 0, legacy: 1, integrated: 9 }[type] << 4));
  // Role-based error reporting, extended tags; FLR.
  set(bytes, 4, 4, 0x0000_8000 | (flr ? 0x1000_0000 : 0));
  // Device Control: as the specification has it at reset (relaxed order, 512 byte reads); all of it can be written.
  set(bytes, 8, 2, 0x2810);
  set(writable, 8, 2, 0xffff);
  set(writeOneToClear, 10, 2, 0x000f);
  if (!integrated) {
    set(bytes, 12, 4, 0x0000_0011);
    set(bytes, 18, 2, 0x0011);
    set(writable, 16, 2, 0x0ff3);
  }
  set(writable, 0x28, 2, 0xffff);
  return { id: EXPRESS, offset, bytes, writable, writeOneToClear };
}

/** Advanced Features: function level reset for conventional PCI. */
export function advancedFeatures(offset: number): CapabilityDescription {
  return { id: AF, offset, bytes: new Uint8Array([0, 0, 6, 3, 0, 0]), writable: new Uint8Array(6) };
}

export function vendor(offset: number, content: Uint8Array): CapabilityDescription {
  const bytes = new Uint8Array(content.length + 3);
  bytes[2] = bytes.length;
  bytes.set(content, 3);
  const writable = new Uint8Array(bytes.length).fill(0xff, 3);
  return { id: VENDOR, offset, bytes, writable };
}

/** Vital Product Data: the registers only; the content is given to the function. */
export function vitalProductData(offset: number): CapabilityDescription {
  const writable = new Uint8Array(8).fill(0xff, 2);
  return { id: VPD, offset, bytes: new Uint8Array(8), writable };
}

/** Advanced Error Reporting (version 2, endpoint). */
export function advancedErrors(offset: number): CapabilityDescription {
  const bytes = new Uint8Array(0x48);
  const writable = new Uint8Array(0x48);
  const writeOneToClear = new Uint8Array(0x48);
  set(writeOneToClear, 4, 4, 0x03ff_f030);
  set(writable, 8, 4, 0x03ff_f030);
  set(bytes, 12, 4, 0x0006_2030);
  set(writable, 12, 4, 0x03ff_f030);
  set(writeOneToClear, 16, 4, 0x0000_f1c1);
  set(bytes, 20, 4, 0x0000_2000);
  set(writable, 20, 4, 0x0000_f1c1);
  set(bytes, 24, 4, 0x0000_00a0);
  set(writable, 24, 4, 0x0000_0140);
  return { id: AER, offset, version: 2, bytes, writable, writeOneToClear };
}
