// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CONTAINER, DEVICE } from '../../abi/object-kinds.js';
import { SIM_SERVICE_BYTES, SIM_VERSION, SimServiceType, SimType } from '../../abi/wire/sim.js';
import { Edu } from '../devices/edu/edu.js';
import { EBADF, EFAULT, EMFILE, ENOENT, EPERM, EPROTO } from '../kernel/errno.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { SimulatorServer } from './server.js';
import { Client, Driver, encodeRequest } from './test/client.js';

const LIMIT = { timeout: 60_000 };
const BDF = '0000:00:04.0';
const CONFIG = 7n << 40n;
const GET_API_VERSION = 0x3b64;
const SET_IRQS = 0x3b6e;
/** A number that no process has. */
const NO_PID = 0x7fff_fffe;

let directory: string;
let path: string;
let kernel: SimulatedKernel;
let server: SimulatorServer;
let changes: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vfiotape-server-'));
  path = join(directory, 'socket');
  kernel = new SimulatedKernel({ devices: [{ device: new Edu() }] });
  changes = 0;
  server = new SimulatorServer(kernel, () => changes++);
  await server.listen(path);
});

afterEach(async () => {
  server.close();
  rmSync(directory, { recursive: true });
  assert.deepEqual(server.bugs, []);
});

async function untilIdle(): Promise<void> {
  for (let tries = 0; !server.isIdle; tries++) {
    assert.ok(tries < 3000, 'connections are left');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function load(id: bigint, offset: bigint, width = 4n) {
  return { type: SimType.LOAD, file: id, a: offset, b: width };
}

function map(device: Client, address = 0x10_0000n, length = 0x1000n) {
  return { type: SimType.MMAP, file: device.inode, a: address, b: length, d: 1n << 32n };
}

test('a file is opened by its path, and closed by hanging up', LIMIT, async () => {
  const driver = await Driver.start(path);
  const file = await Client.connect(path);
  const opened = await file.introduce(SimType.OPEN, {
    file: file.inode,
    payload: Buffer.from('/dev/vfio/vfio'),
  });
  assert.deepEqual([opened.result, opened.a, opened.b], [0n, BigInt((10 << 8) | 196), BigInt(CONTAINER)]);
  assert.equal((await driver.ioctl(file, GET_API_VERSION)).result, 0n);
  const { inode } = file;
  const described = await driver.channel.ask({ type: SimType.FILE, file: inode });
  assert.equal(described.payload.toString(), '/dev/vfio/vfio');
  await file.close();
  assert.equal((await driver.channel.ask({ type: SimType.CLOSED, file: inode })).result, 0n);
  assert.equal((await driver.channel.ask({ type: SimType.FILE, file: inode })).result, BigInt(-EBADF));
  await driver.channel.close();
  await untilIdle();
});

test('a path that is no node is ENOENT, and the connection ends', LIMIT, async () => {
  for (const node of ['/dev/vfio/99', '', '/dev/vfio/vfio\0', '../vfio']) {
    const file = await Client.connect(path);
    const { result } = await file.introduce(SimType.OPEN, { file: file.inode, payload: Buffer.from(node) });
    assert.equal(result, BigInt(-ENOENT), JSON.stringify(node));
    await file.closed;
  }
  await untilIdle();
});

test('a group is open once, and can be opened again as soon as it was closed', LIMIT, async () => {
  const driver = await Driver.start(path);
  for (let times = 0; times < 20; times++) {
    const group = await driver.open('/dev/vfio/1');
    await assert.rejects(driver.open('/dev/vfio/1'), /-16/);
    group.socket.destroy();
  }
  await driver.channel.close();
});

test('another version of the protocol is refused', LIMIT, async () => {
  for (const type of [SimType.CHANNEL, SimType.OPEN, SimType.SERVICE, SimType.SPARE]) {
    const client = await Client.connect(path);
    assert.equal((await client.introduce(type, { version: SIM_VERSION + 1 })).result, BigInt(-EPROTO));
    await client.closed;
  }
});

test('a process that is not there is refused without blaming anybody’s rights', LIMIT, async () => {
  const client = await Client.connect(path);
  assert.equal((await client.introduce(SimType.CHANNEL, { pid: NO_PID })).result, BigInt(-EPERM));
  await client.closed;
  assert.equal(server.refused, undefined);
});

test('a device: descriptor, config space, registers', LIMIT, async () => {
  const driver = await Driver.start(path);
  const { files, device } = await driver.device('1', BDF);
  const described = await driver.channel.ask({ type: SimType.FILE, file: device.inode });
  assert.deepEqual([described.b, described.payload.toString()], [BigInt(DEVICE), 'anon_inode:[vfio-device]']);

  const read = await driver.channel.ask({ type: SimType.PREAD, file: device.inode, a: CONFIG, b: 4n });
  assert.deepEqual([read.result, read.payload], [4n, Buffer.from('3412e811', 'hex')]);
  const before = changes;
  const command = { type: SimType.PWRITE, file: device.inode, a: CONFIG + 4n, b: 2n };
  assert.equal((await driver.channel.ask({ ...command, payload: Uint8Array.of(6, 0) })).result, 2n);
  assert.ok(changes > before, 'told before the driver hears of it');

  const { result: id, a: region } = await driver.channel.ask(map(device));
  assert.ok(id > 0n);
  assert.equal(region, 0n);
  assert.equal((await driver.channel.ask(load(id, 0n))).a, 0x0100_00edn);
  const stored = { type: SimType.STORE, file: id, a: 4n, b: 4n, c: 0xffff_ffff_0000_00f0n };
  assert.equal((await driver.channel.ask(stored)).result, 0n);
  assert.equal((await driver.channel.ask(load(id, 4n))).a, 0xffff_ff0fn);

  for (const offset of [0x1000n, 0xffen, 2n ** 64n - 2n, 2n ** 63n]) {
    const { result, a } = await driver.channel.ask(load(id, offset));
    assert.deepEqual([result, a], [BigInt(-EFAULT), 0n], `offset ${offset}`);
    const { result: storing } = await driver.channel.ask({ ...stored, a: offset });
    assert.equal(storing, BigInt(-EFAULT));
  }
  assert.equal((await driver.channel.ask(load(id + 1n, 0n))).result, BigInt(-EFAULT));
  for (const file of files) await file.close();
  await driver.channel.close();
  await untilIdle();
  assert.ok(!kernel.devices.some(({ isOpen }) => isOpen));
});

test('mappings are cut, moved, inherited and hold their device open', LIMIT, async () => {
  const driver = await Driver.start(path);
  const { files, device } = await driver.device('1', BDF);
  const { result: id } = await driver.channel.ask(map(device, 0x10_0000n, 0x4000n));
  for (const file of files) await file.close();
  await driver.channel.ask({ type: SimType.CLOSED });
  assert.ok(kernel.devices[0]?.isOpen, 'the mapping holds it');
  const ask = async (type: number, a: bigint, b: bigint, c = 0n): Promise<boolean> => {
    await driver.channel.ask({ type, a, b, c });
    return (await driver.channel.ask(load(id, 0n))).result === 0n;
  };
  assert.ok(await ask(SimType.MUNMAP, 0x10_0000n, 0x1000n), 'three pages are left');
  assert.ok(await ask(SimType.MOVED, 0x10_1000n, 0x1000n, 0x20_0000n));
  assert.ok(await ask(SimType.MUNMAP, 0x10_0000n, 0x10_0000n), 'the moved page is left');
  assert.ok(await ask(SimType.MUNMAP, 2n ** 64n - 1n, 2n ** 64n - 1n), 'an end beyond all addresses');
  assert.ok(!(await ask(SimType.MUNMAP, 0x20_0000n, 0x1000n)), 'the last one');
  assert.ok(!kernel.devices[0]?.isOpen);
  await driver.channel.close();
  await untilIdle();
});

test('a descriptor is only given to a spare connection that is nobody’s yet', LIMIT, async () => {
  const driver = await Driver.start(path);
  const container = await driver.open('/dev/vfio/vfio');
  const group = await driver.open('/dev/vfio/1');
  const fd = Buffer.alloc(4);
  fd.writeInt32LE(container.fd);
  await driver.expect(group, 0x3b68, fd);
  await driver.expect(container, 0x3b66, 1n);
  const name = Buffer.from(`${BDF}\0`);
  assert.equal((await driver.ioctl(group, 0x3b6a, name)).result, BigInt(-EMFILE), 'no spare');
  assert.equal((await driver.ioctl(group, 0x3b6a, name, group)).result, BigInt(-EMFILE), 'a file, no spare');
  const gone = await driver.spare();
  const { inode } = gone;
  await gone.close();
  await driver.channel.ask({ type: SimType.CLOSED });
  const late = {
    type: SimType.IOCTL,
    file: group.inode,
    a: 0x3b6an,
    b: 0x1000n,
    c: 9n,
    d: inode,
    payload: Buffer.concat([name, Buffer.alloc(64)]),
  };
  assert.equal((await driver.channel.ask(late)).result, BigInt(-EMFILE), 'a spare that has hung up');
  const spare = await driver.spare();
  const given = await driver.ioctl(group, 0x3b6a, name, spare);
  assert.deepEqual([given.result, given.a, given.b], [BigInt(spare.fd), 1n, BigInt(DEVICE)]);
  assert.equal((await driver.ioctl(group, 0x3b6a, name, spare)).result, BigInt(-EMFILE), 'taken already');
  // A socket can't say that it is another one.
  for (const type of [SimType.OPEN, SimType.SPARE]) {
    const thief = await Client.connect(path);
    await assert.rejects(
      thief.introduce(type, { file: spare.inode, payload: Buffer.from('/dev/vfio/vfio') }),
    );
    const nobody = await Client.connect(path);
    await assert.rejects(nobody.introduce(type, { file: 0n, payload: Buffer.from('/dev/vfio/vfio') }));
  }
  assert.equal((await driver.channel.ask({ type: SimType.FILE, file: spare.inode })).b, BigInt(DEVICE));
});

/** One that Node has for itself; the test's side of the service only talks about it. */
function someEventfd(): number {
  const found = readdirSync('/proc/self/fd').find((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === 'anon_inode:[eventfd]';
    } catch {
      return false;
    }
  });
  assert.ok(found !== undefined);
  return Number(found);
}

function irqs(flags: number, start: number, count: number, fds: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from([20 + 4 * fds.length, flags, 1, start, count, ...fds]).buffer);
}

const DATA_EVENTFD_TRIGGER = 4 | 32;
const DATA_NONE_TRIGGER = 1 | 32;

test(
  'SET_IRQS is answered once the process holds its eventfds, an ioctl’s interrupt before it returns',
  LIMIT,
  async () => {
    const driver = await Driver.start(path);
    const { device } = await driver.device('1', BDF);
    const service = await Client.connect(path);
    assert.equal((await service.introduce(SimType.SERVICE)).result, 0n);
    const fd = someEventfd();
    const answer = driver.ioctl(device, SET_IRQS, irqs(DATA_EVENTFD_TRIGGER, 0, 1, [fd]));
    const take = await service.serviceMessage();
    assert.deepEqual([take.type, take.fd], [SimServiceType.TAKE, fd]);
    assert.equal(driver.channel.unread, 0, 'not answered before');
    service.sendService(SimServiceType.TAKEN, take.token);
    assert.equal((await answer).result, 0n);

    const triggered = driver.ioctl(device, SET_IRQS, irqs(DATA_NONE_TRIGGER, 0, 1, []));
    assert.deepEqual(await service.serviceMessage(), {
      type: SimServiceType.SIGNAL_NOW,
      fd: -1,
      token: take.token,
    });
    service.sendService(SimServiceType.SIGNALLED, take.token);
    assert.equal((await triggered).result, 0n);

    const { result: id } = await driver.channel.ask(map(device));
    const store = async (a: bigint, c: bigint) =>
      driver.channel.ask({ type: SimType.STORE, file: id, a, b: 4n, c });
    await driver.channel.ask({
      type: SimType.PWRITE,
      file: device.inode,
      a: CONFIG + 4n,
      b: 2n,
      payload: Uint8Array.of(6, 0),
    });
    await store(0x60n, 1n);
    assert.equal(
      (await service.serviceMessage()).type,
      SimServiceType.SIGNAL,
      'the device’s own are not waited for',
    );

    // Answers to nothing, of nobody, and of a kind that is not known.
    service.sendService(SimServiceType.TAKEN, 999n);
    service.sendService(SimServiceType.FIRED, 999n);
    service.sendService(77, take.token);
    const last = driver.ioctl(device, SET_IRQS, irqs(DATA_NONE_TRIGGER, 0, 1, []));
    assert.equal((await service.serviceMessage()).type, SimServiceType.SIGNAL_NOW);
    // A process that ends in the middle of it is not waited for.
    await service.close();
    assert.equal((await last).result, 0n);
  },
);

test('without a service an eventfd is as good as one that nobody reads', LIMIT, async () => {
  const driver = await Driver.start(path);
  const { device } = await driver.device('1', BDF);
  const { result } = await driver.ioctl(device, SET_IRQS, irqs(DATA_EVENTFD_TRIGGER, 0, 1, [someEventfd()]));
  assert.equal(result, 0n);
  assert.equal(
    (await driver.ioctl(device, SET_IRQS, irqs(DATA_EVENTFD_TRIGGER, 0, 1, [12345]))).result,
    BigInt(-EBADF),
  );
});

const NONSENSE = [
  ['a width of three', load(1n, 0n, 3n)],
  ['a width that is none', load(1n, 0n, 2n ** 64n - 1n)],
  ['a type that is none', { type: SimType.TYPE_END }],
  ['type zero', { type: 0 }],
  ['the largest type', { type: 0xffff }],
  ['a second introduction', { type: SimType.CHANNEL, version: SIM_VERSION }],
  ['a payload of 4 GiB', { type: SimType.WRITE, length: 0xffff_ffff }],
] as const;

for (const [what, request] of NONSENSE) {
  test(`${what} ends its connection and no other`, LIMIT, async () => {
    const driver = await Driver.start(path);
    const other = await Driver.start(path);
    driver.channel.send(encodeRequest(request));
    await driver.channel.closed;
    const container = await other.open('/dev/vfio/vfio');
    assert.equal((await other.ioctl(container, GET_API_VERSION)).result, 0n);
  });
}

test('a file’s connection says nothing after its introduction', LIMIT, async () => {
  const driver = await Driver.start(path);
  const container = await driver.open('/dev/vfio/vfio');
  container.send(encodeRequest(load(1n, 0n)));
  await container.closed;
});

test('a client that reads no answers is cut off', LIMIT, async () => {
  const driver = await Driver.start(path);
  const { device } = await driver.device('1', BDF);
  const config = encodeRequest({ type: SimType.PREAD, file: device.inode, a: CONFIG, b: 256n });
  driver.channel.socket.pause();
  let up = true;
  void driver.channel.closed.then(() => {
    up = false;
  });
  const many = Buffer.concat(Array.from({ length: 1000 }, () => config));
  for (let times = 0; up && times < 200; times++) {
    driver.channel.send(many);
    await new Promise((resolve) => setImmediate(resolve));
  }
  driver.channel.socket.resume();
  await driver.channel.closed;
});

test('any bytes, in any role, leave the server at work', LIMIT, async () => {
  const seed = Number(process.env['VFIOTAPE_FUZZ_SEED'] ?? 4);
  let state = seed;
  const below = (bound: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  const odd = (): bigint =>
    [0n, 1n, 2n, 8n, 0x1000n, 2n ** 31n, 2n ** 32n, 2n ** 47n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, CONFIG][
      below(12)
    ] as bigint;
  const owner = await Driver.start(path);
  const { device } = await owner.device('1', BDF);
  const { result: id } = await owner.channel.ask(map(device));
  for (let times = 0; times < 150; times++) {
    const client = await Client.connect(path);
    const role = [SimType.CHANNEL, SimType.SERVICE, SimType.OPEN, SimType.SPARE, 0][below(5)] as number;
    if (role !== 0)
      await client.introduce(role, { file: client.inode, payload: Buffer.from('/dev/vfio/vfio') });
    for (let requests = 0; requests < 20; requests++) {
      const payload = Uint8Array.from({ length: below(64) }, () => below(256));
      if (below(8) === 0) client.send(payload);
      else {
        const file = [device.inode, id, odd(), client.inode][below(4)] as bigint;
        const fields = {
          pid: below(3) === 0 ? below(2 ** 31) : process.pid,
          file,
          a: odd(),
          b: odd(),
          c: odd(),
          d: odd(),
        };
        const type = below(19);
        // Its mappings and its memory are the owner's, too, which is this process: those are another test's.
        if (type !== SimType.MUNMAP && type !== SimType.MOVED && type !== SimType.IOCTL)
          client.send(encodeRequest({ ...fields, type, payload }));
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
    await client.close();
  }
  await owner.channel.ask({ type: SimType.CLOSED });
  const read = await owner.channel.ask({ type: SimType.PREAD, file: device.inode, a: CONFIG, b: 4n });
  assert.equal(read.result, 4n);
  const bytes = Buffer.alloc(SIM_SERVICE_BYTES - 1);
  const service = await Client.connect(path);
  await service.introduce(SimType.SERVICE);
  service.send(bytes);
  await service.close();
});
