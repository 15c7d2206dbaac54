// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordedSession } from '../../../session/fixtures.js';
import { judge } from '../../check/fixtures.js';
import { RST_001 } from './rst-001-known-state.js';

/** Opens a device whose reset at open failed. */
function withoutReset(s: RecordedSession) {
  const group = s.group();
  const device = s.getDevice(group);
  s.deviceInfo(device, 2);
  return device;
}

test('RST-001: bus mastering on a device that was never reset', async () => {
  const s = new RecordedSession();
  const device = withoutReset(s);
  const write = s.next;
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['fail', `error bus mastering @${write},2`]);
});

test('RST-001: the kernel reset it at open', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['pass']);
});

test('RST-001: the driver resets the controller first, where VFIO can not', async () => {
  const s = new RecordedSession();
  const device = withoutReset(s);
  s.store(device, 0, 0x14, 4, 0);
  s.load(device, 0, 0x1c, 4, 0);
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['pass']);
});

test('RST-001: a reset that failed is none', async () => {
  const s = new RecordedSession();
  const device = withoutReset(s);
  s.reset(device, 22);
  const write = s.next;
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['fail', `error bus mastering @${write},2`]);
});

test('RST-001: without GET_INFO nobody knows', async () => {
  const s = new RecordedSession();
  const device = s.getDevice(s.group());
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['unknown']);
});

test('RST-001: bus mastering that stays off is nothing to judge', async () => {
  const s = new RecordedSession();
  withoutReset(s);
  assert.deepEqual(await judge(RST_001, s), ['not applicable']);
});

test('RST-001: a recording that lost events never says pass', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.configWrite(device, 0x04, 2, 0x0406);
  s.lose();
  assert.deepEqual(await judge(RST_001, s), ['unknown']);
});
