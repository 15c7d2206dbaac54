// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, encodeNetlink, LYON_ATTRIBUTES, LYON_MESSAGES } from '../../../abi/lyon2010/netlink.js';
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

const { REGISTER, REMOVE, PM_SUSPEND, PM_SUSPEND_REPLY } = LYON_MESSAGES;
const BOTH = (1n << BigInt(REMOVE)) | (1n << BigInt(PM_SUSPEND));

function about(command: number, slot: number, value?: { readonly type: number; readonly bigint: bigint }) {
  const { PCI_DOMAIN, PCI_BUS, PCI_SLOT, PCI_FUNC } = LYON_ATTRIBUTES;
  const place = [
    [PCI_DOMAIN, 0],
    [PCI_BUS, 0],
    [PCI_SLOT, slot],
    [PCI_FUNC, 0],
  ] as const;
  return encodeNetlink({
    type: 0x19,
    sequence: 1,
    command,
    attributes: [
      ...(value === undefined ? [] : [attribute(value.type, 8, value.bigint)]),
      ...place.map(([{ type, bytes }, number]) => attribute(type, bytes, number)),
    ],
  });
}

const register = (wanted: bigint, slot = 4) =>
  about(REGISTER, slot, { type: LYON_ATTRIBUTES.MSGCAP.type, bigint: wanted });

/** Registered for `wanted`, and opened. */
function listening(wanted: bigint) {
  const s = new RecordedSession();
  const netlink = s.openNetlink();
  if (wanted !== 0n) s.netlink('send', netlink, register(wanted));
  return { s, netlink, device: s.openLyon() };
}

test('LYON-002: registered for both, told of both, and all answered', async () => {
  const { s, netlink, device } = listening(BOTH);
  s.netlink('receive', netlink, about(PM_SUSPEND, 4)).after(4e9);
  s.netlink('send', netlink, about(PM_SUSPEND_REPLY, 4));
  s.netlink('receive', netlink, about(REMOVE, 4)).after(1e9);
  s.close(device).exit();
  assert.deepEqual(await judge(LYON_002, s), ['pass']);
});

test('LYON-002: never registered, for one of them, for another device, and refused', async () => {
  const never = listening(0n);
  const opened = never.s.next - 1;
  never.s.close(never.device).exit();
  assert.deepEqual(await judge(LYON_002, never.s), [
    'note',
    `note not registered for REMOVE, PM_SUSPEND @${opened + 1},${opened}`,
  ]);
  const half = listening(1n << BigInt(REMOVE));
  half.s.close(half.device).exit();
  assert.match((await judge(LYON_002, half.s)).join(), /not registered for PM_SUSPEND @/);
  const other = new RecordedSession();
  const netlink = other.openNetlink();
  other.netlink('send', netlink, register(BOTH, 5));
  other.netlink('send', netlink, register(BOTH), { errno: 5 });
  other.openLyon();
  other.exit();
  assert.match((await judge(LYON_002, other)).join(), /not registered for REMOVE, PM_SUSPEND @/);
});

test('LYON-002: kept after REMOVE, and a suspend that was answered late or not at all', async () => {
  const kept = listening(BOTH);
  kept.s.netlink('receive', kept.netlink, about(REMOVE, 4)).after(11e9);
  kept.s.close(kept.device).exit();
  assert.match((await judge(LYON_002, kept.s)).join(), /^note,note REMOVE ignored @/);
  for (const answer of [true, false]) {
    const late = listening(BOTH);
    late.s.netlink('receive', late.netlink, about(PM_SUSPEND, 4)).after(6e9);
    if (answer) late.s.netlink('send', late.netlink, about(PM_SUSPEND_REPLY, 4));
    late.s.close(late.device).exit();
    assert.match((await judge(LYON_002, late.s)).join(), /^note,note PM_SUSPEND not answered @/);
  }
});

test('LYON-002: a look at what waits is no receive; over before the time is up', async () => {
  const { s, netlink, device } = listening(BOTH);
  s.netlink('receive', netlink, about(PM_SUSPEND, 4), { flags: 2n }).after(6e9);
  s.netlink('receive', netlink, about(PM_SUSPEND, 4)).after(1e9);
  s.close(device).exit();
  assert.deepEqual(await judge(LYON_002, s), ['pass']);
});

test('LYON-002: where netlink is not recorded, it is unknown; today it is off', async () => {
  const { s } = opened();
  const { status, reasons } = await verdictOf(LYON_002, s);
  assert.equal(status, 'unknown');
  assert.match(reasons.join(), /netlink/);
  const today = new RecordedSession();
  today.openNvme();
  assert.deepEqual(await judge(LYON_002, today), ['off']);
});
