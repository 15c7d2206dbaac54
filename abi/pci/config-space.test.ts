// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { touchedRegisters } from '../register-access.js';
import { CONFIG_BYTES, ConfigSpace } from './config-space.js';

const HEADER = [0x86, 0x80, 0x0e, 0x10, 0x06, 0x00, 0x10, 0x00];

function header(): ConfigSpace {
  const config = new ConfigSpace(new Uint8Array(HEADER));
  config.learn(0x0e, new Uint8Array([0]));
  config.learn(0x34, new Uint8Array([0x40]));
  return config;
}

const shown = (config: ConfigSpace, offset: number, width: number, value: bigint): string =>
  touchedRegisters(config.lookup, offset, width, value)
    .map(({ text }) => text)
    .join(', ');

test('the header has names without any capability', () => {
  assert.equal(shown(new ConfigSpace(), 4, 2, 0x0406n), 'Command = 0x0406 MEM=1 MASTER=1 INTX_DISABLE=1');
  assert.equal(shown(new ConfigSpace(), 0x10, 4, 0xfebf_000cn), 'BAR0 = 0xfebf000c TYPE=64bit PREFETCH=1');
  assert.equal(shown(new ConfigSpace(), 8, 4, 0x0108_0202n), 'RevisionID = 0x02, ClassCode = 0x010802');
});

test('half a register says which half', () => {
  assert.equal(shown(new ConfigSpace(), 5, 1, 0x04n), 'Command[15:8] = 0x04 INTX_DISABLE=1');
  assert.equal(shown(new ConfigSpace(), 4, 1, 0x06n), 'Command[7:0] = 0x06 MEM=1 MASTER=1');
  assert.equal(
    shown(new ConfigSpace(), 3, 2, 0x0610n),
    'DeviceID[15:8] = 0x10, Command[7:0] = 0x06 MEM=1 MASTER=1',
  );
});

test('a bridge has other registers behind the same offsets', () => {
  const config = new ConfigSpace();
  config.learn(0x0e, new Uint8Array([0x81]));
  assert.equal(shown(config, 0x19, 1, 5n), 'SecondaryBus = 0x05');
  assert.equal(shown(config, 0x3e, 2, 0x40n), 'BridgeControl = 0x0040 BUS_RESET=1');
});

test('capabilities get their names as the driver walks the chain', () => {
  const config = header();
  assert.equal(shown(config, 0x40, 1, 1n), 'cap40.ID = 0x01');
  config.learn(0x40, new Uint8Array([0x01]));
  assert.equal(shown(config, 0x44, 2, 3n), 'PM.PMCSR = 0x0003 STATE=D3hot');
  config.learn(0x41, new Uint8Array([0x50]));
  config.learn(0x50, new Uint8Array([0x11, 0x00]));
  assert.equal(shown(config, 0x52, 2, 0xc01fn), 'MSIX.Control = 0xc01f LAST_ENTRY=0x1f MASKALL=1 ENABLE=1');
  assert.deepEqual(
    config.capabilities.map(({ name, offset }) => [name, offset]),
    [
      ['PM', 0x40],
      ['MSIX', 0x50],
    ],
  );
});

test('the layout of MSI follows its control register', () => {
  const config = header();
  config.learn(0x40, new Uint8Array([0x05, 0x00, 0x80, 0x01]));
  assert.equal(shown(config, 0x4c, 2, 0x21n), 'MSI.Data = 0x0021');
  assert.equal(shown(config, 0x50, 4, 1n), 'MSI.Mask = 0x00000001');
  config.learn(0x42, new Uint8Array([0x00, 0x00]));
  assert.equal(shown(config, 0x48, 2, 0x21n), 'MSI.Data = 0x0021');
  assert.equal(shown(config, 0x50, 4, 1n), '');
});

test('extended capabilities, the hidden ones too', () => {
  const config = header();
  config.learn(0x100, new Uint8Array([0x01, 0x00, 0x02, 0x14]));
  config.learn(0x140, new Uint8Array([0x00, 0x00, 0x01, 0x18]));
  config.learn(0x180, new Uint8Array([0x10, 0x00, 0x01, 0x00]));
  assert.deepEqual(
    config.capabilities.map(({ name, offset }) => [name, offset]),
    [
      ['cap40', 0x40],
      ['AER', 0x100],
      ['Hidden', 0x140],
      ['SRIOV', 0x180],
    ],
  );
  assert.equal(shown(config, 0x188, 2, 0x19n), 'SRIOV.Control = 0x0019 VFE=1 MSE=1 ARI=1');
});

test('the same capability twice has two names', () => {
  const config = header();
  config.learn(0x40, new Uint8Array([0x09, 0x50]));
  config.learn(0x50, new Uint8Array([0x09, 0x00]));
  assert.deepEqual(
    config.capabilities.map(({ name }) => name),
    ['Vendor', 'Vendor#2'],
  );
});

test('without the status bit the pointer means nothing', () => {
  const config = new ConfigSpace(new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0]));
  config.learn(0x34, new Uint8Array([0x40]));
  config.learn(0x40, new Uint8Array([0x01, 0x00]));
  assert.deepEqual(config.capabilities, []);
});

test('chains that loop, overlap or lead outside end', () => {
  const config = header();
  config.learn(0x40, new Uint8Array([0x01, 0x44]));
  config.learn(0x44, new Uint8Array([0x05, 0x40]));
  config.learn(0x100, new Uint8Array([0x01, 0x00, 0x01, 0x10]));
  assert.deepEqual(
    config.capabilities.map(({ name }) => name),
    ['PM', 'MSI', 'AER'],
  );
});

test('any bytes, learnt in any order, give registers that hold the byte asked for', () => {
  const piece = fc.tuple(fc.integer({ min: -8, max: CONFIG_BYTES + 8 }), fc.uint8Array({ maxLength: 64 }));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.nat(CONFIG_BYTES - 1), (pieces, offset) => {
      const config = header();
      for (const [at, bytes] of pieces) config.learn(at, bytes);
      const placed = config.lookup(offset);
      if (placed !== undefined) {
        assert.ok(placed.start <= offset && offset < placed.start + placed.register.width);
      }
      for (const { offset: at } of config.capabilities) assert.ok(at >= 0x40 && at < CONFIG_BYTES);
    }),
    { numRuns: 300 },
  );
});

test('what was learnt piecemeal is what was learnt at once', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 512, maxLength: 512 }), (bytes) => {
      const whole = new ConfigSpace(bytes);
      const pieces = new ConfigSpace();
      for (let at = 511; at >= 0; at--) {
        pieces.learn(at, bytes.subarray(at, at + 1));
        if (at % 64 === 0) void pieces.capabilities;
      }
      assert.deepEqual(
        pieces.capabilities.map(({ name, offset }) => [name, offset]),
        whole.capabilities.map(({ name, offset }) => [name, offset]),
      );
    }),
    { numRuns: 100 },
  );
});
