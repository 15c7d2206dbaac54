// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { UserError } from '../../abi/user-error.js';
import type { Host } from '../devices/device.js';
import { EXPRESS, MSI, MSIX, PM } from '../devices/pci/capabilities.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { LocalDriver } from '../kernel/local-driver.js';
import { LocalProcess } from '../kernel/local-process.js';
import { readGeneric } from './generic-file.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-generic-'));
after(() => rmSync(scratch, { recursive: true }));
let files = 0;

function write(content: unknown): string {
  const path = join(scratch, `${files++}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const LEAST = { vendor: '0x1234', device: 7, class: '0x020000' };
const CARD = {
  ...LEAST,
  subsystemVendor: 0x1af4,
  subsystem: '0x1100',
  revision: 3,
  interruptPin: 1,
  configSize: 4096,
  bars: [
    { size: 4096 },
    { size: '0x20', kind: 'io' },
    { size: 0 },
    { size: 65536, kind: 'memory64', prefetchable: true },
  ],
  powerManagement: true,
  msiVectors: 4,
  msix: { bar: 3, vectors: 8, table: 0, pba: '0x800' },
  express: true,
  functionLevelReset: true,
  registers: [
    { bar: 0, offset: 0, value: '0xcafe0001', writable: 0 },
    { bar: 0, offset: 8, width: 8, value: '0xffffffffffffffff', writable: '0xff' },
    { bar: 0, offset: 16, value: 5, clearedByOnes: 5 },
  ],
};

test('a card with everything is as its file says', () => {
  const { pci } = readGeneric(write(CARD));
  assert.deepEqual(
    [pci.vendor, pci.device, pci.classCode, pci.revision, pci.subsystemVendor, pci.subsystem, pci.configSize],
    [0x1234, 7, 0x02_0000, 3, 0x1af4, 0x1100, 4096],
  );
  assert.deepEqual(pci.bars, [
    { size: 4096, kind: 'memory32', prefetchable: false },
    { size: 32, kind: 'io', prefetchable: false },
    undefined,
    { size: 65536, kind: 'memory64', prefetchable: true },
    undefined,
  ]);
  assert.deepEqual(
    pci.capabilities.map(({ id }) => id),
    [PM, MSI, MSIX, EXPRESS],
  );
  let end = 0x40;
  for (const { offset, bytes } of pci.capabilities) {
    assert.ok(offset >= end && offset % 4 === 0, 'capabilities lie one after the other');
    end = offset + bytes.length;
  }
});

test('its registers answer through the kernel', () => {
  const kernel = new SimulatedKernel({ devices: [{ device: readGeneric(write(CARD)) }] });
  const driver = new LocalDriver(kernel, new LocalProcess());
  const fd = driver.open('/dev/vfio/devices/vfio0');
  const file = driver.file(fd);
  const iommufd = driver.open('/dev/iommu');
  const bind = new Uint8Array(Uint32Array.from([16, 0, iommufd, 0]).buffer);
  assert.equal(driver.ioctlBytes(fd, 'VFIO_DEVICE_BIND_IOMMUFD', bind), 0);
  const access = (offset: bigint, bytes: number, write?: bigint): bigint => {
    const data = Buffer.alloc(8);
    if (write !== undefined) {
      data.writeBigUInt64LE(write);
      assert.equal(kernel.pwrite(file, data.subarray(0, bytes), offset), bytes);
    }
    data.fill(0);
    assert.equal(kernel.pread(file, data.subarray(0, bytes), offset), bytes);
    return data.readBigUInt64LE();
  };
  assert.equal(access(0n, 4), 0xcafe_0001n);
  assert.equal(access(0n, 4, 0n), 0xcafe_0001n, 'nothing of it may be written');
  assert.equal(access(8n, 8, 0x1234n), 0xffff_ffff_ffff_ff34n);
  assert.equal(access(16n, 4, 4n), 1n, 'a one clears');
});

test('a store sets off what its trigger says', () => {
  const triggers = [
    { bar: 0, offset: 0x20, do: 'message', vector: 1 },
    { bar: 0, offset: 0x24, value: 1, do: 'intx', asserted: true },
    { bar: 0, offset: 0x28, do: 'dma-read', at: '0x100', length: 16 },
    { bar: 0, offset: 0x30, do: 'dma-write', at: '0x100', length: 16 },
    { bar: 0, offset: 0x38, do: 'forget' },
    { bar: 0, offset: 0x3c, do: 'vanish' },
  ];
  const device = readGeneric(write({ ...CARD, triggers }));
  const done: string[] = [];
  device.attach({
    defer: (work: () => void) => work(),
    message: (vector: number) => done.push(`message ${vector}`),
    intx: (asserted: boolean) => done.push(`intx ${asserted}`),
    dmaRead: (iova: bigint, into: Uint8Array) => {
      into.fill(0xab);
      return done.push(`read ${iova} ${into.length}`) > 0;
    },
    dmaWrite: (iova: bigint, from: Uint8Array) => done.push(`write ${iova} ${from[15]}`) > 0,
    reset: () => done.push('reset'),
    remove: () => done.push('remove'),
  } as unknown as Host);
  for (const { offset } of triggers) device.write(0, offset, 4, 1n);
  device.write(0, 0x24, 4, 2n);
  assert.deepEqual(done, ['message 1', 'intx true', 'read 1 16', 'write 1 171', 'reset', 'remove']);
});

test('the least that a file can say, and a virtual function', () => {
  const { pci } = readGeneric(write(LEAST));
  assert.deepEqual([pci.bars, pci.capabilities, pci.configSize, pci.interruptPin], [[], [], 256, 0]);
  assert.ok(readGeneric(write({ ...LEAST, virtualFunction: true })).pci.virtualFunction);
  const { capabilities } = readGeneric(write({ ...LEAST, functionLevelReset: true })).pci;
  assert.equal(capabilities.length, 1, 'reset without express is advanced features’');
});

const bar = { size: 4096 };
const MISTAKES: readonly (readonly [string, unknown, RegExp])[] = [
  ['no JSON', '{vendor', /JSON/],
  ['an empty file', '', /JSON/],
  ['an array', [], /the file should be an object/],
  ['null', 'null', /the file should be an object/],
  ['no vendor', { device: 1, class: 1 }, /vendor should be a number from 0 to 65535/],
  ['a vendor that is too large', { ...LEAST, vendor: 65536 }, /vendor should be a number from 0 to 65535/],
  ['a negative number', { ...LEAST, vendor: -1 }, /vendor should be a number/],
  ['a fraction', { ...LEAST, vendor: 1.5 }, /vendor should be a number/],
  [
    'a word for a number',
    { ...LEAST, vendor: 'intel' },
    /vendor should be a number, or a string like "0x10"/,
  ],
  [
    'a number of more than 64 bits',
    { ...LEAST, vendor: `0x1${'0'.repeat(16)}` },
    /vendor should be a number/,
  ],
  ['an unknown key', { ...LEAST, colour: 1 }, /colour is not known/],
  ['an unknown key in a BAR', { ...LEAST, bars: [{ ...bar, colour: 1 }] }, /bars\[0\]\.colour is not known/],
  [
    'an unknown key of a BAR that is none',
    { ...LEAST, bars: [{ size: 0, kind: 'io' }] },
    /bars\[0\]\.kind is not known/,
  ],
  ['a BAR that is no object', { ...LEAST, bars: [7] }, /bars\[0\]\. should be an object/],
  [
    'an odd BAR size',
    { ...LEAST, bars: [{ size: 4095 }] },
    /bars\[0\]\.size should be a power of two from 16/,
  ],
  ['a tiny BAR', { ...LEAST, bars: [{ size: 8 }] }, /a power of two from 16/],
  [
    'a BAR beyond 2 GiB',
    { ...LEAST, bars: [{ size: 2 ** 32 }] },
    /bars\[0\]\.size should be a number from 0/,
  ],
  [
    'an unknown kind',
    { ...LEAST, bars: [{ size: 16, kind: 'rom' }] },
    /kind should be one of memory32, memory64, io/,
  ],
  ['a flag that is none', { ...LEAST, express: 1 }, /express should be true or false/],
  ['seven BARs', { ...LEAST, bars: Array(7).fill(bar) }, /at most six places; BAR 6 is one too many/],
  [
    'a wide BAR in the last place',
    { ...LEAST, bars: [...Array(5).fill(bar), { size: 16, kind: 'memory64' }] },
    /BAR 5 is one too many/,
  ],
  [
    'a register in no BAR',
    { ...LEAST, registers: [{ bar: 1, offset: 0 }] },
    /registers\[0\]\.bar should be a BAR of this device/,
  ],
  [
    'a register of three bytes',
    { ...LEAST, bars: [bar], registers: [{ bar: 0, offset: 0, width: 3 }] },
    /width should be 1, 2, 4 or 8/,
  ],
  [
    'a register that is not aligned',
    { ...LEAST, bars: [bar], registers: [{ bar: 0, offset: 2 }] },
    /offset should be a multiple of 4/,
  ],
  [
    'a register outside',
    { ...LEAST, bars: [bar], registers: [{ bar: 0, offset: 4096 }] },
    /offset should be a number from 0 to 4092/,
  ],
  ['three MSI vectors', { ...LEAST, msiVectors: 3 }, /msiVectors should be 1, 2, 4, 8, 16 or 32/],
  [
    'MSI-X in no BAR',
    { ...LEAST, msix: { bar: 0, vectors: 1, table: 0, pba: 64 } },
    /msix\[0\]\.bar should be a BAR of this device/,
  ],
  [
    'an MSI-X table that is too long',
    { ...LEAST, bars: [bar], msix: { bar: 0, vectors: 257, table: 0, pba: 0 } },
    /table should be a number/,
  ],
  [
    'an MSI-X table that is not aligned',
    { ...LEAST, bars: [bar], msix: { bar: 0, vectors: 1, table: 4, pba: 64 } },
    /table should be a multiple of 8/,
  ],
  [
    'two MSI-X tables',
    { ...LEAST, bars: [bar], msix: [1, 2].map(() => ({ bar: 0, vectors: 1, table: 0, pba: 64 })) },
    /msix should be one/,
  ],
  ['a config space of another size', { ...LEAST, configSize: 1024 }, /configSize should be one of 256, 4096/],
  [
    'a trigger in no BAR',
    { ...LEAST, triggers: { bar: 0, offset: 0, do: 'vanish' } },
    /triggers\[0\]\.bar should be a BAR/,
  ],
  [
    'a trigger that does nothing',
    { ...LEAST, bars: bar, triggers: { bar: 0, offset: 0 } },
    /triggers\[0\]\.do should be one of message, intx/,
  ],
  [
    'DMA out of the BAR',
    { ...LEAST, bars: bar, triggers: { bar: 0, offset: 0, do: 'dma-read', at: 4090, length: 8 } },
    /at should be a number from 0 to 4088/,
  ],
  ['INTE', { ...LEAST, interruptPin: 5 }, /interruptPin should be a number from 0 to 4/],
];

for (const [what, content, expected] of MISTAKES) {
  test(`${what} is told in one line that names the file`, () => {
    const path = write(content);
    assert.throws(
      () => readGeneric(path),
      (error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, expected);
        assert.ok(error.message.startsWith(`--sim generic: ${path}: `), error.message);
        assert.ok(!error.message.includes('\n'), error.message);
        return true;
      },
    );
  });
}

test('a file that is no such file', () => {
  assert.throws(() => readGeneric(scratch), /cannot read/);
  assert.throws(() => readGeneric(write(' '.repeat((1 << 20) + 1))), /larger than a MiB/);
});
