// SPDX-License-Identifier: Apache-2.0
/** A device out of a trace: its identity, and what it did (player.ts). */
import { ConfigSpace } from '../../../abi/pci/config-space.js';
import { touchedText } from '../../../abi/register-access.js';
import { DeviceRegisters } from '../../../abi/registers/choose.js';
import { hex, hexWidth } from '../../../abi/text.js';
import { CONFIG_REGION, regionName } from '../../../abi/vfio/regions.js';
import type { Trace } from '../../../traces/reader.js';
import type { Device, DriverWatch, Host, Width } from '../device.js';
import { MSIX } from '../pci/capabilities.js';
import type { PciDescription } from '../pci/description.js';
import type { Departure, DriverSite, PlayReport } from './departure.js';
import { identify } from './identity.js';
import { Player } from './player.js';
import { readScript } from './script.js';

export interface RecordedOptions {
  /** The device's opens in the trace. */
  readonly objects: ReadonlySet<number>;
  /** At the first departure nothing is done any more. */
  readonly stops: boolean;
  readonly onDeparture: (departure: Departure) => void;
  /** The driver waits, and nothing is left of the recording. */
  readonly onExhausted?: () => void;
  /** Where the driver is now, where that can be told. */
  readonly site?: () => DriverSite | undefined;
  readonly masked?: (region: number, offset: number, register: string | undefined) => bigint;
}

export class RecordedDevice implements Device {
  readonly pci: PciDescription;
  readonly driver: DriverWatch;
  readonly #player: Player;
  readonly #trace: Trace;
  readonly #bdf: string;

  /** Keeps the trace open until it is closed. */
  constructor(trace: Trace, { objects, stops, onDeparture, onExhausted, site, masked }: RecordedOptions) {
    const { definition, pci } = identify(trace, objects);
    this.#trace = trace;
    this.#bdf = definition.bdf;
    this.pci = pci;
    const config = new ConfigSpace(definition.config);
    const { vendor, device, classCode } = pci;
    const registers = new DeviceRegisters({ vendor, device, classCode }, config);
    const lookup = (region: number) => (region === CONFIG_REGION ? config.lookup : registers.lookup(region));
    const tables = msixPlaces(pci);
    this.#player = new Player({
      bdf: definition.bdf,
      script: readScript(trace, {
        objects,
        isTable: (region, offset) =>
          tables.some(({ bar, start, end }) => region === bar && offset >= start && offset < end),
      }),
      masked: (region, offset) => masked?.(region, offset, lookup(region)(offset)?.name) ?? 0n,
      text: (region, offset, width, value) => {
        const text = offset > 0xffff_ffff ? '' : touchedText(lookup(region), offset, width, value);
        const plain = width <= 8 ? hexWidth(value, width) : `${width} bytes`;
        return `${regionName(region)}+${hex(offset)}${text === '' ? ` = ${plain}` : text}`;
      },
      stops,
      depart: onDeparture,
      exhausted: onExhausted ?? (() => undefined),
      site: site ?? (() => undefined),
    });
    this.driver = this.#player;
  }

  attach(host: Host): void {
    this.#player.attach(host);
  }

  read(bar: number, offset: number, width: Width): bigint {
    return this.#player.read(bar, offset, width);
  }

  write(bar: number, offset: number, width: Width, value: bigint): void {
    this.#player.write(bar, offset, width, value);
  }

  /** What a reset does to registers is in the recording. */
  reset(): void {}

  /** The driver has ended: what is left of the script, and what has come of it. */
  finish(): PlayReport {
    this.#player.finish();
    const { writes, reads, dmaBytes, interrupts, departures, departed } = this.#player;
    return {
      trace: this.#trace.name,
      bdf: this.#bdf,
      writes,
      reads,
      dmaBytes,
      interrupts,
      departures,
      departed,
    };
  }

  close(): void {
    this.#trace.close();
  }
}

interface TablePlace {
  readonly bar: number;
  readonly start: number;
  readonly end: number;
}

/** Where the function itself answers (pci/msix-table.ts). */
function msixPlaces({ capabilities }: PciDescription): readonly TablePlace[] {
  const found = capabilities.find(({ id }) => id === MSIX)?.bytes;
  if (found === undefined || found.length < 12) return [];
  const view = new DataView(found.buffer, found.byteOffset, found.length);
  const vectors = (view.getUint16(2, true) & 0x7ff) + 1;
  return [
    [4, vectors * 16],
    [8, Math.ceil(vectors / 64) * 8],
  ].map(([at = 0, size = 0]) => {
    const register = view.getUint32(at, true);
    const start = register & ~7;
    return { bar: register & 7, start: start >>> 0, end: (start >>> 0) + size };
  });
}
