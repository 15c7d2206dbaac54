// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { bdfOfName, bdfOfNode, describeDevice } from './devices.js';
import { parseMaps, readBuildId } from './mappings.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-mappings-'));
after(() => rmSync(scratch, { recursive: true }));

describe('parseMaps', () => {
  it('takes the executable mappings', () => {
    const text = [
      '00400000-00401000 r--p 00000000 fe:00 1234                               /usr/bin/a driver',
      '00401000-00402000 r-xp 00001000 fe:00 1234                               /usr/bin/a driver',
      '7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0                          [vdso]',
      '7fff00000000-7fff00001000 rwxp 00000000 00:00 0 ',
      'nonsense',
    ].join('\n');
    assert.deepEqual(parseMaps(text), [
      { start: 0x401000n, end: 0x402000n, fileOffset: 0x1000n, path: '/usr/bin/a driver' },
      { start: 0x7ffff7fc1000n, end: 0x7ffff7fc3000n, fileOffset: 0n, path: '[vdso]' },
      { start: 0x7fff00000000n, end: 0x7fff00001000n, fileOffset: 0n, path: '' },
    ]);
  });
});

describe('readBuildId', () => {
  it('finds what the linker noted', () => {
    const source = join(scratch, 'a.c');
    const program = join(scratch, 'a');
    writeFileSync(source, 'int main(void) { return 0; }\n');
    execFileSync(process.env['CC'] ?? 'cc', ['-Wl,--build-id=0x0123456789abcdef', '-o', program, source]);
    assert.equal(Buffer.from(readBuildId(program)).toString('hex'), '0123456789abcdef');
    execFileSync(process.env['CC'] ?? 'cc', ['-Wl,--build-id=none', '-o', program, source]);
    assert.equal(readBuildId(program).length, 0);
  });
  it('is empty for what has none', () => {
    assert.equal(readBuildId('[vdso]').length, 0);
    assert.equal(readBuildId(join(scratch, 'missing')).length, 0);
    const short = join(scratch, 'short');
    writeFileSync(short, '\u007fELF\u0002\u0001');
    assert.equal(readBuildId(short).length, 0);
  });
});

describe('devices', () => {
  const sysfs = join(scratch, 'sys');
  const device = join(sysfs, 'bus/pci/devices/0000:06:0d.0');
  mkdirSync(device, { recursive: true });
  const files: Readonly<Record<string, string>> = {
    vendor: '0x1af4\n',
    device: '0x1041\n',
    class: '0x020000\n',
    subsystem_vendor: '0x1af4\n',
    subsystem_device: '0x1100\n',
    revision: '0x01\n',
    numa_node: '-1\n',
    reset_method: 'flr bus\n',
    resource:
      '0x00000000fe000000 0x00000000fe003fff 0x000000000014220c\n0x0 0x0 0x0\n0xc000 0xc01f 0x40101\n',
    config: 'x'.repeat(256),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(device, name), content);
  symlinkSync('../../../../bus/pci/drivers/vfio-pci', join(device, 'driver'));
  symlinkSync('../../../../kernel/iommu_groups/26', join(device, 'iommu_group'));
  mkdirSync(join(sysfs, 'class/vfio-dev/vfio3'), { recursive: true });
  symlinkSync(device, join(sysfs, 'class/vfio-dev/vfio3/device'));

  it('are found by name and by node', () => {
    assert.equal(bdfOfName('0000:06:0D.0 vf_token=2ab74924'), '0000:06:0d.0');
    assert.equal(bdfOfName('83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'), undefined);
    assert.equal(bdfOfNode('/dev/vfio/devices/vfio3', sysfs), '0000:06:0d.0');
    assert.equal(bdfOfNode('/dev/vfio/devices/vfio4', sysfs), undefined);
    assert.equal(bdfOfNode('/dev/vfio/vfio', sysfs), undefined);
  });
  it('are described as sysfs has them', () => {
    assert.deepEqual(describeDevice(1, '0000:06:0d.0', sysfs), {
      id: 1,
      bdf: '0000:06:0d.0',
      vendor: 0x1af4,
      device: 0x1041,
      classCode: 0x020000,
      subsystemVendor: 0x1af4,
      subsystemDevice: 0x1100,
      revision: 1,
      driver: 'vfio-pci',
      iommuGroup: '26',
      resources: [
        { index: 0, size: 0x4000n, flags: 0x14220cn },
        { index: 2, size: 0x20n, flags: 0x40101n },
      ],
      config: new Uint8Array(256).fill(0x78),
      resetMethod: 'flr bus',
      numaNode: -1,
    });
    assert.equal(describeDevice(1, '0000:00:00.0', sysfs), undefined);
  });
});
