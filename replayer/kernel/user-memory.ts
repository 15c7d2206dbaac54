// SPDX-License-Identifier: Apache-2.0
/** Structures to and from the caller's memory (copy_from_user, copy_to_user). undefined and false are EFAULT. */
import { decode, encode, type Layout, type PartialValues, type Values } from '../../abi/layout.js';
import { EBADF, EINVAL } from './errno.js';
import { type Call, type Eventfd, isEventfd, type Memory, type Process } from './process.js';

export function bytesIn(memory: Memory, address: bigint, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length);
  return length === 0 || memory.read(BigInt.asUintN(64, address), bytes) ? bytes : undefined;
}

export function bytesOut(memory: Memory, address: bigint, bytes: Uint8Array): boolean {
  return bytes.length === 0 || memory.write(BigInt.asUintN(64, address), bytes);
}

/** The first `size` bytes of a structure; fields beyond are zero. */
export function structIn<L extends Layout>(
  call: Call,
  layout: L,
  size = layout.size,
  at = 0,
): Values<L> | undefined {
  const bytes = bytesIn(call.memory, call.argument + BigInt(at), size);
  if (bytes === undefined) return undefined;
  const padded = new Uint8Array(Math.max(layout.size, size) + 8);
  padded.set(bytes);
  return decode(layout, padded) as Values<L>;
}

export function structOut<L extends Layout>(
  call: Call,
  layout: L,
  values: PartialValues<L>,
  size = layout.size,
): boolean {
  return bytesOut(call.memory, call.argument, encode(layout, values, size));
}

/** offsetofend(): how much of a structure the kernel insists on. */
export function endOf<L extends Layout>(layout: L, field: keyof L['fields'] & string): number {
  const { offset = 0, bytes = 0 } = layout.fields[field] ?? {};
  return offset + bytes;
}

/** eventfd_ctx_fdget(). */
export function eventfdOf(process: Process, fd: number): Eventfd | number {
  const file = process.file(fd);
  if (file === undefined) return -EBADF;
  return isEventfd(file) ? file : -EINVAL;
}

/** The argument of an ioctl that takes a number, as the kernel's `unsigned long arg`. */
export function numberArgument(call: Call): number {
  const value = BigInt.asUintN(64, call.argument);
  return value > 0xffff_ffffn ? -1 : Number(value);
}
