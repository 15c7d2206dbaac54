// SPDX-License-Identifier: Apache-2.0
/**
 * Config space as a driver of 2010 sees it: byte by byte, each from the hardware, from VFIO's copy, or bit by bit from
 * both (vfio_config_rwbyte, vfio_virt_basic, vfio_virt_msi of that vfio_pci_config.c).
 */
import {
  LYON_BASIC,
  LYON_READ_ONLY,
  lyonExtendedPermissions,
  lyonMsiPermissions,
  lyonStandardPermissions,
} from '../../../abi/lyon2010/permissions.js';
import type { Permissions } from '../../../abi/pci/vfio-permissions.js';
import { EXPRESS, MSI } from '../../devices/pci/capabilities.js';
import {
  BAR0,
  barFlags,
  CAPABILITIES_POINTER,
  COMMAND,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MEMORY,
  ROM_ADDRESS,
  STATUS,
} from '../../devices/pci/config-space.js';
import { EXTENDED_MAX, extendedLength, standardLength } from '../config/capability-length.js';
import { EINVAL } from '../errno.js';
import { type PciDevice, ROM_RESOURCE } from '../pci/pci-device.js';

/** What a write may set off elsewhere. */
export interface LyonConfigEffects {
  /** The driver wrote Command with this DisINTx. */
  intxDisabled(disabled: boolean): void;
  /** VFIO_EVENTFDS_MSI is in force. */
  readonly msiIsEnabled: boolean;
  /** Log2 of the vectors that it got (msi_qmax). */
  readonly msiQueueMax: number;
}

interface Place {
  readonly permissions: Permissions;
  /** Within its capability. */
  readonly offset: number;
  readonly isMsi: boolean;
}

const HEADER_BYTES = 0x40;
const EXTENDED_START = 0x100;
const LIST_DWORDS = 48;
const UNKNOWN_LENGTH = 4;
const PCIX = 0x07;
const MSI_FLAGS = 2;
const MSI_ENABLE = 0x01;
const MSI_CAPABLE = 0x0e;
const MSI_SIZE = 0x70;
const DECODE = COMMAND_IO | COMMAND_MEMORY;

export class LyonConfig {
  readonly #places: readonly (Place | undefined)[];
  readonly #copy: Uint8Array;
  /** What the BARs and the ROM address held, to put back after a reset that nobody told of. */
  readonly #realBars: readonly number[];
  #barsDirty = true;

  constructor(
    readonly pci: PciDevice,
    readonly effects: LyonConfigEffects,
  ) {
    this.#places = mapOf(pci);
    this.#copy = Uint8Array.from({ length: pci.configSize }, (_, at) => pci.read(at, 1));
    this.#realBars = [
      ...Array.from({ length: 6 }, (_, i) => pci.read(BAR0 + 4 * i, 4)),
      pci.read(ROM_ADDRESS, 4),
    ];
    const ids = new DataView(this.#copy.buffer);
    ids.setUint16(0, pci.vendor, true);
    ids.setUint16(2, pci.device, true);
  }

  /** vfio_config_readwrite(): up to the end of the space; what lies beyond is EINVAL. */
  access(offset: number, bytes: Uint8Array, write: boolean): number {
    if (offset > this.pci.configSize) return -EINVAL;
    const count = Math.min(bytes.length, this.pci.configSize - offset);
    for (let i = 0; i < count; i++) {
      if (write) this.#write(offset + i, bytes[i] as number);
      else bytes[i] = this.#read(offset + i);
    }
    return count;
  }

  #read(at: number): number {
    const place = this.#places[at];
    if (place === undefined) return at <= HEADER_BYTES ? this.pci.read(at, 1) : 0;
    const virtual = place.permissions.virtual[place.offset] ?? 0;
    if (virtual === 0) return this.pci.read(at, 1);
    if (virtual !== 0xff) this.#refresh(at, virtual);
    if (isBar(at)) this.#fixBars();
    else if (at === COMMAND && this.pci.isVirtual) this.#copy[at] = this.#held(at) | COMMAND_MEMORY;
    else if (place.isMsi && place.offset === MSI_FLAGS)
      this.#copy[at] = (this.#held(at) & ~MSI_CAPABLE) | (this.effects.msiQueueMax << 1);
    return this.#held(at);
  }

  #write(at: number, value: number): void {
    const place = this.#places[at];
    const writable = place?.permissions.writable[place.offset] ?? 0;
    if (place === undefined || writable === 0) return;
    const virtual = place.permissions.virtual[place.offset] ?? 0;
    if (virtual === 0) {
      const kept = writable === 0xff ? 0 : this.pci.read(at, 1) & ~writable;
      this.pci.write(at, 1, kept | (value & writable));
      return;
    }
    const before = virtual === 0xff ? 0 : this.#refresh(at, virtual);
    this.#copy[at] = (this.#held(at) & ~writable) | (value & writable);
    const real = this.#took(at, place, before);
    if (virtual !== 0xff) this.pci.write(at, 1, (real & virtual) | (this.#held(at) & ~virtual));
  }

  /** What a written virtual byte means; the answer is what the hardware is to hold in its virtual bits. */
  #took(at: number, place: Place, real: number): number {
    if (isBar(at)) this.#barsDirty = true;
    else if (at === COMMAND) return this.#decodeWritten(real);
    else if (at === COMMAND + 1) {
      this.effects.intxDisabled(((this.#held(at) << 8) & COMMAND_INTX_DISABLE) !== 0);
      // Whatever that did to the real bit stays.
      return this.pci.read(at, 1);
    } else if (place.isMsi && place.offset === MSI_FLAGS) this.#copy[at] = this.#msiFlags(this.#held(at));
    return real;
  }

  /** Memory or I/O decode that the hardware lost: it was reset, and gets its BARs back before it answers again. */
  #decodeWritten(real: number): number {
    const wanted = this.#held(COMMAND) | (this.pci.isVirtual ? COMMAND_MEMORY : 0);
    this.#copy[COMMAND] = wanted;
    if ((wanted & ~real & DECODE) !== 0) this.#restoreBars();
    return (real & ~DECODE) | (wanted & DECODE);
  }

  /** vfio_bar_restore() */
  #restoreBars(): void {
    if (this.pci.isVirtual) return;
    this.#realBars.forEach((bar, i) => {
      this.pci.write(i === ROM_RESOURCE ? ROM_ADDRESS : BAR0 + 4 * i, 4, bar);
    });
  }

  /** No enable without the ioctl, no more messages than it got; nothing of it reaches the hardware. */
  #msiFlags(flags: number): number {
    const { msiIsEnabled, msiQueueMax } = this.effects;
    const enabled = msiIsEnabled ? flags : flags & ~MSI_ENABLE;
    const size = Math.min((flags & MSI_SIZE) >>> 4, msiQueueMax);
    return (enabled & ~MSI_SIZE) | (size << 4);
  }

  /** vfio_bar_fixup(): the copy behaves as BARs of these sizes would. */
  #fixBars(): void {
    if (!this.#barsDirty) return;
    this.#barsDirty = false;
    const copy = new DataView(this.#copy.buffer);
    const keep = (at: number, mask: bigint, flags = 0): void => {
      const kept = copy.getUint32(at, true) & Number(BigInt.asUintN(32, mask));
      copy.setUint32(at, (kept | flags) >>> 0, true);
    };
    const { resources } = this.pci;
    for (let i = 0; i < 6; i++) {
      const resource = resources[i];
      const mask = resource === undefined ? 0n : ~(BigInt(resource.size) - 1n);
      const kind = resource?.io ? 'io' : resource?.wide ? 'memory64' : 'memory32';
      const flags =
        resource === undefined
          ? 0
          : barFlags({ kind, size: resource.size, prefetchable: resource.prefetchable });
      keep(BAR0 + 4 * i, mask, flags);
      if (resource?.wide !== true) continue;
      i++;
      keep(BAR0 + 4 * i, mask >> 32n);
    }
    const rom = resources[ROM_RESOURCE];
    keep(ROM_ADDRESS, rom === undefined ? 0n : ~(BigInt(rom.size) - 1n) | 1n);
  }

  /** The copy's other bits follow the hardware; the answer is what it holds. */
  #refresh(at: number, virtual: number): number {
    const real = this.pci.read(at, 1);
    this.#copy[at] = (this.#held(at) & virtual) | (real & ~virtual);
    return real;
  }

  #held(at: number): number {
    return this.#copy[at] as number;
  }
}

function isBar(at: number): boolean {
  return (at >= BAR0 && at < BAR0 + 24) || (at >= ROM_ADDRESS && at < ROM_ADDRESS + 4);
}

/** vfio_build_config_map(): a capability of unknown length has its header and no more. */
function mapOf(pci: PciDevice): readonly (Place | undefined)[] {
  const places = new Array<Place | undefined>(pci.configSize).fill(undefined);
  const claim = (start: number, length: number, permissions: Permissions, isMsi = false): void => {
    for (let offset = 0; offset < length && start + offset < places.length; offset++)
      places[start + offset] = { permissions, offset, isMsi };
  };
  claim(0, HEADER_BYTES, LYON_BASIC);
  if ((pci.read(STATUS, 2) & 0x10) === 0) return places;
  let extended = false;
  let at = pci.read(CAPABILITIES_POINTER, 1);
  for (let steps = 0; at !== 0 && steps < LIST_DWORDS; steps++) {
    const id = pci.read(at, 1);
    if (id === 0) break;
    const length = standardLength(pci, id, at) || UNKNOWN_LENGTH;
    const isMsi = id === MSI;
    claim(at, length, isMsi ? lyonMsiPermissions(pci.read(at + 2, 2)) : lyonStandardPermissions(id), isMsi);
    extended ||= id === EXPRESS || (id === PCIX && length > 8);
    at = pci.read(at + 1, 1);
  }
  if (!extended) return places;
  at = EXTENDED_START;
  for (let steps = 0; at >= EXTENDED_START && at < pci.configSize && steps < 1024; steps++) {
    const header = pci.read(at, 4);
    if (header === 0) break;
    const id = header & 0xffff;
    const known = id <= EXTENDED_MAX;
    const length = (known ? extendedLength(pci, id, at) : 0) || UNKNOWN_LENGTH;
    claim(at, length, known ? lyonExtendedPermissions(id) : LYON_READ_ONLY);
    at = (header >>> 20) & 0xffc;
  }
  return places;
}
