// SPDX-License-Identifier: Apache-2.0
/** The capabilities of a configuration space that was recorded, with the bits that a driver reaches in those that do something. */
import * as known from '../pci/capabilities.js';
import type { CapabilityDescription, PciDescription } from '../pci/description.js';

const STATUS_CAPABILITIES = 0x10;
/** What fits between the header and the end, four bytes each. */
const CAPABILITIES_MOST = 48;
const EXTENDED_MOST = 960;
const HEADER = 0x40;
const EXTENDED = 0x100;

export type RecordedCapabilities = Required<
  Pick<PciDescription, 'capabilities' | 'extendedCapabilities' | 'gaps'>
>;

export function readCapabilities(config: Uint8Array): RecordedCapabilities {
  const view = new DataView(config.buffer, config.byteOffset, config.length);
  const places = (view.getUint16(6, true) & STATUS_CAPABILITIES) === 0 ? [] : standardPlaces(view);
  const extended = config.length > EXTENDED ? extendedPlaces(view) : [];
  const capabilities = places.map((offset) => standard(view, offset, endOf(offset, places, EXTENDED)));
  const extendedCapabilities = extended.map((offset) =>
    extendedCapability(view, offset, endOf(offset, extended, config.length)),
  );
  const owned = new Uint8Array(config.length);
  for (const { offset, bytes } of [...capabilities, ...extendedCapabilities])
    owned.fill(1, offset, offset + bytes.length);
  const gaps: (readonly [number, number])[] = [];
  for (let at = HEADER; at < config.length; at++)
    if (owned[at] === 0 && config[at] !== 0) gaps.push([at, config[at] as number]);
  return { capabilities, extendedCapabilities, gaps };
}

function standardPlaces(view: DataView): readonly number[] {
  const places: number[] = [];
  let at = view.getUint8(0x34) & ~3;
  while (at >= HEADER && !places.includes(at) && places.length < CAPABILITIES_MOST) {
    places.push(at);
    at = view.getUint8(at + 1) & ~3;
  }
  return places;
}

function extendedPlaces(view: DataView): readonly number[] {
  const places: number[] = [];
  const seen = new Set<number>();
  let at = EXTENDED;
  while (at >= EXTENDED && !seen.has(at) && places.length < EXTENDED_MOST) {
    const header = view.getUint32(at, true);
    if (header === 0 || header === 0xffff_ffff) break;
    seen.add(at);
    places.push(at);
    at = (header >>> 20) & ~3;
  }
  return places;
}

function endOf(offset: number, places: readonly number[], end: number): number {
  return places.reduce((least, place) => (place > offset && place < least ? place : least), end);
}

/** The masks of a capability like it, as far as this one is long. */
function like(
  view: DataView,
  offset: number,
  length: number,
  model: CapabilityDescription | undefined,
): CapabilityDescription {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, length).slice();
  const cut = (mask: Uint8Array | undefined): Uint8Array | undefined => {
    if (mask === undefined) return undefined;
    const whole = new Uint8Array(length);
    whole.set(mask.subarray(0, length));
    return whole;
  };
  const writable = cut(model?.writable);
  const writeOneToClear = cut(model?.writeOneToClear);
  return {
    id: view.getUint8(offset),
    offset,
    bytes,
    ...(writable !== undefined && { writable }),
    ...(writeOneToClear !== undefined && { writeOneToClear }),
  };
}

function standard(view: DataView, offset: number, end: number): CapabilityDescription {
  const room = end - offset;
  const control = room >= 4 ? view.getUint16(offset + 2, true) : 0;
  const take = (length: number): number => Math.min(room, length);
  const off = (found: CapabilityDescription, ...bits: readonly number[]): CapabilityDescription => {
    // Whether it was enabled when sysfs was read is nothing of the device's.
    bits.forEach((mask, i) => {
      found.bytes[2 + i] = (found.bytes[2 + i] ?? 0) & ~mask;
    });
    return found;
  };
  switch (view.getUint8(offset)) {
    case known.PM: {
      const found = like(view, offset, take(8), known.pm({ offset, noSoftReset: true }));
      // What nobody uses may sleep; an open wakes it (vfio_pci_core_enable).
      if (found.bytes.length > 4) found.bytes[4] = (found.bytes[4] as number) & ~3;
      return found;
    }
    case known.MSI: {
      const wide = (control & 0x80) !== 0;
      const maskable = (control & 0x100) !== 0;
      const vectors = (1 << Math.min(5, (control >>> 1) & 7)) as 1 | 2 | 4 | 8 | 16 | 32;
      const model = known.msi({ offset, vectors, wide, maskable });
      return off(like(view, offset, take(model.bytes.length), model), 0x71);
    }
    case known.MSIX: {
      const nowhere = { bar: 0, offset: 0 };
      const model = known.msix({ offset, vectors: 1, table: nowhere, pba: nowhere });
      return off(like(view, offset, take(12), model), 0, 0xc0);
    }
    case known.EXPRESS: {
      const isFirst = (control & 0xf) < 2;
      return like(view, offset, take(isFirst ? 0x14 : 0x3c), known.express({ offset }));
    }
    case known.AF:
      return like(view, offset, take(6), known.advancedFeatures(offset));
    case known.VPD:
      return like(view, offset, take(8), known.vitalProductData(offset));
    case known.VENDOR: {
      const length = take(Math.max(3, room >= 3 ? view.getUint8(offset + 2) : 3));
      return like(view, offset, length, known.vendor(offset, new Uint8Array(Math.max(0, length - 3))));
    }
    default:
      return like(view, offset, take(room), undefined);
  }
}

function extendedCapability(view: DataView, offset: number, end: number): CapabilityDescription {
  const header = view.getUint32(offset, true);
  const isErrors = (header & 0xffff) === known.AER;
  const model = isErrors ? known.advancedErrors(offset) : undefined;
  const length = Math.min(end - offset, model?.bytes.length ?? end - offset);
  return { ...like(view, offset, length, model), id: header & 0xffff, version: (header >>> 16) & 15 };
}
