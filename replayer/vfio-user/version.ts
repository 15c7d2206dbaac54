// SPDX-License-Identifier: Apache-2.0
/** VFIO_USER_VERSION: what each side can do. Numbers that the other side doesn't say have the specification's values. */
import { decode, encode } from '../../abi/layout.js';
import { VERSION } from './protocol.js';

export const MAJOR = 0;
export const MINOR = 0;

export interface Capabilities {
  /** Descriptors that the sender takes in one message. */
  readonly maxMessageFds: number;
  /** Bytes of one read or write. */
  readonly maxDataTransfer: number;
  readonly maxDmaMaps: number;
  readonly pageSizes: number;
  readonly writeMultiple: boolean;
  readonly twinSocket: boolean;
  /** In a reply: which of its descriptors is the twin socket. */
  readonly twinIndex: number | undefined;
}

export const DEFAULTS: Capabilities = {
  maxMessageFds: 1,
  maxDataTransfer: 1 << 20,
  maxDmaMaps: 65535,
  pageSizes: 4096,
  writeMultiple: false,
  twinSocket: false,
  twinIndex: undefined,
};

export interface Proposal {
  readonly major: number;
  readonly minor: number;
  readonly capabilities: Capabilities;
}

/** JSON as long as this holds everything that the specification names, many times over. */
const DATA_MOST = 16384;

/** undefined for what the specification doesn't allow. */
export function parseVersion(payload: Uint8Array): Proposal | undefined {
  if (payload.length < VERSION.size || payload.length > VERSION.size + DATA_MOST) return undefined;
  const { major, minor } = decode(VERSION, payload) as { readonly major: number; readonly minor: number };
  const data = payload.subarray(VERSION.size);
  if (data.length === 0) return { major, minor, capabilities: DEFAULTS };
  if (data.at(-1) !== 0) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(0, -1)));
  } catch {
    return undefined;
  }
  const root = objectOf(json);
  const given = root === undefined ? undefined : objectOf(root['capabilities'] ?? {});
  const capabilities = given === undefined ? undefined : readCapabilities(given);
  return capabilities === undefined ? undefined : { major, minor, capabilities };
}

function readCapabilities(given: Readonly<Record<string, unknown>>): Capabilities | undefined {
  const number = (name: string, standard: number): number => {
    const value = given[name] ?? standard;
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : Number.NaN;
  };
  const twin = objectOf(given['twin_socket'] ?? {});
  const index = twin?.['fd_index'];
  const capabilities: Capabilities = {
    maxMessageFds: number('max_msg_fds', DEFAULTS.maxMessageFds),
    maxDataTransfer: number('max_data_xfer_size', DEFAULTS.maxDataTransfer),
    maxDmaMaps: number('max_dma_maps', DEFAULTS.maxDmaMaps),
    pageSizes: number('pgsizes', DEFAULTS.pageSizes),
    writeMultiple: given['write_multiple'] === true,
    twinSocket: twin?.['supported'] === true,
    twinIndex: typeof index === 'number' ? index : undefined,
  };
  return Object.values(capabilities).some(Number.isNaN) ? undefined : capabilities;
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

export function encodeVersion(minor: number, capabilities: Capabilities): Uint8Array {
  const { maxMessageFds, maxDataTransfer, maxDmaMaps, pageSizes, writeMultiple, twinSocket, twinIndex } =
    capabilities;
  const json = {
    capabilities: {
      max_msg_fds: maxMessageFds,
      max_data_xfer_size: maxDataTransfer,
      max_dma_maps: maxDmaMaps,
      pgsizes: pageSizes,
      ...(writeMultiple && { write_multiple: true }),
      ...(twinSocket && {
        twin_socket: { supported: true, ...(twinIndex !== undefined && { fd_index: twinIndex }) },
      }),
    },
  };
  const data = new TextEncoder().encode(`${JSON.stringify(json)}\0`);
  const bytes = new Uint8Array(VERSION.size + data.length);
  bytes.set(encode(VERSION, { major: MAJOR, minor }));
  bytes.set(data, VERSION.size);
  return bytes;
}
