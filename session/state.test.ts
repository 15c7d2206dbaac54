// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from '../abi/layout.js';
import { IRQ_SET } from '../abi/vfio/irqs.js';
import { REGION_INFO } from '../abi/vfio/region-info.js';
import { DMA_MAP, DMA_UNMAP } from '../abi/vfio/type1.js';
import { type Event, EventKind, ObjectKind, PayloadRole } from '../traces/model.js';
import type { DefinitionMaps } from '../traces/reader.js';
import type { Change } from './change.js';
import { routeName } from './interrupts.js';
import { Session } from './state.js';

const CONTAINER = 1;
const DEVICE = 2;
const EVENTFD = 3;
const OTHER_EVENTFD = 4;

function definitions(): DefinitionMaps {
  const object = (id: number, kind: number) =>
    [id, { id, kind, path: '', parent: 0, process: 1, seenBorn: true, device: 0 }] as const;
  const process = (id: number, pid: number, parentPid: number) =>
    [id, { id, pid, parentPid, exe: '', argv: [] }] as const;
  const thread = (id: number, of: number) => [id, { id, process: of, tid: id, name: '' }] as const;
  return {
    processes: new Map([process(1, 100, 1), process(2, 100, 1), process(3, 101, 100)]),
    threads: new Map([thread(1, 1), thread(2, 2), thread(3, 3)]),
    objects: new Map([
      object(CONTAINER, ObjectKind.CONTAINER),
      object(DEVICE, ObjectKind.DEVICE),
      object(EVENTFD, ObjectKind.EVENTFD),
      object(OTHER_EVENTFD, ObjectKind.EVENTFD),
    ]),
    modules: new Map(),
    sites: new Map(),
    devices: new Map(),
    mmioSites: new Map(),
  };
}

const EVENT: Event = {
  number: 0,
  kind: 0,
  flags: 0,
  thread: 1,
  object: 0,
  fd: -1,
  op: 0,
  time: 0,
  duration: 0,
  offset: 0n,
  value: 0n,
  result: 0n,
  errno: 0,
  site: 0,
  payloads: [],
};

const payload = (role: number, data: Uint8Array) =>
  ({ role, index: 0, address: 0n, cut: false, fault: false, redacted: false, data }) as const;

function ioctl(
  object: number,
  op: number,
  before: Uint8Array,
  rest: Partial<Event> & { readonly after?: Uint8Array } = {},
): Event {
  const { after, ...event } = rest;
  const payloads = [
    payload(PayloadRole.IN, before),
    ...(after === undefined ? [] : [payload(PayloadRole.OUT, after)]),
  ];
  return { ...EVENT, kind: EventKind.IOCTL, object, op, payloads, ...event };
}

const setIrqs = (
  flags: number,
  index: number,
  start: number,
  fds: readonly number[],
  rest: Partial<Event> = {},
): Event => {
  const bytes = encode(
    IRQ_SET,
    { argsz: 20 + fds.length * 4, flags, index, start, count: fds.length },
    20 + fds.length * 4,
  );
  new Int32Array(bytes.buffer, 20, fds.length).set(fds);
  return ioctl(DEVICE, 0x3b6e, bytes, rest);
};

const eventfd = (fd: number, object: number, thread = 1): Event => ({
  ...EVENT,
  thread,
  kind: EventKind.EVENTFD,
  fd,
  object,
  result: BigInt(fd),
});

function session(changes: Change[] = []): Session {
  return new Session(definitions(), (change) => changes.push(change));
}

test('an eventfd becomes an interrupt, and stops being one', () => {
  const s = session();
  const route = (object: number) => {
    const found = s.interrupts.of(object);
    return found === undefined ? undefined : routeName(found);
  };
  s.apply(eventfd(7, EVENTFD));
  s.apply(eventfd(8, OTHER_EVENTFD));
  s.apply(setIrqs(0x24, 2, 3, [7, 8]));
  assert.equal(route(EVENTFD), 'MSIX[3]');
  assert.equal(route(OTHER_EVENTFD), 'MSIX[4]');
  assert.equal(s.interrupts.eventfd(DEVICE, 2, 4), OTHER_EVENTFD);
  s.apply(setIrqs(0x24, 2, 3, [-1]));
  assert.equal(route(EVENTFD), undefined);
  s.apply(setIrqs(0x24, 2, 4, [7]));
  assert.equal(route(OTHER_EVENTFD), undefined, 'another eventfd took its vector');
  assert.equal(route(EVENTFD), 'MSIX[4]');
  s.apply(setIrqs(0x24, 2, 4, [8], { errno: 22, result: -1n }));
  assert.equal(route(EVENTFD), 'MSIX[4]', 'a call that failed changes nothing');
  s.apply(setIrqs(0x14, 0, 0, [8]));
  assert.equal(route(OTHER_EVENTFD), 'INTX[0] unmask');
  s.apply(setIrqs(0x21, 2, 0, []));
  assert.equal(route(EVENTFD), undefined);
  assert.equal(route(OTHER_EVENTFD), 'INTX[0] unmask');
});

test('descriptors are each process’s own, kept over exec and fork', () => {
  const s = session();
  s.apply(eventfd(7, EVENTFD));
  s.apply({ ...EVENT, kind: EventKind.DUP, fd: 7, object: EVENTFD, result: 9n });
  assert.equal(s.descriptors.get(2, 9), EVENTFD, 'exec keeps');
  assert.equal(s.descriptors.get(3, 9), EVENTFD, 'fork copies');
  s.apply({ ...EVENT, thread: 3, kind: EventKind.CLOSE, fd: 9, object: EVENTFD });
  assert.equal(s.descriptors.get(3, 9), undefined);
  assert.equal(s.descriptors.get(2, 9), EVENTFD);
  s.apply({ ...EVENT, thread: 2, kind: EventKind.CLOSE, fd: 3, op: 1, offset: 0xffff_ffffn });
  assert.equal(s.descriptors.get(2, 9), undefined);
});

test('a region’s offset is what the kernel said, before what vfio-pci does', () => {
  const s = session();
  const device = s.device(DEVICE);
  assert.ok(device !== undefined);
  assert.deepEqual(device.locate((7n << 40n) + 4n), { index: 7, offset: 4n });
  const info = { argsz: 32, index: 2, size: 0x1000n, offset: 0x10_0000n };
  s.apply(
    ioctl(DEVICE, 0x3b6c, encode(REGION_INFO, { argsz: 32, index: 2 }), { after: encode(REGION_INFO, info) }),
  );
  assert.deepEqual(device.locate(0x10_0010n), { index: 2, offset: 0x10n });
  assert.deepEqual(device.locate(0x10_1000n), { index: 0, offset: 0x10_1000n });
  assert.equal(device.locate(2n << 40n), undefined, 'where region 2 would be if it were not elsewhere');
  assert.equal(device.locate((1n << 64n) - 1n), undefined);
});

test('DMA mappings follow map and unmap', () => {
  const changes: Change[] = [];
  const s = session(changes);
  const map = (iova: bigint, size: bigint, flags = 3) =>
    ioctl(CONTAINER, 0x3b71, encode(DMA_MAP, { argsz: 32, flags, vaddr: 0x1000n, iova, size }));
  const unmap = (iova: bigint, size: bigint, flags = 0) =>
    ioctl(CONTAINER, 0x3b72, encode(DMA_UNMAP, { argsz: 24, flags, iova, size }));
  s.apply(map(0x10_0000n, 0x2000n));
  s.apply(map(0x20_0000n, 0x1000n, 1));
  assert.deepEqual(s.dma.space(CONTAINER).at(0x10_1fffn), {
    start: 0x10_0000n,
    length: 0x2000n,
    address: 0x1000n,
    readable: true,
    writable: true,
  });
  assert.equal(s.dma.space(CONTAINER).at(0x20_0000n)?.writable, false);
  s.apply(unmap(0x10_0000n, 0x10_0000n));
  assert.equal(s.dma.space(CONTAINER).size, 1);
  s.apply(map(0x20_0000n, 0x1000n, 4));
  assert.equal(s.dma.space(CONTAINER).at(0x20_0000n)?.writable, false, 'VADDR maps nothing');
  s.apply(unmap(0n, 0n, 2));
  assert.equal(s.dma.space(CONTAINER).size, 0);
  assert.deepEqual(
    changes.map(({ type }) => type),
    ['dma-map', 'dma-map', 'dma-unmap', 'dma-unmap'],
  );
});

test('mapped regions move with mremap and go with munmap', () => {
  const s = session();
  s.apply({
    ...EVENT,
    kind: EventKind.MMAP,
    object: DEVICE,
    offset: 0x1000n,
    value: 0x4000n,
    result: 0x7000_0000n,
  });
  assert.equal(s.mappings.at(1, 0x7000_0010n)?.offset, 0x1000n);
  const moved = new Uint8Array(BigUint64Array.of(0x2000n, 0n).buffer);
  s.apply({
    ...EVENT,
    kind: EventKind.MREMAP,
    offset: 0x7000_0000n,
    value: 0x4000n,
    result: 0x8000_0000n,
    payloads: [payload(PayloadRole.IN, moved)],
  });
  assert.equal(s.mappings.at(1, 0x7000_0000n), undefined);
  assert.equal(s.mappings.at(1, 0x8000_1fffn)?.region, 0);
  s.apply({ ...EVENT, kind: EventKind.MUNMAP, offset: 0x8000_0000n, value: 0x1000n });
  assert.deepEqual(s.mappings.at(1, 0x8000_1000n), {
    process: 1,
    start: 0x8000_1000n,
    length: 0x1000n,
    object: DEVICE,
    region: 0,
    offset: 0x2000n,
  });
  assert.equal(s.mappings.at(2, 0x8000_1000n), undefined, 'another process');
});

test('configuration space is learnt from what the driver reads', () => {
  const s = session();
  const read = (offset: bigint, bytes: bigint, value: bigint) =>
    s.apply({
      ...EVENT,
      kind: EventKind.READ,
      object: DEVICE,
      op: Number(bytes),
      offset: (7n << 40n) + offset,
      value,
      result: bytes,
    });
  read(0x04n, 4n, 0x0010_0000n);
  read(0x0en, 1n, 0n);
  read(0x34n, 1n, 0x40n);
  read(0x40n, 2n, 0x0011n);
  assert.deepEqual(
    s.device(DEVICE)?.config.capabilities.map(({ name }) => name),
    ['MSIX'],
  );
});
