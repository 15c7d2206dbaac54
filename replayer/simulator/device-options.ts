// SPDX-License-Identifier: Apache-2.0
/** `--sim DEVICE`: nvme[:file=F,size=64M,bdf=B], edu[:bdf=B], generic:FILE[,bdf=B], vfio-user:SOCKET[,bdf=B]. */
import { parseSize } from '../../abi/quantity.js';
import { UserError } from '../../abi/user-error.js';
import { Edu } from '../devices/edu/edu.js';
import { Nvme } from '../devices/nvme/nvme.js';
import { FileStorage, MemoryStorage } from '../devices/nvme/storage.js';
import { type DeviceSlot, parseBdf } from '../kernel/topology.js';
import type { KernelAbi } from '../kernel/variant.js';
import { RemoteDevice } from '../vfio-user/remote-device.js';
import { readGeneric } from './generic-file.js';

const DEVICES = 'nvme, edu, generic:FILE and vfio-user:SOCKET';
const SIZE_DEFAULT = 64 << 20;
const SIZE_LEAST = 1 << 20;
const SIZE_MOST = 2 ** 40;

function say(line: string): void {
  process.stderr.write(`vfiotape: ${line}\n`);
}

/** The device with its place; says in one line what is wrong with the text. */
export function parseDevice(text: string, abi: KernelAbi = 'modern'): DeviceSlot {
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? '' : text.slice(colon + 1);
  switch (kind) {
    case 'nvme':
      return nvme(text, parseOptions(text, rest, ['file', 'size', 'bdf']));
    case 'edu':
      return { device: edu(abi), ...place(text, parseOptions(text, rest, ['bdf'])) };
    case 'generic': {
      const [file = '', ...others] = rest.split(',');
      if (file === '')
        throw new UserError(`--sim ${text}: name the file that describes the device: generic:FILE`);
      return { device: readGeneric(file), ...place(text, parseOptions(text, others.join(','), ['bdf'])) };
    }
    case 'vfio-user': {
      const [socket = '', ...others] = rest.split(',');
      if (socket === '')
        throw new UserError(`--sim ${text}: name the socket of the server: vfio-user:SOCKET`);
      const options = parseOptions(text, others.join(','), ['bdf']);
      return { device: new RemoteDevice(socket, say), ...place(text, options) };
    }
    default:
      if (text.endsWith('.vtape'))
        throw new UserError(`--sim ${text}: a trace can't take a device's place yet; there are ${DEVICES}`);
      throw new UserError(`--sim ${text === '' ? "''" : text}: no such device; there are ${DEVICES}`);
  }
}

/** QEMU's edu can't be reset, and the VFIO of 2010 opens nothing that it can't reset: there the kernel knows a way. */
function edu(abi: KernelAbi): Edu {
  return new Edu({ specificReset: abi === 'lyon2010' });
}

function nvme(text: string, options: ReadonlyMap<string, string>): DeviceSlot {
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
    ...place(text, options),
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

function place(text: string, options: ReadonlyMap<string, string>): { readonly bdf?: string } {
  const bdf = options.get('bdf');
  if (bdf === undefined) return {};
  try {
    parseBdf(bdf);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`--sim ${text}: ${error.message}`) : error;
  }
  return { bdf };
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
