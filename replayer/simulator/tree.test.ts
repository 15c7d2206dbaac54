// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SIM_NODE_MODE, SIM_PREFIXES } from '../../abi/wire/sim.js';
import { Edu } from '../devices/edu/edu.js';
import { Nvme } from '../devices/nvme/nvme.js';
import { MemoryStorage } from '../devices/nvme/storage.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { parseVariant } from '../kernel/variant.js';
import { nodeNumber, OpenFiles } from './open-files.js';
import { layOutTree } from './tree.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-tree-'));
after(() => rmSync(scratch, { recursive: true }));
let trees = 0;

function machine(variant: string) {
  const devices = [
    { device: new Nvme({ storage: new MemoryStorage(1 << 20) }) },
    { device: new Edu(), bdf: '0000:01:00.0' },
  ];
  const kernel = new SimulatedKernel({ variant: parseVariant(variant), devices });
  const root = join(scratch, String(trees++));
  const refresh = layOutTree(root, kernel);
  return { kernel, root, refresh, text: (path: string) => readFileSync(join(root, path), 'utf8') };
}

/** Every path of the tree. */
function* paths(root: string, below = ''): Generator<string> {
  for (const entry of readdirSync(join(root, below), { withFileTypes: true })) {
    const path = `${below}/${entry.name}`;
    yield path;
    if (entry.isDirectory()) yield* paths(root, path);
  }
}

test('a device is found by its address, its group and its driver', () => {
  const { root, text } = machine('');
  const home = realpathSync(join(root, 'sys/bus/pci/devices/0000:01:00.0'));
  assert.equal(home, realpathSync(join(root, 'sys/devices/pci0000:01/0000:01:00.0')));
  assert.equal(realpathSync(join(root, 'sys/bus/pci/drivers/vfio-pci/0000:01:00.0')), home);
  assert.equal(realpathSync(join(root, 'sys/kernel/iommu_groups/2/devices/0000:01:00.0')), home);
  assert.match(readlinkSync(join(home, 'iommu_group')), /\/2$/);
  assert.match(readlinkSync(join(home, 'driver')), /\/vfio-pci$/);
  const at = '/sys/bus/pci/devices/0000:01:00.0';
  assert.equal(text(`${at}/vendor`), '0x1234\n');
  assert.equal(text(`${at}/device`), '0x11e8\n');
  assert.equal(text(`${at}/class`), '0x00ff00\n');
  assert.match(
    text(`${at}/uevent`),
    /^DRIVER=vfio-pci\n.*^PCI_ID=1234:11E8\n.*^PCI_SLOT_NAME=0000:01:00\.0\n/ms,
  );
  assert.match(text(`${at}/modalias`), /^pci:v00001234d000011E8sv/);
  assert.equal(text('/sys/kernel/iommu_groups/2/type'), 'DMA\n');
});

test('resources are lines of start, end and flags, and the BARs’ files have their sizes', () => {
  const { root, text } = machine('');
  const at = '/sys/bus/pci/devices/0000:00:04.0';
  const lines = text(`${at}/resource`).trimEnd().split('\n');
  assert.equal(lines.length, 13);
  for (const line of lines) assert.match(line, /^0x[0-9a-f]{16} 0x[0-9a-f]{16} 0x[0-9a-f]{16}$/);
  const [start = 0n, end = 0n, flags = 0n] = (lines[0] ?? '').split(' ').map(BigInt);
  assert.equal(Number(end - start) + 1, statSync(join(root, at, 'resource0')).size);
  assert.equal(flags & 0x200n, 0x200n, 'memory');
});

test('device nodes are marked files whose sizes are their numbers, and sysfs agrees', () => {
  const { root, kernel, text } = machine('');
  assert.deepEqual(kernel.nodes.slice(0, 2), ['/dev/vfio/vfio', '/dev/iommu']);
  for (const node of kernel.nodes) {
    const { mode, size } = statSync(join(root, node));
    const { major, minor } = nodeNumber(node);
    assert.equal(mode & SIM_NODE_MODE, SIM_NODE_MODE, node);
    assert.equal(mode & 0o666, 0o666, 'whoever runs the driver may open it');
    assert.equal(size, major * 2 ** 20 + minor);
  }
  const { major, minor } = nodeNumber('/dev/vfio/devices/vfio1');
  const at = '/sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio1';
  assert.equal(text(`${at}/dev`), `${major}:${minor}\n`);
  assert.equal(realpathSync(join(root, `sys/dev/char/${major}:${minor}`)), realpathSync(join(root, at)));
  const { rdev } = new OpenFiles().add(1n, {} as never, '/dev/vfio/devices/vfio1');
  assert.equal(rdev, BigInt((major << 8) | minor));
});

test('kernels show what they have: no character devices in 6.1, noiommu groups without an IOMMU', () => {
  const old = machine('version=6.1');
  assert.deepEqual(old.kernel.nodes, ['/dev/vfio/vfio', '/dev/vfio/1', '/dev/vfio/2']);
  const all = [...paths(old.root)];
  assert.ok(!all.some((path) => path.includes('vfio-dev') || path === '/dev/iommu'));
  const none = machine('iommu=none,noiommu=on');
  assert.ok([...paths(none.root)].includes('/dev/vfio/noiommu-1'));
  assert.equal(none.text('/sys/kernel/iommu_groups/1/name'), 'vfio-noiommu\n');
  assert.equal(none.text('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode'), 'Y\n');
  assert.equal(old.text('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode'), 'N\n');
});

test('links are relative, stay in the tree and lead somewhere; every path is one that the shim looks up there', () => {
  const { root } = machine('');
  for (const path of paths(root)) {
    if (lstatSync(join(root, path)).isSymbolicLink()) {
      assert.ok(!readlinkSync(join(root, path)).startsWith('/'), path);
      assert.ok(realpathSync(join(root, path)).startsWith(`${root}/`), path);
    }
    const led = SIM_PREFIXES.some((prefix) => {
      const name = prefix.replace(/\*$/, '');
      if (prefix.endsWith('*') && path.startsWith(name)) return true;
      return path === name || path.startsWith(`${name}/`) || name.startsWith(`${path}/`);
    });
    assert.ok(led, `${path} is behind no prefix`);
  }
});

test('config follows the device, also for who has it open', () => {
  const { root, kernel, refresh } = machine('');
  const pci = kernel.devices[0]?.core.pci;
  assert.ok(pci !== undefined);
  const fd = openSync(join(root, 'sys/bus/pci/devices/0000:00:04.0/config'), 'r');
  const command = (): number => {
    const bytes = Buffer.alloc(2);
    readSync(fd, bytes, 0, 2, 4);
    return bytes.readUInt16LE();
  };
  const before = command();
  assert.equal(before, pci.command);
  pci.setCommand(6, 0);
  assert.equal(command(), before);
  refresh();
  assert.equal(command(), before | 6);
  closeSync(fd);
  assert.equal(statSync(join(root, 'sys/bus/pci/devices/0000:00:04.0/config')).size, pci.configSize);
});
