// SPDX-License-Identifier: Apache-2.0
/**
 * `--sim DEVICE`: nvme[:file=F,size=64M,bdf=B], edu[:bdf=B], generic:FILE[,bdf=B], vfio-user:SOCKET[,bdf=B],
 * TRACE.vtape[:device=B,bdf=B]; each also with remove-after=TIME and suspend-after=TIME.
 */
import { parseDuration, parseSize } from '../../abi/quantity.js';
import { escapeText } from '../../abi/text.js';
import { UserError } from '../../abi/user-error.js';
import { TraceError } from '../../traces/errors.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { Edu } from '../devices/edu/edu.js';
import { Nvme } from '../devices/nvme/nvme.js';
import { FileStorage, MemoryStorage } from '../devices/nvme/storage.js';
import type { Departure, DriverSite } from '../devices/recorded/departure.js';
import { recordedDevices } from '../devices/recorded/identity.js';
import { RecordedDevice } from '../devices/recorded/recorded.js';
import { type DeviceSlot, parseBdf } from '../kernel/topology.js';
import type { KernelAbi } from '../kernel/variant.js';
import type { Masks } from '../replay/masks.js';
import { RemoteDevice } from '../vfio-user/remote-device.js';
import { readGeneric } from './generic-file.js';

const DEVICES = 'nvme, edu, generic:FILE, vfio-user:SOCKET and TRACE.vtape';
const TRACE = /^(.*\.vtape)(?::(.*))?$/s;
/** Counted from the moment at which a driver opens the device first. */
const PLANS = ['remove-after', 'suspend-after'] as const;
const SIZE_DEFAULT = 64 << 20;
const SIZE_LEAST = 1 << 20;
const SIZE_MOST = 2 ** 40;

function say(line: string): void {
  process.stderr.write(`vfiotape: ${line}\n`);
}

/** What a device that plays a recording does when its driver leaves the script; it goes on, unless told otherwise. */
export interface PlayOptions {
  readonly stops: boolean;
  readonly onDeparture: (departure: Departure) => void;
  readonly onExhausted?: () => void;
  readonly site?: () => DriverSite | undefined;
  readonly masks?: Masks;
}

const GOES_ON: PlayOptions = { stops: false, onDeparture: () => undefined };

/** As `--sim` has it, or a device of a trace. */
export type DeviceChoice = string | { readonly trace: string; readonly device: string };

export function makeDevice(
  choice: DeviceChoice,
  abi: KernelAbi = 'modern',
  play: PlayOptions = GOES_ON,
): DeviceSlot {
  if (typeof choice === 'string') return parseDevice(choice, abi, play);
  return recorded(choice.trace, choice.trace, new Map([['device', choice.device]]), play, abi);
}

/** The device with its place; says in one line what is wrong with the text. */
export function parseDevice(
  text: string,
  abi: KernelAbi = 'modern',
  play: PlayOptions = GOES_ON,
): DeviceSlot {
  const trace = TRACE.exec(text);
  if (trace !== null && !/^(nvme|edu|generic|vfio-user):/.test(text))
    return recorded(
      text,
      trace[1] as string,
      parseOptions(text, trace[2] ?? '', ['device', 'bdf', ...PLANS]),
      play,
      abi,
    );
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? '' : text.slice(colon + 1);
  switch (kind) {
    case 'nvme':
      return nvme(text, parseOptions(text, rest, ['file', 'size', 'bdf', ...PLANS]), abi);
    case 'edu':
      return { device: edu(abi), ...place(text, parseOptions(text, rest, ['bdf', ...PLANS]), abi) };
    case 'generic': {
      const [file = '', ...others] = rest.split(',');
      if (file === '')
        throw new UserError(`--sim ${text}: name the file that describes the device: generic:FILE`);
      const options = parseOptions(text, others.join(','), ['bdf', ...PLANS]);
      return { device: readGeneric(file), ...place(text, options, abi) };
    }
    case 'vfio-user': {
      const [socket = '', ...others] = rest.split(',');
      if (socket === '')
        throw new UserError(`--sim ${text}: name the socket of the server: vfio-user:SOCKET`);
      const options = parseOptions(text, others.join(','), ['bdf', ...PLANS]);
      return { device: new RemoteDevice(socket, say), ...place(text, options, abi) };
    }
    default:
      throw new UserError(`--sim ${text === '' ? "''" : text}: no such device; there are ${DEVICES}`);
  }
}

/** QEMU's edu can't be reset, and the VFIO of 2010 opens nothing that it can't reset: there the kernel knows a way. */
function edu(abi: KernelAbi): Edu {
  return new Edu({ specificReset: abi === 'lyon2010' });
}

function recorded(
  text: string,
  path: string,
  options: ReadonlyMap<string, string>,
  play: PlayOptions,
  abi: KernelAbi,
): DeviceSlot {
  let trace: Trace | undefined;
  try {
    trace = openTrace(path);
    const device = recordedDevice(trace, text, options.get('device'), play);
    const group = /^[1-9]\d{0,5}$/.test(device.group) ? Number(device.group) : undefined;
    const placed = place(text, options, abi);
    const bdf = placed.bdf ?? device.bdf;
    parseBdf(bdf);
    return { device: device.device, ...placed, bdf, ...(group !== undefined && { group }) };
  } catch (error) {
    trace?.close();
    if (error instanceof TraceError) throw new UserError(`--sim ${error.message}`);
    throw error;
  }
}

function recordedDevice(
  trace: Trace,
  text: string,
  wanted: string | undefined,
  { stops, onDeparture, onExhausted, site, masks }: PlayOptions,
): { readonly device: RecordedDevice; readonly bdf: string; readonly group: string } {
  const devices = recordedDevices(trace);
  const names = [...devices.keys()].map((name) => escapeText(name)).join(', ');
  if (devices.size === 0) throw new UserError(`--sim ${text}: no device was opened in this recording`);
  if (wanted === undefined && devices.size > 1)
    throw new UserError(`--sim ${text}: it has several devices; add :device=B, one of ${names}`);
  const bdf = wanted ?? [...devices.keys()][0] ?? '';
  const objects = devices.get(bdf);
  if (objects === undefined)
    throw new UserError(`--sim ${text}: device ${bdf} is not in it; there is ${names}`);
  const definition = [...trace.definitions.devices.values()].find((one) => one.bdf === bdf);
  const device = new RecordedDevice(trace, {
    objects,
    stops,
    onDeparture,
    ...(onExhausted !== undefined && { onExhausted }),
    ...(site !== undefined && { site }),
    ...(masks !== undefined && {
      masked: (region, offset, register) => masks.bits(region, offset, register),
    }),
  });
  return { device, bdf, group: definition?.iommuGroup ?? '' };
}

function nvme(text: string, options: ReadonlyMap<string, string>, abi: KernelAbi): DeviceSlot {
  const file = options.get('file');
  const size = options.get('size');
  if (file !== undefined && size !== undefined)
    throw new UserError(`--sim ${text}: a file has its own size; give file= or size=`);
  const bytes =
    size === undefined
      ? SIZE_DEFAULT
      : parseSize(size, '--sim nvme:size=', { least: SIZE_LEAST, most: SIZE_MOST });
  if (bytes % 512 !== 0) throw new UserError(`--sim ${text}: the size is in blocks of 512 bytes`);
  return {
    device: new Nvme({ storage: file === undefined ? new MemoryStorage(bytes) : storageOf(text, file) }),
    ...place(text, options, abi),
  };
}

function storageOf(text: string, file: string): FileStorage {
  let storage: FileStorage;
  try {
    storage = new FileStorage(file);
  } catch (error) {
    throw new UserError(`--sim ${text}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (storage.bytes < 512) throw new UserError(`--sim ${text}: ${file} holds no block of 512 bytes`);
  return storage;
}

/** Where it is, and what will be done to it. */
function place(
  text: string,
  options: ReadonlyMap<string, string>,
  abi: KernelAbi,
): Pick<DeviceSlot, 'bdf' | 'plans'> {
  const time = (name: (typeof PLANS)[number]): number | undefined => {
    const given = options.get(name);
    return given === undefined ? undefined : parseDuration(given, `--sim ${text}: ${name}=`) / 1e6;
  };
  const removeAfterMs = time('remove-after');
  const suspendAfterMs = time('suspend-after');
  if (suspendAfterMs !== undefined && abi === 'modern')
    throw new UserError(
      `--sim ${text}: suspend-after= goes with --abi lyon2010; today's VFIO asks no driver before the machine sleeps`,
    );
  const plans = {
    ...(removeAfterMs !== undefined && { removeAfterMs }),
    ...(suspendAfterMs !== undefined && { suspendAfterMs }),
  };
  const bdf = options.get('bdf');
  if (bdf === undefined) return { plans };
  try {
    parseBdf(bdf);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`--sim ${text}: ${error.message}`) : error;
  }
  return { bdf, plans };
}

function parseOptions(text: string, rest: string, known: readonly string[]): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const item of rest.split(',').filter((part) => part !== '')) {
    const equals = item.indexOf('=');
    const name = equals < 0 ? item : item.slice(0, equals);
    if (equals < 0 || !known.includes(name) || item.length === equals + 1)
      throw new UserError(
        `--sim ${text}: '${item}' is not understood; known are ${known.map((one) => `${one}=`).join(', ')}`,
      );
    if (options.has(name)) throw new UserError(`--sim ${text}: ${name}= is given twice`);
    options.set(name, item.slice(equals + 1));
  }
  return options;
}
