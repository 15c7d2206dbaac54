// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ConfigSpace } from '../pci/config-space.js';
import { touchedRegisters } from '../register-access.js';
import { DeviceRegisters, REGISTER_MAPS, registerMapFor } from './choose.js';
import type { DeviceIdentity } from './map.js';

const NVME = { vendor: 0x1b36, device: 0x0010, classCode: 0x010802 };

function registers(
  identity: DeviceIdentity,
  config = new ConfigSpace(),
): (region: number, offset: number, width: number, value: bigint) => string {
  const device = new DeviceRegisters(identity, config);
  return (region, offset, width, value) =>
    touchedRegisters(device.lookup(region), offset, width, value)
      .map(({ text }) => text)
      .join(', ');
}

test('NVMe: by class, with doorbells as far apart as CAP says', () => {
  const shown = registers(NVME);
  assert.equal(shown(0, 0x14, 4, 0x0046_0001n), 'CC = 0x00460001 EN=1 IOSQES=6 IOCQES=4');
  assert.equal(shown(0, 0x1c, 4, 0x9n), 'CSTS = 0x00000009 RDY=1 SHST=complete');
  assert.equal(shown(0, 0x2c, 4, 1n), 'ASQ[63:32] = 0x00000001');
  assert.equal(
    shown(0, 0x24, 8, 0x1000_001f_001fn),
    'AQA = 0x001f001f ASQS=0x1f ACQS=0x1f, ASQ[31:0] = 0x00001000',
  );
  assert.equal(shown(0, 0x1000, 4, 3n), 'SQ0TDBL = 0x00000003 SQT=3');
  assert.equal(shown(0, 0x100c, 4, 3n), 'CQ1HDBL = 0x00000003 CQH=3');
  assert.equal(shown(2, 0x14, 4, 1n), '');

  const device = new DeviceRegisters(NVME, new ConfigSpace());
  const name = (offset: number) => device.lookup(0)(offset)?.name;
  assert.equal(name(0x1010), 'SQ2TDBL');
  device.learn(0, 4, 4, 0x1n);
  assert.equal(name(0x1010), 'SQ1TDBL');
  assert.equal(name(0x1004), undefined);
  device.learn(0, 0, 8, 0x2_0000_0000n);
  assert.equal(name(0x1010), 'CQ0HDBL');
});

test('Intel Ethernet: by device id', () => {
  const shown = registers({ vendor: 0x8086, device: 0x10d3, classCode: 0x020000 });
  assert.equal(shown(0, 0x3818, 4, 7n), 'TDT[0] = 0x00000007');
  assert.equal(shown(0, 0x2918, 4, 7n), 'RDT[1] = 0x00000007');
  assert.equal(shown(0, 0xc0, 4, 0x8000_0004n), 'ICR = 0x80000004 LSC=1 INT_ASSERTED=1');
  assert.equal(shown(0, 0x5404, 4, 0x8000_1234n), 'RAH[0] = 0x80001234 ADDR=0x1234 AV=1');
  assert.equal(shown(0, 0x4074, 4, 9n), 'GPRC = 0x00000009');
  assert.equal(registerMapFor({ vendor: 0x8086, device: 0x100e, classCode: 0x020000 })?.name, 'e1000');
  assert.equal(registerMapFor({ vendor: 0x8086, device: 0x10c9, classCode: 0x020000 })?.name, 'igb');
  assert.equal(
    registers({ vendor: 0x8086, device: 0x10c9, classCode: 0 })(0, 0xe158, 4, 1n),
    'TDT[5] = 0x00000001',
  );
});

test('virtio: where its capabilities say', () => {
  const config = new ConfigSpace();
  config.learn(0x06, new Uint8Array([0x10, 0, 0, 0]));
  config.learn(0x34, new Uint8Array([0x40]));
  const capability = (
    at: number,
    next: number,
    type: number,
    offset: number,
    length: number,
    ...more: number[]
  ) => {
    const bytes = new Uint8Array(16 + more.length);
    bytes.set([0x09, next, bytes.length, type, 4]);
    new DataView(bytes.buffer).setUint32(8, offset, true);
    new DataView(bytes.buffer).setUint32(12, length, true);
    bytes.set(more, 16);
    config.learn(at, bytes);
  };
  const shown = registers({ vendor: 0x1af4, device: 0x1041, classCode: 0x020000 }, config);
  assert.equal(shown(4, 0x14, 1, 0xfn), '');
  capability(0x40, 0x50, 1, 0x0000, 56);
  capability(0x50, 0x60, 3, 0x1000, 1);
  capability(0x60, 0x70, 4, 0x2000, 12);
  capability(0x70, 0x00, 2, 0x3000, 0x1000, 4, 0, 0, 0);
  assert.equal(
    shown(4, 0x14, 1, 0xfn),
    'device_status = 0x0f ACKNOWLEDGE=1 DRIVER=1 DRIVER_OK=1 FEATURES_OK=1',
  );
  assert.equal(shown(4, 0x20, 4, 0x1000n), 'queue_desc[31:0] = 0x00001000');
  assert.equal(shown(4, 0x38, 2, 1n), '', 'beyond the length that the capability gives');
  assert.equal(shown(4, 0x1000, 1, 1n), 'ISR = 0x01 QUEUE=1');
  assert.equal(shown(4, 0x2006, 2, 1n), 'net.status = 0x0001 LINK_UP=1');
  assert.equal(shown(4, 0x3008, 2, 2n), 'notify[2][15:0] = 0x0002');
  assert.equal(shown(1, 0x14, 1, 1n), '');
});

test('the MSI-X table of any device', () => {
  const config = new ConfigSpace();
  config.learn(0x06, new Uint8Array([0x10]));
  config.learn(0x34, new Uint8Array([0x40]));
  config.learn(0x40, new Uint8Array([0x11, 0, 0x03, 0, 0x01, 0x20, 0, 0, 0x01, 0x30, 0, 0]));
  const shown = registers({ vendor: 1, device: 2, classCode: 3 }, config);
  assert.equal(shown(1, 0x201c, 4, 1n), 'MSIXTable[1].Control = 0x00000001 MASK=1');
  assert.equal(shown(1, 0x2040, 4, 1n), '');
  assert.equal(shown(1, 0x3000, 8, 1n), 'MSIXPBA[0] = 0x0000000000000001');
});

test('no two registers of a map claim one byte, and fields fit their register', () => {
  for (const { name, blocks } of REGISTER_MAPS) {
    for (const { registers: list } of typeof blocks === 'function' ? blocks(() => undefined) : blocks) {
      const owner = new Map<number, string>();
      for (const { name: register, offset, width, fields } of list) {
        for (let at = offset; at < offset + width; at++) {
          assert.equal(
            owner.get(at),
            undefined,
            `${name}: ${register} and ${owner.get(at)} overlap at ${at}`,
          );
          owner.set(at, register);
        }
        for (const [field, place] of Object.entries(fields)) {
          const [low, bits] = typeof place === 'number' ? [place, 1] : place;
          assert.ok(low + bits <= width * 8, `${register}.${field}`);
        }
      }
    }
  }
});

test('any access of any device is described', () => {
  const identity = fc.constantFrom(
    NVME,
    { vendor: 0x8086, device: 0x10d3, classCode: 0 },
    { vendor: 0x1af4, device: 0x1000, classCode: 0 },
  );
  fc.assert(
    fc.property(
      identity,
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(7),
      fc.nat(0xffff_ffff),
      (device, bytes, region, offset) => {
        const config = new ConfigSpace(bytes);
        const lookup = new DeviceRegisters(device, config).lookup(region);
        for (const at of [offset, offset % 0x4000]) {
          const placed = lookup(at);
          if (placed !== undefined)
            assert.ok(placed.start <= at && at < placed.start + placed.register.width);
        }
      },
    ),
    { numRuns: 300 },
  );
});
