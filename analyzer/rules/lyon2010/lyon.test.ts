// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordedSession } from '../../../session/fixtures.js';
import { judge, verdictOf } from '../../check/fixtures.js';
import { LYON_001 } from './lyon-001-domain-first.js';
import { LYON_002 } from './lyon-002-listens.js';

const EINVAL = 22;
const DOMAIN = new Uint8Array(Int32Array.from([9]).buffer);
const MAP = new Uint8Array(32);

function opened() {
  const s = new RecordedSession();
  return { s, device: s.openLyon() };
}

test('LYON-001: writing, mapping and DMA before the domain fail', async () => {
  const { s, device } = opened();
  const at = s.next;
  s.configWrite(device, 4, 2, 0x0006, EINVAL);
  s.ioctl(device, 'VFIO_DMA_MAP_IOVA', { before: MAP, errno: EINVAL });
  s.ioctl(device, 'VFIO_DOMAIN_SET', { before: DOMAIN });
  s.configWrite(device, 4, 2, 0x0006);
  assert.deepEqual(await judge(LYON_001, s), [
    'fail',
    `error a write to config space @${at}`,
    `error VFIO_DMA_MAP_IOVA @${at + 1}`,
  ]);
});

test('LYON-001: after VFIO_DOMAIN_UNSET it is as before', async () => {
  const { s, device } = opened();
  s.ioctl(device, 'VFIO_DOMAIN_SET', { before: DOMAIN });
  s.ioctl(device, 'VFIO_DOMAIN_UNSET', {});
  const at = s.next;
  s.configWrite(device, 4, 2, 0x0006, EINVAL);
  assert.deepEqual(await judge(LYON_001, s), ['fail', `error a write to config space @${at}`]);
});

test('LYON-001: in order it passes; EINVAL of another cause is not its business', async () => {
  const { s, device } = opened();
  s.configRead(device, 0, 4, 0x10ca8086);
  s.ioctl(device, 'VFIO_DOMAIN_SET', { before: DOMAIN });
  s.configWrite(device, 4, 2, 0x0006);
  s.ioctl(device, 'VFIO_DMA_MAP_IOVA', { before: MAP, errno: EINVAL });
  assert.deepEqual(await judge(LYON_001, s), ['pass']);
  const today = new RecordedSession();
  today.openNvme();
  assert.deepEqual(await judge(LYON_001, today), ['off']);
});

test('LYON-002: says why it can not be decided', async () => {
  const { s } = opened();
  const { status, reasons } = await verdictOf(LYON_002, s);
  assert.equal(status, 'undecidable');
  assert.match(reasons.join(), /netlink/);
});
