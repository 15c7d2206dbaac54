// SPDX-License-Identifier: Apache-2.0
/** A C compiler, asked about vfio2010.h, and the tables here must say the same of every size, number and offset. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { findIoctl, ioctlsNamed } from '../ioctls.js';
import type { Field } from '../layout.js';
import { LYON_DEVICE } from '../object-kinds.js';
import { packageRoot } from '../package-root.js';
import { CONFIG_REGION, ROM_REGION } from '../vfio/regions.js';
import {
  LYON_DMA_FLAGS,
  LYON_DMA_MAP,
  LYON_EVENTFDS,
  LYON_FD,
  LYON_IOCTLS,
  LYON_MAP_SIZE_MAX,
  LYON_V2_IOCTLS,
  lyonDescriptors,
} from './ioctls.js';
import {
  attribute,
  attributeNumber,
  decodeNetlink,
  encodeNetlink,
  encodeNetlinkError,
  LYON_ATTRIBUTES,
  LYON_MESSAGES,
} from './netlink.js';
import { lyonRegionIndex, lyonRegionOffset, lyonRegisterOffset } from './regions.js';

/** What C makes of each expression. */
function compiled(expressions: readonly string[]): readonly bigint[] {
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-2010-'));
  try {
    const prints = expressions.map((one) => `printf("%lld\\n", (long long)(${one}));`);
    const source = `#include <stddef.h>\n#include <stdio.h>\n#include "vfio2010.h"\nint main(void)\n{\n${prints.join('\n')}\nreturn 0;\n}\n`;
    writeFileSync(join(directory, 'q.c'), source);
    const flags = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-I', join(packageRoot(), 'abi/lyon2010')];
    const build = spawnSync('cc', [...flags, '-o', 'q', 'q.c'], { cwd: directory, encoding: 'utf8' });
    assert.equal(build.status, 0, build.stderr);
    const { stdout } = spawnSync(join(directory, 'q'), [], { encoding: 'utf8' });
    return stdout.trim().split('\n').map(BigInt);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('request numbers, the structure and its members', () => {
  const facts: [string, bigint][] = [];
  for (const { name, request } of [...LYON_IOCTLS, ...LYON_V2_IOCTLS]) facts.push([name, BigInt(request)]);
  facts.push(['sizeof(struct vfio_dma_map)', BigInt(LYON_DMA_MAP.size)]);
  for (const [name, { offset, bytes }] of Object.entries<Field>(LYON_DMA_MAP.fields)) {
    facts.push([`offsetof(struct vfio_dma_map, ${name})`, BigInt(offset)]);
    facts.push([`sizeof(((struct vfio_dma_map *)0)->${name})`, BigInt(bytes)]);
  }
  facts.push(['VFIO_FLAG_WRITE', BigInt(LYON_DMA_FLAGS.bits.WRITE)]);
  facts.push(['VFIO_MAX_MAP_SIZE', LYON_MAP_SIZE_MAX]);
  facts.push(['sizeof(int)', BigInt(LYON_FD.size)], ['sizeof(int)', BigInt(LYON_EVENTFDS.size)]);
  for (let bar = 0; bar <= ROM_REGION; bar++)
    facts.push([`VFIO_PCI_SPACE_OFFSET(${bar})`, lyonRegionOffset(bar)]);
  facts.push(['VFIO_PCI_ROM_RESOURCE', BigInt(ROM_REGION)]);
  facts.push(['VFIO_PCI_CONFIG_OFF', lyonRegionOffset(CONFIG_REGION)]);
  for (const [name, number] of Object.entries(LYON_MESSAGES))
    facts.push([`VFIO_MSG_${name}`, BigInt(number)]);
  for (const [name, { type }] of Object.entries(LYON_ATTRIBUTES))
    facts.push([`VFIO_ATTR_${name}`, BigInt(type)]);
  const answers = compiled(facts.map(([expression]) => expression));
  facts.forEach(([expression, expected], i) => {
    assert.equal(answers[i], expected, expression);
  });
  assert.ok(facts.length > 50);
});

test('the number of June 2010 that took one descriptor is the one that takes a list', () => {
  const [number] = compiled(['VFIO_EVENTFD_MSI']);
  assert.equal(findIoctl(LYON_DEVICE, Number(number))?.name, 'VFIO_EVENTFDS_MSI');
});

test('numbers that mean something else today are told apart by the descriptor', () => {
  for (const [name, today] of [
    ['VFIO_DOMAIN_UNSET', 'VFIO_DEVICE_GET_REGION_INFO'],
    ['VFIO_IRQ_EOI', 'VFIO_DEVICE_GET_IRQ_INFO'],
  ] as const)
    assert.equal(ioctlsNamed(name)[0]?.request, ioctlsNamed(today)[0]?.request);
});

test('offsets lead to their regions and back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 7 }),
      fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
      (index, register) => {
        const offset = lyonRegionOffset(index) + register;
        assert.equal(lyonRegionIndex(offset), index);
        assert.equal(lyonRegisterOffset(offset), register);
      },
    ),
  );
  for (let space = 7n; space < 15n; space++) assert.equal(lyonRegionIndex(space << 32n), undefined);
});

test('descriptors of a list that is longer than what was recorded of it', () => {
  const words = (...values: readonly number[]) => new Uint8Array(Int32Array.from(values).buffer);
  assert.deepEqual(lyonDescriptors(words(2, 5, -1)), [5, -1]);
  assert.deepEqual(lyonDescriptors(words(1000, 5, 6)), [5, 6]);
  assert.deepEqual(lyonDescriptors(words(-1, 5)), []);
  assert.deepEqual(lyonDescriptors(words(2, 5, 6).subarray(0, 10)), [5]);
  assert.deepEqual(lyonDescriptors(new Uint8Array(3)), []);
});

test('netlink messages: encoded and decoded, several in a datagram, cut anywhere, and any bytes', () => {
  const { MSGCAP, PCI_FUNC } = LYON_ATTRIBUTES;
  const message = encodeNetlink({
    type: 0x19,
    flags: 5,
    sequence: 7,
    port: 9,
    command: LYON_MESSAGES.REGISTER,
    attributes: [attribute(MSGCAP.type, 8, 0x8000_0000_0000_0102n), attribute(PCI_FUNC.type, 1, 3)],
  });
  const both = new Uint8Array([...message, ...message]);
  const [first, second] = decodeNetlink(both);
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([first.type, first.flags, first.sequence, first.port, first.command], [0x19, 5, 7, 9, 9]);
  assert.equal(attributeNumber(first, MSGCAP), 0x8000_0000_0000_0102n);
  assert.equal(attributeNumber(second, PCI_FUNC), 3n);
  assert.equal(attributeNumber(first, LYON_ATTRIBUTES.PCI_BUS), undefined);
  for (let length = 0; length < both.length; length++)
    assert.equal(decodeNetlink(both.subarray(0, length)).length, length < message.length ? 0 : 1);
  assert.equal(new DataView(encodeNetlinkError(first, 22, 9).buffer).getInt32(16, true), -22);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      decodeNetlink(bytes);
    }),
  );
});
