// SPDX-License-Identifier: Apache-2.0
// `node dist/test/conformance/lab.js`: asks real kernels in guests, and compares what they say with answers/.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../abi/package-root.js';
import { guestRoot } from '../lab/guest-script.js';
import { findKernel } from '../lab/kernels.js';
import { boot, type DeviceName, lastLines } from '../lab/machine.js';
import { ANSWERS, readAnswers } from './answers.js';
import {
  answersFile,
  type DeviceKind,
  ENVIRONMENTS,
  type Environment,
  type Questions,
} from './environments.js';

const usage = `usage: node dist/test/conformance/lab.js [--only TEXT]… [--write]
  --only TEXT  the kernels whose name has TEXT in it: intel-6.12, amd-6.12, virtio-6.12, …
  --write      make what they say to the files of questions/ the answers to be met`;

/** What is the machine's own, not the kernel's: where it put BARs and groups, whether a link is up, left-over vectors. */
const MACHINES_OWN: readonly RegExp[] = [
  /^open group$/,
  /^config write BAR=/,
  /^config: vendor\/device\/class\/hdr$/, // the interrupt line that the firmware chose
  /^MMIO load( BAR\+0 with MEM enabled|, MEM set again)/,
  /: load entry0 addr \/ vector control through mmap$/,
];

const MACHINE_DEVICES: Readonly<Record<DeviceKind, DeviceName | undefined>> = {
  edu: 'edu',
  nvme: 'nvme',
  'nvme-port': undefined,
  e1000e: 'e1000e',
  e1000: undefined,
  'virtio-net': 'virtioNet',
};
/** Those that the lab's machine does not have. */
const MORE_DEVICES: Partial<Readonly<Record<DeviceKind, readonly string[]>>> = {
  e1000: ['-netdev', 'hubport,hubid=9,id=e1000', '-device', 'e1000,netdev=e1000,addr=6'],
  'nvme-port': [
    // A port of QEMU's that says it is faster never reports its link active after a bus reset: Linux answers ENOTTY.
    ...['-device', 'pcie-root-port,id=root1,chassis=1,addr=0x1c,x-speed=2_5'],
    ...['-drive', 'driver=null-co,if=none,id=null,size=64M,read-zeroes=on'],
    ...['-device', 'nvme,bus=root1,drive=null,serial=port'],
  ],
};
const QUIET_SECONDS = 120;

function command(environment: Environment, questions: Questions): string {
  const files = questions === 'first' ? [] : ['names', questions];
  const paths = files.map((name) => `${guestRoot}/test/conformance/questions/${name}.txt`);
  const job = `${environment.device}.${questions}`;
  return `job ${job} 60 ${guestRoot}/build/conformance/probe ${[environment.bdf, ...paths].join(' ')}`;
}

function script(environments: readonly Environment[]): string {
  const { variant } = environments[0] as Environment;
  const parameters = [
    ...(variant.noiommu ? ['vfio/parameters/enable_unsafe_noiommu_mode'] : []),
    ...(variant.unsafeInterrupts
      ? ['vfio_iommu_type1/parameters/allow_unsafe_interrupts', 'iommufd/parameters/allow_unsafe_interrupts']
      : []),
  ];
  return [
    `. ${guestRoot}/test/lab/guest/lib.sh`,
    ...parameters.map((parameter) => `echo Y >/sys/module/${parameter}`),
    'sleep 1', // for the kernel's own drivers to be done with them
    `bind_vfio ${environments.map(({ bdf }) => bdf).join(' ')}`,
    ...environments.flatMap((environment) =>
      environment.questions.map((questions) => command(environment, questions)),
    ),
    'exit 0',
    '',
  ].join('\n');
}

/** Prints what differs; how many do. */
function compare(out: string, environment: Environment, questions: Questions, write: boolean): number {
  const file = answersFile(environment, questions);
  const answers = join(ANSWERS, file);
  const output = join(out, `${environment.device}.${questions}.out`);
  if (write) mkdirSync(dirname(answers), { recursive: true });
  if (write && questions !== 'first') copyFileSync(output, answers);
  const wanted = existsSync(answers) ? readAnswers(answers) : new Map<string, string>();
  const got = readAnswers(output);
  let equal = 0;
  let own = 0;
  const differences: string[] = [];
  for (const action of new Set([...wanted.keys(), ...got.keys()])) {
    if (wanted.get(action) === got.get(action)) equal++;
    else if (MACHINES_OWN.some((pattern) => pattern.test(action))) own++;
    else differences.push(`  ${action}\n    file: ${wanted.get(action)}\n    real: ${got.get(action)}`);
  }
  console.log(`${file}: ${equal} equal, ${differences.length} different, ${own} the machine's own`);
  if (differences.length > 0) console.log(differences.join('\n'));
  return differences.length;
}

async function ask(kernelName: string, work: string, write: boolean): Promise<number> {
  const environments = ENVIRONMENTS.filter(({ kernel }) => kernel === kernelName);
  const { variant } = environments[0] as Environment;
  const kernel = findKernel(variant.version === '6.1' ? 'stock' : 'vfio');
  if ('missing' in kernel) {
    console.log(`${kernelName}: not asked: ${kernel.missing}`);
    return 0;
  }
  const directory = join(work, kernelName);
  mkdirSync(directory);
  const kinds = environments.map(({ device }) => device);
  const { trouble, out, serialLog } = await boot({
    kernel,
    directory,
    script: script(environments),
    devices: kinds.map((kind) => MACHINE_DEVICES[kind]).filter((name) => name !== undefined),
    iommu: variant.iommu,
    // The answers come from an IOMMU of 48 bits, QEMU's default since version 9.1.
    qemu: [...kinds.flatMap((kind) => MORE_DEVICES[kind] ?? []), '-global', 'intel-iommu.aw-bits=48'],
    bootSector: new Uint8Array(512),
    quietSeconds: QUIET_SECONDS,
  });
  if (trouble !== undefined) {
    console.log(`${kernelName}: ${trouble}\n${lastLines(serialLog, 20)}`);
    return 1;
  }
  let different = 0;
  for (const environment of environments)
    for (const questions of environment.questions) different += compare(out, environment, questions, write);
  return different;
}

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [] },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (options.help) {
    console.log(usage);
    return 0;
  }
  const root = packageRoot();
  execFileSync(
    'make',
    ['-s', '-C', join(root, 'test/conformance/probe'), `OUT=${join(root, 'build/conformance')}`],
    { stdio: 'inherit' },
  );
  const kernels = [...new Set(ENVIRONMENTS.map(({ kernel }) => kernel))].filter(
    (name) => options.only.length === 0 || options.only.some((text) => name.includes(text)),
  );
  const work = mkdtempSync(join(tmpdir(), 'vfiotape-conformance-'));
  try {
    let different = 0;
    for (const kernel of kernels) different += await ask(kernel, work, options.write);
    return different === 0 ? 0 : 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

process.exitCode = await main();
