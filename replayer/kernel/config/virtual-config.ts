// SPDX-License-Identifier: Apache-2.0
/**
 * Config space as a VFIO driver sees it (drivers/vfio/pci/vfio_pci_config.c): each access is cut into pieces of one
 * capability, and each piece goes to VFIO's copy, to the hardware, to both, or nowhere.
 */

import {
  BASIC,
  DIRECT,
  extendedPermissions,
  msiPermissions,
  type Permissions,
  standardPermissions,
  UNASSIGNED,
} from '../../../abi/pci/vfio-permissions.js';
import { AF, EXPRESS, MSI, PM, VPD } from '../../devices/pci/capabilities.js';
import {
  BAR0,
  barFlags,
  COMMAND,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MEMORY,
  ROM_ADDRESS,
} from '../../devices/pci/config-space.js';
import { EFAULT } from '../errno.js';
import { D3HOT, type PciDevice, ROM_RESOURCE } from '../pci/pci-device.js';
import { EXTENDED_MAX } from './capability-length.js';
import { buildConfigMap, type ConfigMap, EXTENDED_START, HEADER_OWNER, NOBODY } from './config-map.js';

/** What a write to config space may set off elsewhere in VFIO. */
export interface ConfigEffects {
  /** DisINTx as the driver wants it changed. */
  intxDisabled(disabled: boolean): void;
  readonly msiIsEnabled: boolean;
  /** Log2 of the MSI vectors in use. */
  readonly msiQueueMax: number;
  setPowerState(state: number): void;
  /** pci_try_reset_function(), result ignored. */
  resetFunction(): void;
}

type Width = 1 | 2 | 4;

export class VirtualConfig {
  readonly #map: ConfigMap;
  readonly #msi: Permissions;
  /** The BARs that the hardware should hold, to see a reset behind VFIO's back. */
  readonly #realBars: readonly number[];
  #barsDirty = true;

  constructor(
    readonly pci: PciDevice,
    readonly hideIntx: boolean,
    readonly effects: ConfigEffects,
  ) {
    this.#map = buildConfigMap(pci, hideIntx);
    const at = pci.msiCap;
    const flags = at === undefined ? 0 : pci.read(at + 2, 2);
    this.#msi = msiPermissions(24, flags);
    this.#realBars = [
      ...Array.from({ length: 6 }, (_, i) => pci.read(BAR0 + 4 * i, 4)),
      pci.read(ROM_ADDRESS, 4),
    ];
  }

  get size(): number {
    return this.#map.copy.length;
  }

  get interruptPin(): number {
    return this.#map.copy[0x3d] ?? 0;
  }

  /** __vfio_pci_memory_enabled() */
  get memoryEnabled(): boolean {
    if (this.pci.currentState >= D3HOT) return false;
    return this.pci.isVirtual || (this.#copy(COMMAND, 2) & COMMAND_MEMORY) !== 0;
  }

  /** vfio_pci_config_rw(): all of it, or EFAULT; pieces before the bad one have been done. */
  access(offset: number, bytes: Uint8Array, write: boolean): number {
    let done = 0;
    while (done < bytes.length) {
      const at = offset + done;
      if (at >= this.size || at + (bytes.length - done) > this.size) return -EFAULT;
      const width = this.#pieceWidth(at, bytes.length - done);
      if (write) {
        let value = 0;
        for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[done + i] as number);
        this.#write(at, width, value);
      } else {
        const value = this.#read(at, width);
        for (let i = 0; i < width; i++) bytes[done + i] = (value >>> (8 * i)) & 0xff;
      }
      done += width;
    }
    return done;
  }

  /** Aligned, and within one capability's part of one dword (vfio_config_do_rw). */
  #pieceWidth(at: number, count: number): Width {
    const { owner } = this.#map;
    let remaining = 1;
    while ((at + remaining) % 4 !== 0 && owner[at + remaining] === owner[at]) remaining++;
    const most = Math.min(count, remaining);
    if (most >= 4 && at % 4 === 0) return 4;
    return most >= 2 && at % 2 === 0 ? 2 : 1;
  }

  #permissions(at: number): {
    readonly permissions: Permissions;
    readonly start: number;
    readonly id: number;
  } {
    const { owner } = this.#map;
    const id = owner[at] as number;
    if (id === NOBODY) return { permissions: UNASSIGNED, start: at, id };
    if (id === HEADER_OWNER && at < EXTENDED_START) return { permissions: BASIC, start: 0, id };
    const floor = at >= EXTENDED_START ? EXTENDED_START : 0x40;
    let start = at;
    while (start > floor && owner[start - 1] === id) start--;
    if (at >= EXTENDED_START) {
      return { permissions: id > EXTENDED_MAX ? DIRECT : extendedPermissions(id), start, id: id | 0x100 };
    }
    return { permissions: id === MSI ? this.#msi : standardPermissions(id), start, id };
  }

  #copy(at: number, width: Width): number {
    const { copy } = this.#map;
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (copy[at + i] as number);
    return value;
  }

  #setCopy(at: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) this.#map.copy[at + i] = (value >>> (8 * i)) & 0xff;
  }

  #read(at: number, width: Width): number {
    const { permissions, start, id } = this.#permissions(at);
    const offset = at - start;
    if (permissions.read === 'raw') return this.pci.read(at, width);
    if (permissions.read === 'direct') return this.#readDirect(at, offset, width);
    if (id === HEADER_OWNER && isBar(at)) this.#fixBars();
    let value = this.#readMixed(at, offset, width, permissions);
    if (id === HEADER_OWNER && at === COMMAND && this.pci.isVirtual)
      value |= this.#copy(COMMAND, 2) & COMMAND_MEMORY;
    return value >>> 0;
  }

  /** vfio_default_config_read() */
  #readMixed(at: number, offset: number, width: Width, permissions: Permissions): number {
    const virtual = mask(permissions.virtual, offset, width);
    const all = width === 4 ? 0xffff_ffff : 2 ** (8 * width) - 1;
    const copied = this.#copy(at, width);
    if (virtual === all) return copied;
    return ((this.pci.read(at, width) & ~virtual) | (copied & virtual)) >>> 0;
  }

  /** vfio_direct_config_read(): the hardware's, but ids and next pointers as VFIO arranged them. */
  #readDirect(at: number, offset: number, width: Width): number {
    const value = this.pci.read(at, width);
    if (at >= EXTENDED_START) return offset < 4 ? this.#copy(at, width) : value;
    if (offset === 0 && width > 1) return ((value & ~0xffff) | this.#copy(at, 2)) >>> 0;
    return offset === 1 ? ((value & ~0xff) | this.#copy(at, 1)) >>> 0 : value;
  }

  #write(at: number, width: Width, value: number): void {
    const { permissions, start, id } = this.#permissions(at);
    const offset = at - start;
    switch (permissions.write) {
      case 'none':
        return;
      case 'raw':
        this.pci.write(at, width, value);
        return;
      case 'masked':
        break;
    }
    switch (id) {
      case HEADER_OWNER:
        this.#writeHeader(at, width, value);
        return;
      case PM:
        this.#writeMasked(at, offset, width, value, permissions);
        if (offset === 4) this.effects.setPowerState(value & 3);
        return;
      case VPD:
        this.#writeMasked(at, offset, width, value, permissions);
        if (offset <= 3 && offset + width > 3) this.#vitalProductData(start);
        return;
      case MSI:
        this.#writeMasked(at, offset, width, value, permissions);
        if (offset <= 2 && offset + width >= 2) this.#writeMsiFlags(start);
        return;
      case EXPRESS:
        this.#writeExpress(at, offset, width, value, permissions);
        return;
      case AF:
        this.#writeMasked(at, offset, width, value, permissions);
        this.#advancedFeatures(start);
        return;
      default:
        this.#writeMasked(at, offset, width, value, permissions);
    }
  }

  /** vfio_default_config_write() */
  #writeMasked(at: number, offset: number, width: Width, value: number, permissions: Permissions): void {
    const writable = mask(permissions.writable, offset, width);
    const virtual = mask(permissions.virtual, offset, width);
    const toCopy = (writable & virtual) >>> 0;
    const toHardware = (writable & ~virtual) >>> 0;
    if (toCopy !== 0) this.#setCopy(at, width, (this.#copy(at, width) & ~toCopy) | (value & toCopy));
    if (toHardware !== 0) {
      const held = this.pci.read(at, width);
      this.pci.write(at, width, (held & ~toHardware) | (value & toHardware));
    }
  }

  /** vfio_basic_config_write() */
  #writeHeader(at: number, width: Width, value: number): void {
    if (at === COMMAND) this.#recoverFromReset(value);
    this.#writeMasked(at, at, width, value, BASIC);
    if (at === COMMAND) {
      const decode = COMMAND_IO | COMMAND_MEMORY;
      this.#setCopy(COMMAND, 2, (this.#copy(COMMAND, 2) & ~decode) | (value & decode));
    }
    if (at === COMMAND || at === COMMAND + 1)
      this.effects.intxDisabled((this.#copy(COMMAND, 2) & COMMAND_INTX_DISABLE) !== 0);
    if (isBar(at)) this.#barsDirty = true;
  }

  /** A device that reset itself lost its BARs: they are written back before it answers (vfio_bar_restore). */
  #recoverFromReset(command: number): void {
    const { pci } = this;
    const physical = pci.command;
    const known = this.#copy(COMMAND, 2);
    const lost = (bit: number) => (command & bit) !== 0 && (known & bit) !== 0 && (physical & bit) === 0;
    const barsLost = this.#realBars
      .slice(0, 6)
      .some((bar, i) => bar !== 0 && pci.read(BAR0 + 4 * i, 4) !== bar);
    if (!((lost(COMMAND_MEMORY) && !pci.isVirtual) || lost(COMMAND_IO) || barsLost) || pci.isVirtual) return;
    this.#realBars.forEach((bar, i) => {
      pci.write(i === ROM_RESOURCE ? ROM_ADDRESS : BAR0 + 4 * i, 4, bar);
    });
    if (this.hideIntx) pci.intx(false);
  }

  /** vfio_bar_fixup(): the copy behaves as BARs of these sizes would. */
  #fixBars(): void {
    if (!this.#barsDirty) return;
    this.#barsDirty = false;
    const { resources } = this.pci;
    for (let i = 0; i < 6; i++) {
      const resource = resources[i];
      const at = BAR0 + 4 * i;
      if (resource === undefined) {
        this.#setCopy(at, 4, 0);
        continue;
      }
      const sizeMask = ~(BigInt(resource.size) - 1n);
      const kind = resource.io ? 'io' : resource.wide ? 'memory64' : 'memory32';
      const flags = barFlags({ kind, size: resource.size, prefetchable: resource.prefetchable });
      this.#setCopy(at, 4, (this.#copy(at, 4) & Number(BigInt.asUintN(32, sizeMask))) | flags);
      if (!resource.wide) continue;
      i++;
      this.#setCopy(at + 4, 4, this.#copy(at + 4, 4) & Number(BigInt.asUintN(32, sizeMask >> 32n)));
    }
    const rom = resources[ROM_RESOURCE];
    const romMask = rom === undefined ? 0 : ~(rom.size - 1) | 1;
    this.#setCopy(ROM_ADDRESS, 4, this.#copy(ROM_ADDRESS, 4) & romMask);
  }

  /** vfio_vpd_config_write(): the transfer is done at once, and the flag says so by changing. */
  #vitalProductData(start: number): void {
    const address = this.#copy(start + 2, 2);
    const at = address & 0x7fff;
    if ((address & 0x8000) !== 0) {
      if (!this.pci.writeVpd(at, this.#copy(start + 4, 4))) return;
    } else {
      const data = this.pci.readVpd(at);
      if (data === undefined) return;
      this.#setCopy(start + 4, 4, data);
    }
    this.#setCopy(start + 2, 2, address ^ 0x8000);
  }

  /** vfio_msi_config_write(): enable only after SET_IRQS, no more messages than it asked for. */
  #writeMsiFlags(start: number): void {
    let flags = this.#copy(start + 2, 2);
    if (!this.effects.msiIsEnabled) flags &= ~1;
    if ((flags & 0x70) >>> 4 > this.effects.msiQueueMax)
      flags = (flags & ~0x70) | (this.effects.msiQueueMax << 4);
    this.#setCopy(start + 2, 2, flags);
    this.pci.write(start + 2, 2, flags);
  }

  /** vfio_exp_config_write(): FLR and read request size are done by VFIO. */
  #writeExpress(at: number, offset: number, width: Width, value: number, permissions: Permissions): void {
    const start = at - offset;
    const READ_REQUEST = 0x7000;
    const before = this.#copy(start + 8, 2) & READ_REQUEST;
    this.#writeMasked(at, offset, width, value, permissions);
    const control = this.#copy(start + 8, 2);
    if ((control & 0x8000) !== 0) {
      this.#setCopy(start + 8, 2, control & 0x7fff);
      if ((this.pci.read(start + 4, 4) & 0x1000_0000) !== 0) this.effects.resetFunction();
    }
    const after = control & READ_REQUEST;
    if (after !== before) this.pci.setMaxReadRequest(Math.max(128 << (after >>> 12), this.pci.maxPayload));
  }

  /** vfio_af_config_write() */
  #advancedFeatures(start: number): void {
    const control = this.#copy(start + 4, 1);
    if ((control & 1) === 0) return;
    this.#setCopy(start + 4, 1, control & ~1);
    if ((this.pci.read(start + 3, 1) & 3) === 3) this.effects.resetFunction();
  }
}

function isBar(at: number): boolean {
  return (at >= BAR0 && at < BAR0 + 24) || (at >= ROM_ADDRESS && at < ROM_ADDRESS + 4);
}

function mask(bits: Uint8Array, offset: number, width: Width): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + (bits[offset + i] ?? 0);
  return value;
}
