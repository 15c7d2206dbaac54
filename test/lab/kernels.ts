// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What the lab fetched or built lies outside the checkout, so that a fresh clone need not fetch it again. */
export const cacheDirectory = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vfiotape');

/** `stock` is the release's own kernel; `vfio` one of ours with iommufd, device nodes and no-IOMMU mode. */
export type KernelName = 'stock' | 'vfio';

export interface Kernel {
  readonly name: KernelName;
  readonly image: string;
  /** lib/modules/VERSION, undefined when everything is built in. */
  readonly modules: string | undefined;
  /** For the notes beside a recording. */
  readonly title: string;
}

export interface Missing {
  readonly missing: string;
}

/** Finds a kernel, or says what to do to have it. */
export function findKernel(name: KernelName): Kernel | Missing {
  switch (name) {
    case 'stock': {
      const directory = join(cacheDirectory, 'stock');
      const image = join(directory, 'vmlinuz');
      if (!existsSync(image)) {
        return { missing: `no ${image}; run test/lab/setup` };
      }
      const trees = join(directory, 'lib', 'modules');
      const version = existsSync(trees) ? readdirSync(trees)[0] : undefined;
      const file = join(directory, 'package');
      return {
        name,
        image,
        modules: version === undefined ? undefined : join(trees, version),
        // After the name: what was taken from it.
        title: (existsSync(file) ? readFileSync(file, 'utf8').trim().split(' ')[0] : undefined) ?? image,
      };
    }
    case 'vfio': {
      const named = process.env['VFIOTAPE_LAB_KERNEL'];
      const image = named ?? join(cacheDirectory, 'bzImage-6.12-vfio');
      if (!existsSync(image)) {
        return named === undefined
          ? { missing: `no ${image}; run test/lab/build-kernel, or name an image in VFIOTAPE_LAB_KERNEL` }
          : { missing: `VFIOTAPE_LAB_KERNEL names ${named}, which does not exist` };
      }
      return { name, image, modules: undefined, title: 'Linux 6.12 built by test/lab/build-kernel' };
    }
  }
}

/** The tree of newer programs that --all lays over the host's. */
export function findNewer(): string | Missing {
  const tree = join(cacheDirectory, 'trixie');
  return existsSync(tree) ? tree : { missing: `no ${tree}; test/lab/setup-newer makes it` };
}
