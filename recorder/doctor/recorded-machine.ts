// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import { byNumber, type FileStatus, type Machine } from './machine.js';

/** A machine as data: only what the doctor may look at. null takes away what the machine it extends has. */
export interface MachineDescription {
  readonly about: string;
  readonly extends?: string;
  readonly user?: string;
  readonly uid?: number;
  readonly gids?: readonly number[];
  readonly files?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly links?: Readonly<Record<string, string | null>>;
  /** Device nodes: `0666 0:0`, mode and owner. */
  readonly nodes?: Readonly<Record<string, string | null>>;
  /** Free bytes of the memory file systems. */
  readonly tmpfs?: Readonly<Record<string, number | null>>;
}

export function extendMachine(base: MachineDescription, by: MachineDescription): MachineDescription {
  const merged = <T>(below: Readonly<Record<string, T>> = {}, above: Readonly<Record<string, T>> = {}) =>
    Object.fromEntries(Object.entries({ ...below, ...above }).filter(([, value]) => value !== null));
  return {
    ...base,
    ...by,
    files: merged(base.files, by.files),
    links: merged(base.links, by.links),
    nodes: merged(base.nodes, by.nodes),
    tmpfs: merged(base.tmpfs, by.tmpfs),
  };
}

export function recordedMachine(description: MachineDescription): Machine {
  const { files = {}, links = {}, nodes = {}, tmpfs = {} } = description;
  const paths = [...Object.keys(files), ...Object.keys(links), ...Object.keys(nodes)];
  const status = (path: string): FileStatus | undefined => {
    const node = /^(\d+) (\d+):(\d+)$/.exec(nodes[path] ?? '');
    if (node !== null) {
      const [, mode = '0', uid, gid] = node;
      return { kind: 'device', mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) };
    }
    if (files[path] !== undefined) return { kind: 'file', mode: 0o644, uid: 0, gid: 0 };
    if (paths.some((other) => other.startsWith(`${path}/`)))
      return { kind: 'directory', mode: 0o755, uid: 0, gid: 0 };
    return links[path] === undefined ? undefined : { kind: 'other', mode: 0o777, uid: 0, gid: 0 };
  };
  return {
    uid: description.uid ?? 0,
    gids: description.gids ?? [0],
    user: description.user ?? 'root',
    path: '/usr/sbin:/usr/bin',
    read: (path) => {
      const content = files[path];
      return typeof content === 'object' && content !== null ? content.join('\n') : (content ?? undefined);
    },
    list: (path) => {
      const below = paths.filter((other) => other.startsWith(`${path}/`));
      const names = below.map((other) => other.slice(path.length + 1).split('/')[0] ?? '');
      return [...new Set(names)].sort(byNumber);
    },
    link: (path) => {
      const target = links[path];
      return typeof target === 'string' ? basename(target) : undefined;
    },
    status,
    filesystem: (path) => {
      const freeBytes = tmpfs[path];
      return typeof freeBytes === 'number' ? { inMemory: true, freeBytes } : undefined;
    },
  };
}
