// SPDX-License-Identifier: Apache-2.0
/** The file of `--sim generic:FILE`: a PCI function described in JSON (docs/generic-device.md has the keys). */
import { readFileSync } from 'node:fs';
import { UserError } from '../../abi/user-error.js';
import {
  Generic,
  type GenericAction,
  type GenericRegister,
  type GenericTrigger,
} from '../devices/generic/generic.js';
import { advancedFeatures, express, msi, msix, pm } from '../devices/pci/capabilities.js';
import type { BarDescription, CapabilityDescription } from '../devices/pci/description.js';

const FILE_MOST = 1 << 20;
const ACTS = [
  ...(['message', 'intx', 'dma-read', 'dma-write', 'forget', 'vanish'] as const),
  ...(['take-away', 'suspend'] as const),
];

export function readGeneric(path: string): Generic {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(
      `--sim generic: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (text.length > FILE_MOST) throw new UserError(`--sim generic: ${path} is larger than a MiB`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // What it quotes of the file may have lines.
    const what = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ');
    throw new UserError(`--sim generic: ${path}: ${what}`);
  }
  return describe(new Fields(path, '', value));
}

function describe(top: Fields): Generic {
  const bars: (BarDescription | undefined)[] = [];
  for (const bar of top.list('bars')) {
    const index = bars.length;
    const size = bar.number('size', 0, 2 ** 31);
    if (size === 0) {
      bars.push(undefined);
      bar.done();
      continue;
    }
    const kind = bar.choice('kind', ['memory32', 'memory64', 'io'], 'memory32');
    const least = kind === 'io' ? 4 : 16;
    if (size < least || 2 ** Math.round(Math.log2(size)) !== size)
      bar.wrong('size', `a power of two from ${least}`);
    bars.push({ size, kind, prefetchable: bar.flag('prefetchable') });
    if (kind === 'memory64') bars.push(undefined);
    bar.done();
    if (bars.length > 6) top.wrong('bars', `at most six places; BAR ${index} is one too many`);
  }
  const registers = top.list('registers').map((register): GenericRegister => {
    const bar = register.number('bar', 0, 5);
    const width = register.number('width', 1, 8, 4) as 1 | 2 | 4 | 8;
    if (![1, 2, 4, 8].includes(width)) register.wrong('width', '1, 2, 4 or 8');
    const size = bars[bar]?.size ?? register.wrong('bar', 'a BAR of this device');
    const offset = register.number('offset', 0, size - width);
    if (offset % width !== 0) register.wrong('offset', `a multiple of ${width}`);
    const value = register.big('value');
    const writable = register.big('writable');
    const clearedByOnes = register.big('clearedByOnes');
    register.done();
    return {
      bar,
      offset,
      width,
      ...(value === undefined ? {} : { value }),
      ...(writable === undefined ? {} : { writable }),
      ...(clearedByOnes === undefined ? {} : { clearedByOnes }),
    };
  });
  const device = new Generic({
    pci: {
      vendor: top.number('vendor', 0, 0xffff),
      device: top.number('device', 0, 0xffff),
      subsystemVendor: top.number('subsystemVendor', 0, 0xffff, 0),
      subsystem: top.number('subsystem', 0, 0xffff, 0),
      classCode: top.number('class', 0, 0xff_ffff),
      revision: top.number('revision', 0, 0xff, 0),
      interruptPin: top.number('interruptPin', 0, 4, 0) as 0 | 1 | 2 | 3 | 4,
      configSize: top.choice('configSize', ['256', '4096'], '256') === '4096' ? 4096 : 256,
      virtualFunction: top.flag('virtualFunction'),
      bars,
      capabilities: capabilities(top, bars),
    },
    registers,
    triggers: top.list('triggers').map((trigger) => triggerOf(trigger, bars)),
  });
  top.done();
  return device;
}

function triggerOf(trigger: Fields, bars: readonly (BarDescription | undefined)[]): GenericTrigger {
  const bar = trigger.number('bar', 0, 5);
  const size = bars[bar]?.size ?? trigger.wrong('bar', 'a BAR of this device');
  const offset = trigger.number('offset', 0, size - 1);
  const value = trigger.big('value');
  const action = actionOf(trigger, size);
  trigger.done();
  return { bar, offset, action, ...(value === undefined ? {} : { value }) };
}

function actionOf(trigger: Fields, size: number): GenericAction {
  const kind = trigger.choice('do', ACTS, '');
  switch (kind) {
    case 'message':
      return { do: kind, vector: trigger.number('vector', 0, 2047, 0) };
    case 'intx':
      return { do: kind, asserted: trigger.flag('asserted') };
    case 'dma-read':
    case 'dma-write': {
      const length = trigger.number('length', 1, size);
      return { do: kind, length, at: trigger.number('at', 0, size - length) };
    }
    case 'forget':
    case 'vanish':
    case 'take-away':
    case 'suspend':
      return { do: kind };
  }
}

/** One after the other from 0x40. */
function capabilities(
  top: Fields,
  bars: readonly (BarDescription | undefined)[],
): readonly CapabilityDescription[] {
  const made: CapabilityDescription[] = [];
  let offset = 0x40;
  const add = (capability: CapabilityDescription): void => {
    made.push(capability);
    offset = (capability.offset + capability.bytes.length + 7) & ~7;
  };
  if (top.flag('powerManagement')) add(pm({ offset, noSoftReset: false }));
  const vectors = top.number('msiVectors', 0, 32, 0);
  if (vectors > 0) {
    if (![1, 2, 4, 8, 16, 32].includes(vectors)) top.wrong('msiVectors', '1, 2, 4, 8, 16 or 32');
    add(msi({ offset, vectors: vectors as 1 | 2 | 4 | 8 | 16 | 32 }));
  }
  const [table, another] = top.list('msix');
  if (another !== undefined) top.wrong('msix', 'one');
  if (table !== undefined) {
    const bar = table.number('bar', 0, 5);
    const count = table.number('vectors', 1, 2048);
    const size = bars[bar]?.size ?? table.wrong('bar', 'a BAR of this device');
    const tableOffset = table.number('table', 0, size - count * 16);
    const pba = table.number('pba', 0, size - Math.ceil(count / 64) * 8);
    if (tableOffset % 8 !== 0 || pba % 8 !== 0) table.wrong('table', 'a multiple of 8, and so should be pba');
    table.done();
    add(msix({ offset, vectors: count, table: { bar, offset: tableOffset }, pba: { bar, offset: pba } }));
  }
  if (top.flag('express')) add(express({ offset, flr: top.flag('functionLevelReset') }));
  else if (top.flag('functionLevelReset')) add(advancedFeatures(offset));
  return made;
}

/** An object's fields, each taken once; what nobody took is a mistake in the file. */
class Fields {
  readonly #values: Map<string, unknown>;

  constructor(
    readonly path: string,
    readonly where: string,
    value: unknown,
  ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new UserError(`--sim generic: ${path}: ${where === '' ? 'the file' : where} should be an object`);
    this.#values = new Map(Object.entries(value));
  }

  wrong(name: string, wanted: string): never {
    throw new UserError(`--sim generic: ${this.path}: ${this.where}${name} should be ${wanted}`);
  }

  number(name: string, least: number, most: number, otherwise?: number): number {
    const value = this.big(name) ?? (otherwise === undefined ? undefined : BigInt(otherwise));
    if (value === undefined || value < BigInt(least) || value > BigInt(most))
      this.wrong(name, `a number from ${least} to ${most} (or a string like "0x10")`);
    return Number(value);
  }

  big(name: string): bigint | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
    if (typeof value === 'string' && /^(0x[0-9a-f]{1,16}|\d{1,19})$/i.test(value)) return BigInt(value);
    return this.wrong(name, 'a number, or a string like "0x10"');
  }

  flag(name: string): boolean {
    const value = this.#take(name) ?? false;
    return typeof value === 'boolean' ? value : this.wrong(name, 'true or false');
  }

  choice<const T extends string>(name: string, allowed: readonly T[], otherwise: T | ''): T {
    const value = String(this.#take(name) ?? otherwise);
    return allowed.find((one) => one === value) ?? this.wrong(name, `one of ${allowed.join(', ')}`);
  }

  /** An array of objects, or one object for an array of one. */
  list(name: string): readonly Fields[] {
    const value = this.#take(name);
    if (value === undefined) return [];
    const items: readonly unknown[] = Array.isArray(value) ? value : [value];
    return items.map((item, index) => new Fields(this.path, `${this.where}${name}[${index}].`, item));
  }

  done(): void {
    const [left] = this.#values.keys();
    if (left !== undefined)
      throw new UserError(`--sim generic: ${this.path}: ${this.where}${left} is not known`);
  }

  #take(name: string): unknown {
    const value = this.#values.get(name);
    this.#values.delete(name);
    return value;
  }
}
