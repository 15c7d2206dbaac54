// SPDX-License-Identifier: Apache-2.0
/** What device a trace was recorded of: ids, capabilities, BARs, interrupts, as sysfs and the ioctls told. */

import { findIoctl } from '../../../abi/ioctls.js';
import { decode } from '../../../abi/layout.js';
import { escapeText } from '../../../abi/text.js';
import { UserError } from '../../../abi/user-error.js';
import { DEVICE_FLAGS, DEVICE_INFO } from '../../../abi/vfio/device-info.js';
import { CONFIG_REGION, ROM_REGION } from '../../../abi/vfio/regions.js';
import { payloadOf } from '../../../session/payloads.js';
import { Session, STATE_KINDS } from '../../../session/state.js';
import { type DeviceDefinition, EventKind, ObjectKind, PayloadRole } from '../../../traces/model.js';
import type { Trace } from '../../../traces/reader.js';
import type { BarDescription, PciDescription, RomDescription } from '../pci/description.js';
import { bytesMoved } from './accesses.js';
import { readCapabilities } from './capabilities.js';

/** include/linux/ioport.h */
const IORESOURCE_IO = 0x100;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_MEM_64 = 0x10_0000;
const BARS = 6;
/** No BAR of a card is larger: a driver's mmap reserves so many addresses. */
const BAR_MOST = 2n ** 40n;
const ROM_MOST = 16 << 20;

export interface RecordedIdentity {
  readonly definition: DeviceDefinition;
  /** The device's opens in the trace. */
  readonly objects: ReadonlySet<number>;
  readonly pci: PciDescription;
}

/** The devices that were opened in the recording, by address. */
export function recordedDevices(trace: Trace): ReadonlyMap<string, ReadonlySet<number>> {
  const found = new Map<string, Set<number>>();
  for (const { id, kind, device } of trace.definitions.objects.values()) {
    if (kind !== ObjectKind.DEVICE && kind !== ObjectKind.CDEV) continue;
    const bdf = trace.definitions.devices.get(device)?.bdf;
    if (bdf === undefined) continue;
    const objects = found.get(bdf) ?? new Set();
    found.set(bdf, objects.add(id));
  }
  return found;
}

interface Learnt {
  readonly sizes: Map<number, bigint>;
  readonly config: (number | undefined)[];
  readonly rom: Map<number, number>;
  /** VFIO_DEVICE_GET_INFO's; undefined when it was not asked. */
  flags: number | undefined;
}

/** Reads what the trace tells of one device; says in one line why that is not enough. */
export function identify(trace: Trace, objects: ReadonlySet<number>): RecordedIdentity {
  const [first] = objects;
  const definition = trace.definitions.devices.get(trace.definitions.objects.get(first ?? 0)?.device ?? 0);
  if (definition === undefined) throw new UserError(`${trace.name}: no device was opened in this recording`);
  const learnt = learn(trace, objects, definition);
  const config = Uint8Array.from(learnt.config, (byte) => byte ?? 0);
  if (definition.vendor === 0 && (config[0] ?? 0) + (config[1] ?? 0) === 0)
    throw new UserError(
      `${trace.name}: the recording does not tell what device ${escapeText(definition.bdf)} was: neither its sysfs files nor its configuration space were read`,
    );
  return { definition, objects, pci: describe(trace.name, definition, learnt, config) };
}

/** What is asked later is as good as what was asked first: nothing of this changes. */
function learn(trace: Trace, objects: ReadonlySet<number>, definition: DeviceDefinition): Learnt {
  const learnt: Learnt = {
    sizes: new Map(),
    config: [...definition.config],
    rom: new Map(),
    flags: undefined,
  };
  const session = new Session(trace.definitions);
  for (const event of trace.events({ kinds: STATE_KINDS })) {
    session.apply(event);
    if (!objects.has(event.object) || event.errno !== 0) continue;
    if (event.kind === EventKind.READ) {
      const place = session.device(event.object)?.locate(event.offset);
      const bytes = bytesMoved(event);
      const at = Number(place?.offset ?? 0n);
      if (place?.index === CONFIG_REGION && at + bytes.length <= 4096)
        bytes.forEach((byte, i) => {
          learnt.config[at + i] ??= byte;
        });
      if (place?.index === ROM_REGION && at + bytes.length <= ROM_MOST)
        bytes.forEach((byte, i) => void learnt.rom.set(at + i, byte));
    } else if (event.kind === EventKind.IOCTL) {
      const name = findIoctl(session.names.kind(event.object), event.op)?.name;
      const after = payloadOf(event, PayloadRole.OUT);
      if (name === 'VFIO_DEVICE_GET_INFO' && after !== undefined)
        learnt.flags = (learnt.flags ?? 0) | (decode(DEVICE_INFO, after).flags ?? 0);
    }
  }
  for (const object of objects)
    for (const { index, size } of session.device(object)?.regions.values() ?? [])
      learnt.sizes.set(index, size);
  return learnt;
}

function describe(
  name: string,
  definition: DeviceDefinition,
  { sizes, rom, flags, config: known }: Learnt,
  bytes: Uint8Array,
): PciDescription {
  const configSize = known.length > 256 || (sizes.get(CONFIG_REGION) ?? 0n) > 256n ? 4096 : 256;
  const config = new Uint8Array(configSize);
  config.set(bytes.subarray(0, configSize));
  const u16 = (at: number): number => (config[at] as number) | ((config[at + 1] as number) << 8);
  const virtualFunction = known.length >= 4 && u16(0) === 0xffff && u16(2) === 0xffff;
  const vendor = definition.vendor === 0 ? u16(0) : definition.vendor;
  const device = definition.vendor === 0 ? u16(2) : definition.device;
  const { capabilities, extendedCapabilities, gaps } = readCapabilities(config);
  const pin = config[0x3d] as number;
  const hasReset = flags !== undefined && (flags & DEVICE_FLAGS.bits.RESET) !== 0;
  const romDescription = romOf(sizes.get(ROM_REGION) ?? 0n, rom);
  return {
    vendor,
    device,
    subsystemVendor: definition.vendor === 0 ? u16(0x2c) : definition.subsystemVendor,
    subsystem: definition.vendor === 0 ? u16(0x2e) : definition.subsystemDevice,
    classCode:
      definition.vendor === 0 ? (config[9] as number) | (u16(10) << 8) : definition.classCode & 0xff_ffff,
    revision: definition.vendor === 0 ? (config[8] as number) : definition.revision & 0xff,
    interruptPin: (pin <= 4 ? pin : 0) as PciDescription['interruptPin'],
    interruptLine: config[0x3c] as number,
    bars: bars(name, definition, sizes, config),
    ...(romDescription !== undefined && { rom: romDescription }),
    configSize,
    capabilities,
    extendedCapabilities,
    gaps,
    specificReset: hasReset,
    // What its capabilities offer an administrator may have taken away (reset_method).
    noReset: flags !== undefined && !hasReset,
    virtualFunction,
  };
}

function romOf(size: bigint, content: ReadonlyMap<number, number>): RomDescription | undefined {
  if (size === 0n || size > BigInt(ROM_MOST) || (size & (size - 1n)) !== 0n) return undefined;
  const bytes = new Uint8Array(Number(size)).fill(0xff);
  bytes.set([0x55, 0xaa]);
  for (const [at, byte] of content) bytes[at] = byte;
  return { size: Number(size), content: bytes };
}

function bars(
  name: string,
  definition: DeviceDefinition,
  sizes: ReadonlyMap<number, bigint>,
  config: Uint8Array,
): readonly (BarDescription | undefined)[] {
  const list: (BarDescription | undefined)[] = [];
  const view = new DataView(config.buffer);
  while (list.length < BARS) {
    const index = list.length;
    const resource = definition.resources.find((one) => one.index === index);
    const size = sizes.get(index) ?? resource?.size ?? 0n;
    if (size === 0n) {
      list.push(undefined);
      continue;
    }
    if (size > BAR_MOST || (size & (size - 1n)) !== 0n)
      throw new UserError(`${name}: BAR${index} of ${size} bytes: no device has such a BAR`);
    const register = view.getUint32(0x10 + 4 * index, true);
    const flags = Number(resource?.flags ?? 0n);
    const io = resource === undefined ? (register & 1) !== 0 : (flags & IORESOURCE_IO) !== 0;
    const wide = !io && index + 1 < BARS && ((flags & IORESOURCE_MEM_64) !== 0 || (register & 7) === 4);
    const prefetchable = !io && ((flags & IORESOURCE_PREFETCH) !== 0 || (register & 9) === 8);
    const high = wide ? view.getUint32(0x14 + 4 * index, true) : 0;
    const address = (BigInt(high) << 32n) | (BigInt(register & (io ? ~3 : ~15) & 0xffff_ffff) & 0xffff_ffffn);
    list.push({
      size: Number(size),
      kind: io ? 'io' : wide ? 'memory64' : 'memory32',
      prefetchable,
      ...(address > 0n && address % size === 0n && { address }),
    });
    if (wide) list.push(undefined);
  }
  return list;
}
