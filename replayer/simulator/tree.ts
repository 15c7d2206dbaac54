// SPDX-License-Identifier: Apache-2.0
/**
 * The files of /dev, /sys and /proc that a driver consults on its way to a device: laid out as real files and relative
 * links below a directory to which the shim leads every path of them (SIM_PREFIXES).
 */
import type { SimulatedKernel } from '../kernel/kernel.js';
import { homeOf } from './function-tree.js';
import { layOutLyon } from './lyon-tree.js';
import { Tree } from './tree-files.js';
import { layOutVfio } from './vfio-tree.js';

/** Lays the files out; the result brings those up to date that follow the devices' state. */
export function layOutTree(root: string, kernel: SimulatedKernel): () => void {
  const tree = new Tree(root);
  for (const path of kernel.nodes) tree.node(path);
  const driver = `/sys/bus/pci/drivers/${kernel.abi === 'lyon2010' ? 'vfio' : 'vfio-pci'}`;
  for (const name of ['bind', 'unbind', 'new_id', 'remove_id']) tree.file(`${driver}/${name}`, '');
  tree.directory('/sys/bus/pci/slots');
  tree.file('/sys/bus/pci/drivers_probe', '');
  tree.file('/sys/bus/pci/rescan', '');
  tree.directory('/sys/class/iommu');
  const { lyon } = kernel;
  const follow = lyon === undefined ? undefined : layOutLyon(tree, lyon);
  if (lyon === undefined) layOutVfio(tree, kernel);
  const followConfig = configOf(tree, kernel);
  const followNodes = nodesOf(tree, kernel);
  watchRemovals(tree, kernel);
  return () => {
    followConfig();
    followNodes();
    follow?.();
  };
}

/** `echo 1 >/sys/bus/pci/devices/…/remove`, by the driver or whoever runs beside it. */
function watchRemovals(tree: Tree, kernel: SimulatedKernel): void {
  for (const pci of kernel.functions) {
    const path = `${homeOf(pci)}/remove`;
    tree.watch(path, (text) => {
      if (!/^[1-9]/.test(text)) return;
      tree.update(path, '');
      kernel.administration.takeAway(pci.name);
    });
  }
}

/** Nodes of devices that were taken away. */
function nodesOf(tree: Tree, kernel: SimulatedKernel): () => void {
  let shown = kernel.nodes;
  return () => {
    const { nodes } = kernel;
    if (nodes.length === shown.length) return;
    for (const path of shown) if (!nodes.includes(path)) tree.remove(path);
    shown = nodes;
  };
}

/** `config` of each device, which `setpci` and `lspci` read while a driver is at work. */
function configOf(tree: Tree, kernel: SimulatedKernel): () => void {
  const followed = kernel.functions.map((pci) => ({
    live: pci.fn.config.bytes,
    shown: pci.fn.config.bytes.slice(),
    path: `${homeOf(pci)}/config`,
  }));
  return () => {
    for (const { live, shown, path } of followed) {
      if (Buffer.compare(live, shown) === 0) continue;
      shown.set(live);
      tree.update(path, live);
    }
  };
}
