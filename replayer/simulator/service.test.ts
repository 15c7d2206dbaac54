// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SIM_SERVICE_BYTES, SimServiceField, SimServiceType } from '../../abi/wire/sim.js';
import { Service } from './service.js';

type Sent = readonly [type: number, token: bigint, fd: number];

function service(up = true): { readonly service: Service; readonly sent: Sent[] } {
  const sent: Sent[] = [];
  const made = new Service((message) => {
    sent.push([
      message.readUInt32LE(SimServiceField.type),
      message.readBigUInt64LE(SimServiceField.token),
      message.readInt32LE(SimServiceField.fd),
    ]);
    return up;
  });
  return { service: made, sent };
}

function answer(type: number, token: bigint, result = 0n): Buffer {
  const bytes = Buffer.alloc(SIM_SERVICE_BYTES);
  bytes.writeBigInt64LE(result, SimServiceField.result);
  bytes.writeUInt32LE(type, SimServiceField.type);
  bytes.writeBigUInt64LE(token, SimServiceField.token);
  return bytes;
}

async function isSettled(promise: Promise<unknown> | undefined): Promise<boolean> {
  let settled = false;
  void promise?.then(() => {
    settled = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

test('an eventfd that is given twice is taken once', () => {
  const { service: one, sent } = service();
  const first = one.take(5, '17');
  assert.equal(one.take(9, '17'), first);
  assert.notEqual(one.take(5, '18'), first);
  assert.notEqual(one.take(5, undefined), one.take(5, undefined));
  assert.deepEqual(sent[0], [SimServiceType.TAKE, first.token, 5]);
  assert.equal(sent.length, 4);
});

test('a call is done when all that it asked for has been answered, each by its own answer', async () => {
  const { service: one, sent } = service();
  const { value, done } = one.during(() => {
    const taken = [one.take(5, '1'), one.take(6, '2')];
    taken[0]?.signal();
    taken[0]?.signal();
    return taken;
  });
  const [a, b] = value.map(({ token }) => token) as [bigint, bigint];
  assert.deepEqual(
    sent.map(([type]) => type),
    [SimServiceType.TAKE, SimServiceType.TAKE, SimServiceType.SIGNAL_NOW, SimServiceType.SIGNAL_NOW],
  );
  one.receive(answer(SimServiceType.TAKEN, a));
  one.receive(answer(SimServiceType.TAKEN, b));
  one.receive(answer(SimServiceType.TAKEN, b));
  one.receive(answer(SimServiceType.SIGNALLED, a));
  assert.ok(!(await isSettled(done)), 'one signal is out');
  one.receive(answer(SimServiceType.SIGNALLED, a));
  assert.ok(await isSettled(done));
});

test('an eventfd that the process can’t hold fails the call', async () => {
  const { service: one } = service();
  const { value, done } = one.during(() => [one.take(5, '1'), one.take(6, '2')]);
  one.receive(answer(SimServiceType.TAKEN, value[0]?.token ?? 0n));
  one.receive(answer(SimServiceType.TAKEN, value[1]?.token ?? 0n, -24n));
  assert.equal(await done, -24);
  const second = one.during(() => one.take(7, '3'));
  one.receive(answer(SimServiceType.TAKEN, second.value.token, 2n ** 63n - 1n));
  assert.equal(await second.done, 0, 'no result that ioctl could have');
});

test('nobody waits for a process that is gone, or that has no service', async () => {
  const { service: one } = service();
  const { done } = one.during(() => one.take(5, '1'));
  assert.ok(!(await isSettled(done)));
  one.gone();
  assert.ok(await isSettled(done));
  const { service: none } = service(false);
  assert.equal(none.during(() => none.take(5, '1')).done, undefined);
  assert.equal(none.during(() => 1).done, undefined);
});

test('a signal outside of a call is not waited for', () => {
  const { service: one, sent } = service();
  const taken = one.take(5, '1');
  taken.signal();
  assert.deepEqual(sent.at(-1), [SimServiceType.SIGNAL, taken.token, -1]);
  assert.throws(() =>
    one.during(() => {
      throw new Error('the kernel fails');
    }),
  );
  taken.signal();
  assert.equal(sent.at(-1)?.[0], SimServiceType.SIGNAL, 'a failed call is over');
});

test('an eventfd is watched while somebody watches it', () => {
  const { service: one, sent } = service();
  const taken = one.take(5, '1');
  const seen: string[] = [];
  const stopA = taken.watch(() => seen.push('a'));
  const stopB = taken.watch(() => {
    seen.push('b');
    stopB();
  });
  one.receive(answer(SimServiceType.FIRED, taken.token));
  one.receive(answer(SimServiceType.FIRED, taken.token));
  stopA();
  stopA();
  one.receive(answer(SimServiceType.FIRED, taken.token));
  assert.deepEqual(seen, ['a', 'b', 'a']);
  assert.deepEqual(
    sent.map(([type]) => type),
    [SimServiceType.TAKE, SimServiceType.WATCH, SimServiceType.UNWATCH],
  );
});
