// SPDX-License-Identifier: Apache-2.0
/** The files of the VFIO of 2010: where drivers look for their device's node, and how many pages it has pinned. */
import type { LyonDevice } from '../kernel/lyon2010/lyon-device.js';
import type { Lyon2010 } from '../kernel/lyon2010/lyon2010.js';
import { homeOf, layOutFunction } from './function-tree.js';
import { nodeNumber } from './open-files.js';
import type { Tree } from './tree-files.js';

/** The result brings up to date what follows the devices' state. */
export function layOutLyon(tree: Tree, lyon: Lyon2010): () => void {
  tree.file(
    '/proc/modules',
    'vfio 45056 0 - Live 0x0000000000000000\nuiommu 16384 1 vfio, Live 0x0000000000000000',
  );
  tree.link('/sys/bus/pci/drivers/vfio/module', '/sys/module/vfio');
  tree.directory('/sys/module/vfio');
  const followed = lyon.devices.map((device) => {
    layOutDevice(tree, device);
    return { device, shown: 0n };
  });
  return () => {
    for (const one of followed) {
      const { device } = one;
      if (one.shown !== device.lockedPages) {
        one.shown = device.lockedPages;
        tree.update(`${placeOf(device)}/locked_pages`, `${device.lockedPages}\n`);
      }
    }
  };
}

function placeOf({ host: { pci }, index }: LyonDevice): string {
  return `${homeOf(pci)}/vfio/vfio${index}`;
}

function layOutDevice(tree: Tree, device: LyonDevice): void {
  const { pci } = device.host;
  const home = homeOf(pci);
  const name = `vfio${device.index}`;
  const place = placeOf(device);
  const { major, minor } = nodeNumber(`/dev/${name}`);
  layOutFunction(tree, pci, 'vfio');
  tree.file(`${place}/dev`, `${major}:${minor}`);
  tree.file(`${place}/uevent`, `MAJOR=${major}\nMINOR=${minor}\nDEVNAME=${name}`);
  tree.file(`${place}/locked_pages`, '0');
  tree.link(`${place}/device`, home);
  tree.link(`/sys/class/vfio/${name}`, place);
  tree.link(`/sys/dev/char/${major}:${minor}`, place);
}
