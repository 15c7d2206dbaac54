// SPDX-License-Identifier: Apache-2.0
/** Every structure, number and register that a C header of this machine knows is asked of that header. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { IOCTLS_BY_KIND } from './ioctls.js';
import * as hwpt from './iommufd/hwpt.js';
import * as ioas from './iommufd/ioas.js';
import * as viommu from './iommufd/viommu.js';
import * as kvm from './kvm.js';
import type { Layout } from './layout.js';
import { errnoName, errnoNumber } from './linux/errno.js';
import * as memory from './linux/memory.js';
import { EVENTFD_FLAGS, OPEN_FLAGS } from './linux/open.js';
import { POLL_EVENTS } from './linux/poll.js';
import * as lyon from './lyon2010/ioctls.js';
import type { FlagTable, ValueTable } from './names.js';
import { EXTENDED_CAPABILITIES } from './pci/extended-capabilities.js';
import { TYPE0_HEADER, TYPE1_HEADER } from './pci/header.js';
import { STANDARD_CAPABILITIES } from './pci/standard-capabilities.js';
import * as capabilityChain from './vfio/capability-chain.js';
import * as container from './vfio/container.js';
import * as device from './vfio/device.js';
import * as deviceInfo from './vfio/device-info.js';
import * as feature from './vfio/feature.js';
import * as group from './vfio/group.js';
import * as hotReset from './vfio/hot-reset.js';
import * as irqs from './vfio/irqs.js';
import * as migration from './vfio/migration.js';
import * as regionInfo from './vfio/region-info.js';
import * as spapr from './vfio/spapr.js';
import * as type1 from './vfio/type1.js';

const VFIO_MODULES: readonly object[] = [
  capabilityChain,
  container,
  device,
  deviceInfo,
  feature,
  group,
  hotReset,
  irqs,
  migration,
  regionInfo,
  spapr,
  type1,
];

const isLayout = (value: unknown): value is Layout =>
  typeof value === 'object' && value !== null && 'fields' in value && 'size' in value && 'name' in value;
const isFlags = (value: unknown): value is FlagTable =>
  typeof value === 'object' && value !== null && 'prefix' in value && 'bits' in value;
const isValues = (value: unknown): value is ValueTable =>
  typeof value === 'object' && value !== null && 'prefix' in value && 'values' in value;

const exported = <T>(modules: readonly object[], is: (value: unknown) => value is T): readonly T[] =>
  modules.flatMap((module) => Object.values(module)).filter(is);

/** One question to the compiler: an expression, and the number that we say it is. */
interface Question {
  readonly expression: string;
  readonly expected: bigint;
  /** Asked only where the preprocessor knows this name. */
  readonly macro?: string;
}

function compile(source: string, flags: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-headers-'));
  try {
    writeFileSync(join(directory, 'q.c'), source);
    const compiled = spawnSync('cc', ['-w', ...flags, 'q.c'], { cwd: directory, encoding: 'utf8' });
    assert.equal(compiled.status, 0, `${compiled.stderr}\n${source.slice(0, 4000)}`);
    if (flags.includes('-E')) return compiled.stdout;
    const run = spawnSync(join(directory, 'q'), [], { encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    return run.stdout;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Answers how many questions the headers knew. */
function ask(prelude: string, questions: readonly Question[]): number {
  const lines = questions.map(({ expression, macro }, i) => {
    const print = `printf("%d %lld\\n", ${i}, (long long)(${expression}));`;
    return macro === undefined ? print : `#ifdef ${macro}\n${print}\n#endif`;
  });
  const source = `#include <stdio.h>\n#include <stddef.h>\n${prelude}\nint main(void) {\n${lines.join('\n')}\nreturn 0;\n}\n`;
  const answers = compile(source, ['-o', 'q']).trim().split('\n').filter(Boolean);
  for (const answer of answers) {
    const [index, value] = answer.split(' ');
    const { expression, expected } = questions[Number(index)] as Question;
    assert.equal(BigInt.asUintN(64, BigInt(value as string)), BigInt.asUintN(64, expected), expression);
  }
  return answers.length;
}

/** Sizes and offsets of those structures that the preprocessed headers define, member by member. */
function layoutQuestions(
  layouts: readonly Layout[],
  headers: string,
): { readonly questions: Question[]; readonly absent: string[] } {
  const questions: Question[] = [];
  const absent: string[] = [];
  for (const { name, size, fields } of layouts) {
    if (!name.includes('_')) continue; // 'int' and other pointed-to scalars
    const body = new RegExp(`struct\\s+${name}\\s*\\{([^}]*(?:\\{[^}]*\\}[^}]*)*)\\}`).exec(headers)?.[1];
    if (body === undefined) {
      absent.push(`struct ${name}`);
      continue;
    }
    const known = { struct: `struct ${name}` };
    let whole = true;
    for (const [field, { offset, bytes, c }] of Object.entries(fields)) {
      const member = c ?? field;
      if (!new RegExp(`\\b${member.split('.')[0]}\\b`).test(body)) {
        absent.push(`${name}.${member}`);
        whole = whole && offset >= size;
        continue;
      }
      questions.push({ expression: `offsetof(${known.struct}, ${member})`, expected: BigInt(offset) });
      questions.push({ expression: `sizeof(((${known.struct} *)0)->${member})`, expected: BigInt(bytes) });
    }
    // A later kernel's member that this header lacks makes the structure longer than the header's.
    if (whole) questions.push({ expression: `sizeof(${known.struct})`, expected: BigInt(size) });
  }
  return { questions, absent };
}

function tableQuestions(modules: readonly object[]): readonly Question[] {
  const named = (prefix: string, table: Readonly<Record<string, number>>) =>
    Object.entries(table).map(([name, number]) => {
      const macro = `${prefix}${name}`;
      return { expression: `(unsigned)${macro}`, expected: BigInt(number >>> 0), macro };
    });
  return [
    ...exported(modules, isFlags).flatMap(({ prefix, bits }) => named(prefix, bits)),
    ...exported(modules, isValues).flatMap(({ prefix, values }) => named(prefix, values)),
  ];
}

function requestQuestions(kinds: readonly number[], prefix: RegExp): readonly Question[] {
  return kinds
    .flatMap((kind) => IOCTLS_BY_KIND[kind] ?? [])
    .filter(({ name }) => prefix.test(name))
    .map(({ name, request }) => ({ expression: name, expected: BigInt(request), macro: name }));
}

function check(
  t: TestContext,
  header: string,
  prelude: string,
  layouts: readonly Layout[],
  more: readonly Question[],
): void {
  const headers = compile(`${prelude}\n`, ['-E', '-P']);
  const { questions, absent } = layoutQuestions(layouts, headers);
  const answered = ask(prelude, [...questions, ...more]);
  t.diagnostic(
    `${header}: ${answered} answers; newer than this header: ${absent.join(', ') || 'nothing'}; ` +
      `${questions.length + more.length - answered} names that it lacks`,
  );
  assert.ok(answered > 0);
}

test('structures, requests, flags and values of linux/vfio.h', (t) => {
  const prelude = '#include <sys/ioctl.h>\n#include <linux/vfio.h>';
  check(t, 'linux/vfio.h', prelude, exported(VFIO_MODULES, isLayout), [
    ...tableQuestions(VFIO_MODULES),
    ...requestQuestions([1, 2, 4, 8], /^VFIO_/),
  ]);
});

test('structures, requests, flags and values of linux/iommufd.h', (t) => {
  if (!existsSync('/usr/include/linux/iommufd.h')) {
    t.skip('linux/iommufd.h is not installed: it came with Linux 6.2');
    return;
  }
  const modules = [ioas, hwpt, viommu];
  check(
    t,
    'linux/iommufd.h',
    '#include <sys/ioctl.h>\n#include <linux/iommufd.h>',
    exported(modules, isLayout),
    [...requestQuestions([6], /^IOMMU_/)],
  );
});

test('structures, requests and flags of linux/kvm.h', (t) => {
  const prelude = '#include <sys/ioctl.h>\n#include <linux/kvm.h>';
  check(t, 'linux/kvm.h', prelude, exported([kvm], isLayout), [
    ...tableQuestions([kvm]),
    ...requestQuestions([15, 16], /^KVM_/),
  ]);
});

/** Written from the description of the interface: the header itself was never part of Linux. */
const LYON_2010 = `
#include <stdint.h>
#include <sys/ioctl.h>
struct vfio_dma_map { uint64_t vaddr; uint64_t dmaaddr; uint64_t size; uint64_t flags; };
#define VFIO_FLAG_WRITE 1
#define VFIO_DMA_MAP_IOVA _IOWR(';', 101, struct vfio_dma_map)
#define VFIO_DMA_UNMAP _IOW(';', 102, struct vfio_dma_map)
#define VFIO_EVENTFD_IRQ _IOW(';', 103, int)
#define VFIO_EVENTFDS_MSI _IOW(';', 104, int)
#define VFIO_EVENTFDS_MSIX _IOW(';', 105, int)
#define VFIO_BAR_LEN _IOWR(';', 167, uint32_t)
#define VFIO_DOMAIN_SET _IOW(';', 107, int)
#define VFIO_DOMAIN_UNSET _IO(';', 108)
#define VFIO_IRQ_EOI _IO(';', 109)
#define VFIO_IRQ_EOI_EVENTFD _IOW(';', 110, int)
/* June 2010 */
#define VFIO_DMA_MAP_ANYWHERE _IOWR(';', 100, struct vfio_dma_map)
#define VFIO_DMA_MASK _IOW(';', 103, uint64_t)
`;

test('structures and requests of the interface of 2010', () => {
  const { questions } = layoutQuestions([lyon.LYON_DMA_MAP], compile(LYON_2010, ['-E', '-P']));
  const requests = requestQuestions([12], /^VFIO_/);
  assert.equal(ask(LYON_2010, [...questions, ...requests]), questions.length + requests.length);
});

test('offsets and ids of linux/pci_regs.h', (t) => {
  const prelude = '#include <linux/pci_regs.h>';
  const questions: Question[] = [];
  const registers = [...TYPE0_HEADER, ...TYPE1_HEADER];
  for (const capability of [...STANDARD_CAPABILITIES, ...EXTENDED_CAPABILITIES]) {
    if (capability.linux !== '') {
      questions.push({
        expression: capability.linux,
        expected: BigInt(capability.id),
        macro: capability.linux,
      });
    }
    const variants = typeof capability.registers === 'function' ? [0x0180, 0x0100, 0x0002] : [0];
    for (const control of variants) {
      const { registers: list } = capability;
      registers.push(...(typeof list === 'function' ? list(() => control) : list));
    }
  }
  for (const { linux, offset } of registers) {
    if (linux !== undefined) questions.push({ expression: linux, expected: BigInt(offset), macro: linux });
  }
  const answered = ask(prelude, questions);
  t.diagnostic(`linux/pci_regs.h: ${answered} answers, ${questions.length - answered} names that it lacks`);
  assert.ok(answered > 150);
});

test('bits of the Command register and of PCI Express Device Control', () => {
  const bits = (
    name: string,
    prefix: string,
    more: Readonly<Record<string, string>>,
  ): readonly Question[] => {
    const registers = [
      ...TYPE0_HEADER,
      ...STANDARD_CAPABILITIES.flatMap(({ registers: list }) =>
        typeof list === 'function' ? list(() => 2) : list,
      ),
    ];
    const found = registers.find((register) => register.name === name);
    assert.ok(found !== undefined);
    return Object.entries(found.fields).map(([field, place]) => {
      const [low, width] = typeof place === 'number' ? [place, 1] : place;
      const macro = `${prefix}${more[field] ?? field}`;
      return { expression: macro, expected: BigInt((2 ** width - 1) * 2 ** low), macro };
    });
  };
  const prelude = '#include <linux/pci_regs.h>';
  const command = { MEM: 'MEMORY' };
  const control = { MPS: 'PAYLOAD', MRRS: 'READRQ', FLR: 'BCR_FLR' };
  const questions = [
    ...bits('Command', 'PCI_COMMAND_', command),
    ...bits('Status', 'PCI_STATUS_', { DEVSEL: 'DEVSEL_MASK' }),
    ...bits('DevCtl', 'PCI_EXP_DEVCTL_', control),
    ...bits('DevSta', 'PCI_EXP_DEVSTA_', {}),
    ...bits('PMCSR', 'PCI_PM_CTRL_', {
      STATE: 'STATE_MASK',
      DATA_SELECT: 'DATA_SEL_MASK',
      DATA_SCALE: 'DATA_SCALE_MASK',
    }),
  ];
  assert.equal(ask(prelude, questions), questions.length);
});

test('errno, open, mmap, eventfd and poll numbers of this machine', () => {
  const prelude = [
    '#define _GNU_SOURCE',
    '#include <errno.h>',
    '#include <fcntl.h>',
    '#include <sys/mman.h>',
    '#include <linux/mman.h>',
    '#include <sys/eventfd.h>',
    '#include <poll.h>',
  ].join('\n');
  const questions: Question[] = ['EWOULDBLOCK', 'EDEADLOCK', 'ENOTSUP'].map((name) => ({
    expression: name,
    expected: BigInt(errnoNumber(name) ?? -1),
  }));
  for (let number = 1; number <= 133; number++) {
    const name = errnoName(number);
    // 41 and 58 were given up long ago.
    if (name !== `errno ${number}`) questions.push({ expression: name, expected: BigInt(number) });
  }
  // O_LARGEFILE is 0 where files are large anyway; EFD_* are an enumeration, not macros.
  const open = {
    ...OPEN_FLAGS,
    bits: Object.fromEntries(Object.entries(OPEN_FLAGS.bits).filter(([name]) => name !== 'O_LARGEFILE')),
  };
  questions.push(...tableQuestions([memory, { open, POLL_EVENTS }]));
  for (const [name, bits] of Object.entries(EVENTFD_FLAGS.bits)) {
    questions.push({ expression: `EFD_${name}`, expected: BigInt(bits) });
  }
  assert.ok(ask(prelude, questions) > 200);
});
