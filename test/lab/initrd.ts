// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** The guest's root is the host's; the initrd only has to get there, and to know VFIO, the disk and KVM. */
const wantedModules = [
  ...['virtio_pci', '9pnet_virtio', '9p', 'overlay'],
  ...['nvme', 'vfio_iommu_type1', 'vfio_pci', 'kvm_amd'],
];

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
}

/** The "newc" archive of Documentation/driver-api/early-userspace/buffer-format.rst. */
function cpio(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  const add = ({ path, mode, data }: Entry): void => {
    const name = Buffer.from(`${path}\0`);
    const numbers = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
    const head = Buffer.from(`070701${numbers.map((n) => n.toString(16).padStart(8, '0')).join('')}`);
    // Name and data each end on a multiple of four, counted from the start of the header.
    parts.push(
      head,
      name,
      Buffer.alloc(-(head.length + name.length) & 3),
      Buffer.from(data),
      Buffer.alloc(-data.length & 3),
    );
  };
  entries.forEach(add);
  add({ path: 'TRAILER!!!', mode: 0, data: new Uint8Array() });
  return Buffer.concat(parts);
}

/** Files to load, each after those it needs, from depmod's modules.dep. */
export function moduleOrder(dependencies: string, wanted: readonly string[]): readonly string[] {
  const files = new Map<string, string>();
  const needs = new Map<string, readonly string[]>();
  for (const line of dependencies.split('\n')) {
    const [file, rest] = line.split(':');
    if (file !== undefined && rest !== undefined) {
      files.set(moduleName(file), file);
      needs.set(file, rest.split(' ').filter(Boolean));
    }
  }
  const order = new Set<string>();
  const visit = (file: string): void => {
    if (!order.has(file)) {
      (needs.get(file) ?? []).forEach(visit);
      order.add(file);
    }
  };
  for (const name of wanted) {
    const file = files.get(name);
    // One that is built in has no file, and needs none.
    if (file !== undefined) {
      visit(file);
    }
  }
  return [...order];
}

function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}

/** The initrd for a kernel whose modules lie in `modules` (lib/modules/VERSION), or that has everything built in. */
export function makeInitrd(init: string, modules: string | undefined): Buffer {
  const directory = (path: string): Entry => ({ path, mode: 0o040755, data: new Uint8Array() });
  const entries: Entry[] = ['bin', 'dev', 'proc', 'sys', 'modules'].map(directory);
  entries.push({ path: 'init', mode: 0o100755, data: readFileSync(init) });
  entries.push({ path: 'bin/busybox', mode: 0o100755, data: readFileSync('/bin/busybox') });
  if (modules !== undefined) {
    const order = moduleOrder(readFileSync(join(modules, 'modules.dep'), 'utf8'), wantedModules);
    const names = order.map((file) => `${moduleName(file)}.ko`);
    order.forEach((file, index) => {
      const data = file.endsWith('.xz')
        ? execFileSync('xz', ['-dc', join(modules, file)], { maxBuffer: 1 << 28 })
        : readFileSync(join(modules, file));
      entries.push({ path: `modules/${names[index] ?? ''}`, mode: 0o100644, data });
    });
    entries.push({ path: 'modules/order', mode: 0o100644, data: Buffer.from(`${names.join('\n')}\n`) });
  }
  return gzipSync(cpio(entries), { level: 1 });
}
