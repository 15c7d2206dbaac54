// SPDX-License-Identifier: Apache-2.0

/**
 * What QEMU is told to write down: every access that reaches a device model, after it has been routed and cut to what the
 * model takes (softmmu/memory.c memory_region_read_accessor and its kin). The address is the guest's physical one.
 */
export const traceEvents = ['memory_region_ops_read', 'memory_region_ops_write'] as const;

/** Models of the machine itself that are touched so often that their lines would be most of the log. No PCI BAR is theirs. */
export const platformModels = ['acpi-tmr', 'apic-msi', 'hpet', 'pci-conf-idx', 'pcspk', 'vtd-ir'] as const;

/** One access to a BAR as a device model saw it. */
export interface SeenAccess {
  readonly bdf: string;
  readonly region: number;
  readonly offset: bigint;
  readonly width: number;
  readonly value: bigint;
  readonly write: boolean;
  readonly line: number;
}

/** Where a BAR lies in the guest. */
export interface BarPlace {
  readonly bdf: string;
  readonly region: number;
  readonly first: bigint;
  readonly last: bigint;
}

/** The window of one run, in the order in which the devices saw it: QEMU's one big lock is held for an access and its line. */
export interface Window {
  readonly accesses: readonly SeenAccess[];
  /** Accesses to MSI-X tables and pending bits, which vfio-pci keeps for the kernel. */
  readonly msix: number;
}

/**
 * What the guest writes to a read-only register of the host bridge's config space where a run begins and ends
 * (guest/lib.sh mark): nothing else writes such a value, and no clock has to be shared.
 */
export function markValue(run: number, end: boolean): number {
  return (end ? 0x9ee7_0000 : 0x9eb1_0000) + run;
}

/** Ports 0xcf8 and 0xcfc, and the memory-mapped way. */
const configModels: ReadonlySet<string> = new Set(['pci-conf-data', 'pcie-mmcfg-mmio']);

/** Reads `BDF` lines, each followed by the lines of that device's `resource` file in sysfs. */
export function parseResources(text: string): readonly BarPlace[] {
  const places: BarPlace[] = [];
  let bdf = '';
  let region = 0;
  for (const line of text.split('\n')) {
    const range = /^0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+$/.exec(line);
    if (range === null) {
      bdf = line.trim();
      region = 0;
      continue;
    }
    const first = BigInt(`0x${range[1]}`);
    const last = BigInt(`0x${range[2]}`);
    // Six BARs; what follows is the ROM and bridges' windows.
    if (last > 0n && region < 6) places.push({ bdf, region, first, last });
    region++;
  }
  return places;
}

/** The part of QEMU's log that lies between the marks of a run; undefined when they are not there. */
export function windowOf(log: string, places: readonly BarPlace[], run: number): Window | undefined {
  const accesses: SeenAccess[] = [];
  let msix = 0;
  const begin = BigInt(markValue(run, false));
  const end = BigInt(markValue(run, true));
  let open = false;
  for (const [index, text] of log.split('\n').entries()) {
    const line = parseLine(text);
    if (line === undefined) continue;
    if (line.write && line.width === 4 && configModels.has(line.model)) {
      if (line.value === begin) open = true;
      if (open && line.value === end) return { accesses, msix };
      continue;
    }
    const place = open
      ? places.find(({ first, last }) => line.address >= first && line.address <= last)
      : undefined;
    if (place === undefined) continue;
    if (line.model.startsWith('msix-')) {
      msix++;
      continue;
    }
    const { width, value, write } = line;
    const offset = line.address - place.first;
    accesses.push({ bdf: place.bdf, region: place.region, offset, width, value, write, line: index + 1 });
  }
  return undefined;
}

interface Line {
  readonly address: bigint;
  readonly width: number;
  readonly value: bigint;
  readonly write: boolean;
  readonly model: string;
}

// cpu -1 is QEMU itself, e.g. a device's DMA into another's BAR: none of the driver's instructions.
const form =
  /memory_region_ops_(read|write) cpu \d+ mr 0x[0-9a-f]+ addr 0x([0-9a-f]+) value 0x([0-9a-f]+) size (\d+) name '(.*)'/;

function parseLine(text: string): Line | undefined {
  const [, direction, address, value, size, model] = form.exec(text) ?? [];
  if (model === undefined) return undefined;
  const width = Number(size);
  return {
    address: BigInt(`0x${address}`),
    width,
    value: BigInt.asUintN(width * 8, BigInt(`0x${value}`)),
    write: direction === 'write',
    model,
  };
}
