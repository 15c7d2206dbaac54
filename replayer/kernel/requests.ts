// SPDX-License-Identifier: Apache-2.0
/** Ioctl handlers by the names of the ABI's tables, so that no request number is written twice. */
import type { Ioctl } from '../../abi/ioctl.js';

export type Handler<A extends readonly unknown[]> = (...call: A) => number;

export function handlers<A extends readonly unknown[]>(
  table: readonly Ioctl[],
  byName: Readonly<Record<string, Handler<A>>>,
): ReadonlyMap<number, Handler<A>> {
  const map = new Map<number, Handler<A>>();
  for (const [name, handler] of Object.entries(byName)) {
    const found = table.find((entry) => entry.name === name);
    if (found === undefined) throw new Error(`no ioctl is named ${name}`);
    map.set(found.request, handler);
  }
  return map;
}

export function requestOf(table: readonly Ioctl[], name: string): number {
  const found = table.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`no ioctl is named ${name}`);
  return found.request;
}
