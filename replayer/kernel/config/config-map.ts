// SPDX-License-Identifier: Apache-2.0
/**
 * Which capability each byte of config space belongs to, and VFIO's copy of the space as it is first shown
 * (vfio_config_init, vfio_cap_init, vfio_ecap_init).
 */
import {
  CAPABILITIES_POINTER,
  COMMAND,
  COMMAND_MEMORY,
  INTERRUPT_PIN,
  STATUS,
} from '../../devices/pci/config-space.js';
import type { PciDevice } from '../pci/pci-device.js';
import { EXTENDED_MAX, extendedLength, STANDARD_MAX, standardLength } from './capability-length.js';

export const HEADER_OWNER = 0;
/** No capability has this id. */
export const NOBODY = 0xff;

export const EXTENDED_START = 0x100;
const HEADER_SIZE = 0x40;
const STATUS_CAPABILITIES = 0x10;
const PM = 0x01;
const CAPABILITY_DWORDS = 48;

export interface ConfigMap {
  /** Capability id by byte. */
  readonly owner: Uint8Array;
  readonly copy: Uint8Array;
}

export function buildConfigMap(pci: PciDevice, hideIntx: boolean): ConfigMap {
  const owner = new Uint8Array(pci.configSize).fill(NOBODY);
  owner.fill(HEADER_OWNER, 0, HEADER_SIZE);
  const map: ConfigMap = { owner, copy: new Uint8Array(pci.configSize) };
  fill(pci, map, 0, HEADER_SIZE);
  if (pci.isVirtual) {
    set(map.copy, 0, pci.vendor);
    set(map.copy, 2, pci.device);
    map.copy[INTERRUPT_PIN] = 0;
    // A virtual function's memory is always on (pdev->no_command_memory).
    map.copy[COMMAND] = (map.copy[COMMAND] as number) | COMMAND_MEMORY;
  }
  if (hideIntx) map.copy[INTERRUPT_PIN] = 0;
  const extended = standardCapabilities(pci, map);
  if (extended) extendedCapabilities(pci, map);
  return map;
}

function set(copy: Uint8Array, at: number, word: number): void {
  copy[at] = word & 0xff;
  copy[at + 1] = word >>> 8;
}

function fill(pci: PciDevice, { copy }: ConfigMap, from: number, length: number): void {
  for (let at = from; at < from + length && at < copy.length; at++) copy[at] = pci.read(at, 1);
}

function claim({ owner }: ConfigMap, at: number, length: number, id: number): void {
  owner.fill(id, at, Math.min(at + length, owner.length));
}

/** Walks the list; what is hidden is taken out of the copy's chain. True when there may be extended ones. */
function standardCapabilities(pci: PciDevice, map: ConfigMap): boolean {
  const { copy } = map;
  if ((pci.read(STATUS, 2) & STATUS_CAPABILITIES) === 0) return false;
  let pointer = CAPABILITIES_POINTER;
  let at = pci.read(CAPABILITIES_POINTER, 1);
  let shown = 0;
  let extended = false;
  for (let steps = 0; at !== 0 && steps < CAPABILITY_DWORDS; steps++) {
    const id = pci.read(at, 1);
    const next = pci.read(at + 1, 1);
    const length = id !== 0 && id <= STANDARD_MAX ? standardLength(pci, id, at) : 0;
    if (length === 0) {
      copy[pointer] = next;
      at = next;
      continue;
    }
    if (id === 0x10 || (id === 0x07 && length === 24))
      extended ||= pci.configSize > EXTENDED_START && pci.read(EXTENDED_START, 4) !== 0;
    claim(map, at, length, id);
    fill(pci, map, at, length);
    if (id === PM) {
      set(copy, at + 2, (pci.read(at + 2, 2) & ~0xf800) >>> 0);
      set(copy, at + 4, (pci.read(at + 4, 2) & ~0x8100) >>> 0);
    }
    pointer = at + 1;
    at = next;
    shown++;
  }
  if (shown === 0) copy[STATUS] = (copy[STATUS] as number) & ~STATUS_CAPABILITIES;
  return extended;
}

function dword(copy: Uint8Array, at: number): DataView {
  return new DataView(copy.buffer, copy.byteOffset + at, 4);
}

function extendedCapabilities(pci: PciDevice, map: ConfigMap): void {
  const { copy } = map;
  let previous: number | undefined;
  let at = EXTENDED_START;
  let shown = 0;
  const steps = (pci.configSize - EXTENDED_START) / 4;
  for (let step = 0; step < steps && at >= EXTENDED_START; step++) {
    const header = pci.read(at, 4);
    const id = header & 0xffff;
    const next = (header >>> 20) & 0xffc;
    let length = id <= EXTENDED_MAX ? extendedLength(pci, id, at) : 0;
    let hidden = false;
    if (length === 0) {
      if (previous !== undefined) {
        const link = dword(copy, previous);
        link.setUint32(0, ((link.getUint32(0, true) & 0x000f_ffff) | (next << 20)) >>> 0, true);
        at = next;
        continue;
      }
      // The first one anchors the list: it stays, without its id.
      length = 4;
      hidden = true;
    }
    claim(map, at, length, id & 0xff);
    fill(pci, map, at, length);
    if (hidden) dword(copy, at).setUint32(0, (header & 0xffc0_0000) >>> 0, true);
    else shown++;
    previous = at;
    at = next;
  }
  if (shown === 0) dword(copy, EXTENDED_START).setUint32(0, 0, true);
}
