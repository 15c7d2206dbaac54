// SPDX-License-Identifier: Apache-2.0
/**
 * How an ioctl is described, and how one recorded call is decoded by its description. The tables are in vfio/,
 * iommufd/, lyon2010/ and kvm.ts; ioctls.ts chooses by the kind of the descriptor.
 */
import { decode, type Field, fieldText, type Layout } from './layout.js';
import { hexBytes } from './text.js';

/** What was recorded of one call. */
export interface IoctlCall {
  readonly argument: bigint;
  readonly result: bigint;
  readonly errno: number;
  /** Argument bytes before and after the call. */
  readonly before: Uint8Array | undefined;
  readonly after: Uint8Array | undefined;
  /** What a pointer inside the argument pointed to. */
  readonly pointedBefore: Uint8Array | undefined;
  readonly pointedAfter: Uint8Array | undefined;
  /** The argument's address could not be read. */
  readonly fault: boolean;
  readonly redacted: boolean;
}

/** One named thing of a decoded call; `out` when the kernel answered it. */
export interface Part {
  readonly name: string;
  readonly text: string;
  readonly value: PartValue;
  readonly out: boolean;
}
export type PartValue =
  | number
  | bigint
  | string
  | boolean
  | readonly PartValue[]
  | { readonly [name: string]: PartValue };

export type Argument =
  /** No argument, or one that the kernel ignores. */
  | { readonly kind: 'none' }
  /** The argument itself is the number; `field` tells how to show it. */
  | { readonly kind: 'value'; readonly name: string; readonly field: Field }
  /** A NUL-terminated name. */
  | { readonly kind: 'string'; readonly name: string }
  /** A pointer to a structure whose first u32 (argsz, size) tells its length, or whose length is fixed. */
  | { readonly kind: 'struct'; readonly layout: Layout };

export interface Ioctl {
  /** As in C. */
  readonly name: string;
  readonly request: number;
  readonly argument: Argument;
  /** What a successful return value means; zero where nothing is said. */
  readonly returns?: 'fd' | 'number';
  /** What the structure's plain fields don't tell: arrays, capability chains, pointed data. */
  readonly more?: (call: IoctlCall) => readonly Part[];
}

export const NO_ARGUMENT: Argument = { kind: 'none' };

export function ioctl(
  name: string,
  request: number,
  argument: Argument | Layout = NO_ARGUMENT,
  rest: Pick<Ioctl, 'returns' | 'more'> = {},
): Ioctl {
  return {
    ...rest,
    name,
    request,
    argument: 'kind' in argument ? argument : { kind: 'struct', layout: argument },
  };
}

export function part(name: string, text: string, value: PartValue, out = false): Part {
  return { name, text, value, out };
}

const lengthFields: ReadonlySet<string> = new Set(['argsz', 'size']);

/** The fields that have a value, in the order of the structure; what the kernel filled or changed counts as out. */
export function layoutParts(layout: Layout, call: IoctlCall): readonly Part[] {
  const parts: Part[] = [];
  const before = call.before === undefined ? undefined : decode(layout, call.before);
  const after = call.after === undefined ? undefined : decode(layout, call.after);
  const given = before as Readonly<Record<string, number | bigint>> | undefined;
  const answered = after as Readonly<Record<string, number | bigint>> | undefined;
  const failed = call.errno !== 0;
  for (const name in layout.fields) {
    const field = layout.fields[name] as Field;
    const was = given?.[name];
    const is = answered?.[name];
    const framing = field.offset === 0 && field.bytes === 4 && lengthFields.has(name);
    if (framing) {
      // The length of the caller's structure says something when it is too small, or not all of it was recorded.
      if (was !== undefined && (was < layout.size || was !== call.before?.length))
        parts.push(part(name, String(was), was));
      if (is !== undefined && is !== was) parts.push(part(name, String(is), is, true));
      continue;
    }
    if (field.silent === true) continue;
    // Reserved fields must be zero: shown when they are not.
    if (field.hidden === true && isZero(was) && isZero(is)) continue;
    const direction = field.direction ?? 'in';
    if (was !== undefined && direction !== 'out') parts.push(part(name, fieldText(field, was), was));
    if (is === undefined) continue;
    if (direction === 'in' ? was !== undefined && is !== was : !failed || is !== was) {
      if (direction === 'inout' && is === was) continue;
      parts.push(part(name, fieldText(field, is), is, true));
    }
  }
  return parts;
}

function isZero(value: number | bigint | undefined): boolean {
  return value === undefined || value === 0 || value === 0n;
}

/** Everything that a recorded call says, by its description. */
export function decodeIoctl(ioctl: Ioctl, call: IoctlCall): readonly Part[] {
  const { argument } = ioctl;
  switch (argument.kind) {
    case 'none':
      return ioctl.more?.(call) ?? [];
    case 'value': {
      const value = argument.field.bytes === 8 ? call.argument : Number(BigInt.asIntN(32, call.argument));
      return [part(argument.name, fieldText(argument.field, value), value), ...(ioctl.more?.(call) ?? [])];
    }
    case 'string':
      return ioctl.more?.(call) ?? [];
    case 'struct': {
      if (call.before === undefined && call.after === undefined) {
        return [part('argument', call.fault ? 'unreadable' : 'not recorded', call.argument)];
      }
      return [...layoutParts(argument.layout, call), ...(ioctl.more?.(call) ?? [])];
    }
  }
}

/** A call that no table knows: its raw bytes. */
export function rawParts(call: IoctlCall): readonly Part[] {
  const parts: Part[] = [part('argument', `0x${call.argument.toString(16)}`, call.argument)];
  const bytes = (name: string, data: Uint8Array | undefined, out: boolean) => {
    if (data !== undefined && data.length > 0)
      parts.push(part(name, hexBytes(data), hexBytes(data, 4096), out));
  };
  bytes('bytes', call.before, false);
  bytes('pointed', call.pointedBefore, false);
  if (!sameBytes(call.before, call.after)) bytes('bytes', call.after, true);
  bytes('pointed', call.pointedAfter, true);
  return parts;
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
