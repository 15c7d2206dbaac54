// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { moduleOrder } from './initrd.js';

test('modules come after those they need, each once, and built-in ones are left out', () => {
  const dependencies = [
    'kernel/drivers/vfio/pci/vfio-pci.ko: kernel/drivers/vfio/pci/vfio-pci-core.ko kernel/drivers/vfio/vfio.ko',
    'kernel/drivers/vfio/pci/vfio-pci-core.ko: kernel/drivers/vfio/vfio.ko',
    'kernel/drivers/vfio/vfio.ko:',
    'kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz',
    'kernel/net/9p/9pnet.ko.xz:',
    '',
  ].join('\n');
  assert.deepEqual(moduleOrder(dependencies, ['vfio_pci', '9p', 'overlay']), [
    'kernel/drivers/vfio/vfio.ko',
    'kernel/drivers/vfio/pci/vfio-pci-core.ko',
    'kernel/drivers/vfio/pci/vfio-pci.ko',
    'kernel/net/9p/9pnet.ko.xz',
    'kernel/fs/9p/9p.ko.xz',
  ]);
});
