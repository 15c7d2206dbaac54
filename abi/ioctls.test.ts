// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeIoctl, type IoctlCall, type Part, rawParts } from './ioctl.js';
import { findIoctl, IOCTLS_BY_KIND, ioctlNames, ioctlsNamed } from './ioctls.js';
import { encode } from './layout.js';
import { CDEV, CONTAINER, DEVICE, IOMMUFD, LYON_DEVICE } from './object-kinds.js';
import { DEVICE_FEATURE, FEATURE_MIG_STATE } from './vfio/feature.js';
import { IRQ_SET } from './vfio/irqs.js';

const NOTHING: IoctlCall = {
  argument: 0n,
  result: 0n,
  errno: 0,
  before: undefined,
  after: undefined,
  pointedBefore: undefined,
  pointedAfter: undefined,
  fault: false,
  redacted: false,
};

const texts = (parts: readonly Part[]): string =>
  parts.map(({ name, text, out }) => `${out ? '>' : ''}${name}=${text}`).join(' ');

function decoded(kind: number, request: number, call: Partial<IoctlCall>): string {
  const ioctl = findIoctl(kind, request);
  assert.ok(ioctl !== undefined);
  return `${ioctl.name} ${texts(decodeIoctl(ioctl, { ...NOTHING, ...call }))}`.trimEnd();
}

test('a number means what the descriptor makes of it', () => {
  assert.equal(findIoctl(DEVICE, 0x3b6c)?.name, 'VFIO_DEVICE_GET_REGION_INFO');
  assert.equal(findIoctl(LYON_DEVICE, 0x3b6c)?.name, 'VFIO_DOMAIN_UNSET');
  assert.equal(findIoctl(DEVICE, 0x3b6d)?.name, 'VFIO_DEVICE_GET_IRQ_INFO');
  assert.equal(findIoctl(LYON_DEVICE, 0x3b6d)?.name, 'VFIO_IRQ_EOI');
  assert.equal(findIoctl(DEVICE, 0x3b71)?.name, 'VFIO_DEVICE_PCI_HOT_RESET');
  assert.equal(findIoctl(CONTAINER, 0x3b71)?.name, 'VFIO_IOMMU_MAP_DMA');
  assert.equal(findIoctl(IOMMUFD, 0x3b71)?.name, 'VFIO_IOMMU_MAP_DMA');
  assert.equal(findIoctl(IOMMUFD, 0x3b85)?.name, 'IOMMU_IOAS_MAP');
  assert.equal(findIoctl(DEVICE, 0x3bff), undefined);
  assert.equal(findIoctl(9999, 0x3b71), undefined);
});

test('no number stands twice in a kind’s table, and a name finds its numbers', () => {
  for (const list of Object.values(IOCTLS_BY_KIND)) {
    assert.equal(new Set(list.map(({ request }) => request)).size, list.length);
  }
  assert.deepEqual(ioctlsNamed('VFIO_DEVICE_RESET'), [
    { kind: DEVICE, request: 0x3b6f },
    { kind: CDEV, request: 0x3b6f },
  ]);
  assert.ok(ioctlNames().includes('IOMMU_IOAS_MAP'));
});

test('interrupts: eventfds, bools, none', () => {
  const set = (flags: number, count: number, ...data: readonly number[]) => {
    const bytes = encode(
      IRQ_SET,
      { argsz: 20 + data.length, flags, index: 2, start: 1, count },
      20 + data.length,
    );
    bytes.set(data, 20);
    return decoded(DEVICE, 0x3b6e, { before: bytes });
  };
  assert.equal(
    set(0x24, 2, 7, 0, 0, 0, 255, 255, 255, 255),
    'VFIO_DEVICE_SET_IRQS flags=DATA_EVENTFD|ACTION_TRIGGER index=MSIX start=1 count=2 fds=[7,-1]',
  );
  assert.equal(
    set(0x0a, 1, 1),
    'VFIO_DEVICE_SET_IRQS flags=DATA_BOOL|ACTION_MASK index=MSIX start=1 count=1 bools=[1]',
  );
  assert.equal(
    set(0x21, 0),
    'VFIO_DEVICE_SET_IRQS flags=DATA_NONE|ACTION_TRIGGER index=MSIX start=1 count=0',
  );
  // A count that no bytes stand behind.
  assert.match(set(0x24, 0xffff_ffff, 7, 0, 0, 0), /fds=\[7\]$/);
});

test('features: a structure each, a token never', () => {
  const feature = (flags: number, data: Uint8Array, out = false) => {
    const bytes = new Uint8Array([...encode(DEVICE_FEATURE, { argsz: 8 + data.length, flags }), ...data]);
    return decoded(
      DEVICE,
      0x3b75,
      out ? { before: bytes.slice(0, 8), after: bytes } : { before: bytes, after: bytes },
    );
  };
  assert.equal(
    feature(0x2_0002, encode(FEATURE_MIG_STATE, { device_state: 3, data_fd: 9 })),
    'VFIO_DEVICE_FEATURE feature=MIG_DEVICE_STATE op=SET device_state=STOP_COPY >data_fd=9',
  );
  assert.equal(
    feature(0x1_0002, encode(FEATURE_MIG_STATE, { device_state: 2, data_fd: -1 }), true),
    'VFIO_DEVICE_FEATURE argsz=16 feature=MIG_DEVICE_STATE op=GET >device_state=RUNNING >data_fd=-1',
  );
  assert.equal(
    feature(0x4_0006, new Uint8Array(0)),
    'VFIO_DEVICE_FEATURE feature=DMA_LOGGING_START op=PROBE',
  );
  assert.doesNotMatch(feature(0x2_0000, new Uint8Array(16).fill(0xab)), /abab/);
  assert.match(feature(0x2_00ff, new Uint8Array([1, 2])), /feature=255 op=SET data=0102$/);
});

test('the interface of 2010', () => {
  const words = (...values: readonly number[]) =>
    new Uint8Array(Uint32Array.from(values, (v) => v >>> 0).buffer);
  assert.equal(
    decoded(LYON_DEVICE, 0x40043b69, { before: words(3, 8, 9, 10) }),
    'VFIO_EVENTFDS_MSIX count=3 fds=[8,9,10]',
  );
  assert.equal(decoded(LYON_DEVICE, 0x40043b69, { before: words(0) }), 'VFIO_EVENTFDS_MSIX count=0');
  assert.equal(
    decoded(LYON_DEVICE, 0xc0043ba7, { before: words(0), after: words(0x4000) }),
    'VFIO_BAR_LEN bar=BAR0 >length=0x4000',
  );
  assert.equal(decoded(LYON_DEVICE, 0x40043b67, { before: words(-1) }), 'VFIO_EVENTFD_IRQ fd=-1');
  assert.equal(
    decoded(LYON_DEVICE, 0x40083b67, { before: words(0xffff_ffff, 0) }),
    'VFIO_DMA_MASK mask=0xffffffff',
  );
});

test('any bytes decode to something, for every ioctl', () => {
  const bytes = fc.option(fc.uint8Array({ maxLength: 160 }), { nil: undefined });
  const call = fc.record({
    argument: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    result: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    errno: fc.nat(4095),
    before: bytes,
    after: bytes,
    pointedBefore: bytes,
    pointedAfter: bytes,
    fault: fc.boolean(),
    redacted: fc.boolean(),
  });
  for (const ioctl of new Set(Object.values(IOCTLS_BY_KIND).flat())) {
    fc.assert(
      fc.property(call, (recorded) => {
        for (const { text } of decodeIoctl(ioctl, recorded)) {
          assert.doesNotMatch(text, /\p{Cc}/u);
          assert.ok(text.length < 8192);
        }
      }),
      { numRuns: 60 },
    );
  }
  fc.assert(fc.property(call, (recorded) => void rawParts(recorded)));
});
