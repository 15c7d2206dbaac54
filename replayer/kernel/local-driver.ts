// SPDX-License-Identifier: Apache-2.0
/** System calls of a driver in process, with structures as values. */

import { requestNumber } from '../../abi/ioctls.js';
import { decode, encode, type Layout, type PartialValues, type Values } from '../../abi/layout.js';
import { errnoName } from '../../abi/linux/errno.js';
import type { SimulatedKernel } from './kernel.js';
import type { LocalProcess } from './local-process.js';
import { type Mapping, type MmapRequest, OpenFile } from './process.js';

/** 0, a number, or the errno's name. */
export function answer(result: number): string {
  return result < 0 ? errnoName(-result) : String(result);
}

export class LocalDriver {
  readonly #scratch: { readonly address: bigint; readonly bytes: Uint8Array };

  constructor(
    readonly kernel: SimulatedKernel,
    readonly process: LocalProcess,
  ) {
    this.#scratch = process.map(65536);
  }

  open(path: string): number {
    const file = this.kernel.open(this.process, path);
    return typeof file === 'number' ? file : this.process.install(file);
  }

  close(fd: number): void {
    this.process.close(fd);
  }

  file(fd: number): OpenFile {
    const file = this.process.file(fd);
    if (!(file instanceof OpenFile)) throw new Error(`${fd} is no open file`);
    return file;
  }

  /** The argument as a number. */
  ioctlValue(fd: number, request: number | string, argument: number | bigint = 0): number {
    const number = typeof request === 'string' ? requestNumber(request) : request;
    return this.kernel.ioctl(this.process, this.file(fd), number, BigInt(argument));
  }

  /** The argument as bytes, which hold the answer afterwards. */
  ioctlBytes(fd: number, request: number | string, bytes: Uint8Array): number {
    this.#scratch.bytes.set(bytes);
    const result = this.ioctlValue(fd, request, this.#scratch.address);
    bytes.set(this.#scratch.bytes.subarray(0, bytes.length));
    return result;
  }

  /** The argument as a structure with data behind; `argsz` is that of all of it unless it is given. */
  ioctl<L extends Layout>(
    fd: number,
    request: string,
    layout: L,
    values: PartialValues<L>,
    {
      tail = new Uint8Array(),
      size = layout.size,
    }: { readonly tail?: Uint8Array; readonly size?: number } = {},
  ): { readonly result: number; readonly values: Values<L>; readonly bytes: Uint8Array } {
    const bytes = new Uint8Array(size + tail.length);
    bytes.set(encode(layout, { [firstField(layout)]: bytes.length, ...values } as PartialValues<L>, size));
    bytes.set(tail, size);
    const result = this.ioctlBytes(fd, request, bytes);
    return { result, values: decode(layout, bytes) as Values<L>, bytes };
  }

  pread(fd: number, offset: bigint, count: number): { readonly result: number; readonly bytes: Uint8Array } {
    const bytes = new Uint8Array(count);
    return { result: this.kernel.pread(this.file(fd), bytes, offset), bytes };
  }

  pwrite(fd: number, offset: bigint, bytes: Uint8Array): number {
    return this.kernel.pwrite(this.file(fd), bytes, offset);
  }

  mmap(fd: number, request: MmapRequest): Mapping | number {
    return this.kernel.mmap(this.file(fd), request);
  }
}

/** argsz or size. */
function firstField(layout: Layout): string {
  return Object.keys(layout.fields)[0] as string;
}

export function number(bytes: Uint8Array, width = bytes.length): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[i] ?? 0);
  return value;
}

export function littleEndian(value: number, width: number): Uint8Array {
  return Uint8Array.from({ length: width }, (_, i) => (value >>> (8 * i)) & 0xff);
}

export function hex(value: number | bigint, digits = 0): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
