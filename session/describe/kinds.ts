// SPDX-License-Identifier: Apache-2.0
/** Names of event kinds, as dump prints them and as a filter takes them. */
import { EventKind } from '../../traces/model.js';

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(EventKind).map(([name, kind]) => [kind, name.toLowerCase().replaceAll('_', '-')]),
);
const kinds: ReadonlyMap<string, number> = new Map([...names].map(([kind, name]) => [name, kind]));

export function kindName(kind: number): string {
  return names.get(kind) ?? `kind${kind}`;
}

export function kindNumber(name: string): number | undefined {
  return kinds.get(name);
}

export function kindNames(): readonly string[] {
  return [...kinds.keys()];
}
