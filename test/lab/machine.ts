// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { makeInitrd } from './initrd.js';
import type { Kernel } from './kernels.js';

/** The devices a guest can have. Two NICs of a kind are on one hub, each the other's peer. */
export const devices = {
  nvme: { bdfs: ['0000:00:03.0'] },
  e1000e: { bdfs: ['0000:00:04.0', '0000:00:05.0'] },
  virtioNet: { bdfs: ['0000:00:08.0', '0000:00:18.0'] },
  virtioBlk: { bdfs: ['0000:00:09.0'] },
  edu: { bdfs: ['0000:00:0a.0'] },
} as const;
export type DeviceName = keyof typeof devices;

/** 64 MiB of zeros with a boot sector: enough for every driver here, and nothing on the host's disk. */
const diskBytes = 64 << 20;

function deviceArguments(name: DeviceName, disk: string): readonly string[] {
  const nic = (model: string, hub: number, slots: readonly string[], options: string): string[] =>
    slots.flatMap((slot, index) => [
      '-netdev',
      `hubport,hubid=${hub},id=hub${hub}port${index}`,
      '-device',
      `${model},netdev=hub${hub}port${index},mac=52:54:00:00:0${hub}:0${index},addr=${slot}${options}`,
    ]);
  const drive = (id: string): string[] => [
    '-drive',
    `file=${optionText(disk)},if=none,id=${id},format=raw,snapshot=on`,
  ];
  switch (name) {
    case 'nvme':
      return [...drive('nvme'), '-device', 'nvme,drive=nvme,serial=vfiotape,addr=3'];
    case 'e1000e':
      return nic('e1000e', 1, ['4', '5'], '');
    // virtio: with an ioeventfd the device model would not see the driver's notifications itself, nor would QEMU's trace.
    case 'virtioNet':
      return nic(
        'virtio-net-pci',
        2,
        ['8', '0x18'],
        ',iommu_platform=on,disable-legacy=on,romfile=,ioeventfd=off',
      );
    case 'virtioBlk':
      return [
        ...drive('vblk'),
        '-device',
        'virtio-blk-pci,drive=vblk,addr=9,iommu_platform=on,disable-legacy=on,ioeventfd=off',
      ];
    case 'edu':
      return ['-device', 'edu,addr=0xa'];
  }
}

export interface Boot {
  readonly kernel: Kernel;
  readonly devices: readonly DeviceName[];
  /** Bash, run in the guest by its init; what it leaves in /out is in `directory`/out afterwards. */
  readonly script: string;
  /** Where images, logs and results of this boot go. */
  readonly directory: string;
  readonly bootSector: Uint8Array;
  /** At most so long without a line on its console: how long it takes in all depends on the machine. */
  readonly quietSeconds: number;
  readonly memory?: string;
  /** A tree of newer programs and libraries, laid over the host's files. */
  readonly layer?: string | undefined;
  /** Which IOMMU the guest has; Intel's unless it is said. */
  readonly iommu?: 'intel' | 'amd' | 'virtio' | 'none';
  /** More of QEMU's options, such as `-trace`. */
  readonly qemu?: readonly string[];
}

/** In QEMU's options a comma in a value is doubled. */
function optionText(value: string): string {
  return value.replaceAll(',', ',,');
}

/**
 * A directory of the host's, for the guest to use. Without event_idx the guest tells QEMU of every request. With it, some are
 * never told of: hw/virtio/virtio.c virtqueue_split_pop stores the index at which it wants to be told and looks whether
 * there is more with no full barrier in between, so that both sides can miss each other, and the share is dead.
 */
function share(tag: string, path: string, slot: string, options: string): readonly string[] {
  return [
    ...['-fsdev', `local,id=${tag},path=${optionText(path)},security_model=none${options}`],
    ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag},addr=${slot},event_idx=off`],
  ];
}
const readOnly = ',readonly=on,multidevs=remap';

export interface BootResult {
  /** undefined when the guest powered off by itself; otherwise what went wrong. */
  readonly trouble: string | undefined;
  readonly seconds: number;
  readonly serialLog: string;
  readonly out: string;
}

function iommuArguments(iommu: Boot['iommu']): readonly string[] {
  switch (iommu) {
    case 'none':
      return [];
    case 'virtio':
      return ['-device', 'virtio-iommu-pci,addr=1'];
    default:
      return ['-device', `${iommu}-iommu,intremap=on`];
  }
}

/** Boots a guest by software emulation (no KVM is needed, nor of use: the IOMMU is emulated) and waits for its end. */
export async function boot(options: Boot): Promise<BootResult> {
  const { directory, kernel } = options;
  const out = join(directory, 'out');
  mkdirSync(out, { recursive: true });
  const disk = join(directory, 'disk.img');
  writeFileSync(disk, options.bootSector);
  truncateSync(disk, diskBytes);
  const initrd = join(directory, 'initrd.gz');
  writeFileSync(initrd, makeInitrd(join(packageRoot(), 'test/lab/guest/init'), kernel.modules));
  writeFileSync(join(out, 'session.sh'), options.script);
  const serialLog = join(directory, 'serial.log');

  const iommu = options.iommu ?? 'intel';
  const commandLine = [
    'console=ttyS0 quiet panic=-1',
    // Without these a busy host makes the guest distrust its clock, or panic in the check of the IO-APIC's timer.
    'tsc=unstable no_timer_check',
    `intel_iommu=${iommu === 'intel' ? 'on' : 'off'}`,
  ].join(' ');
  const qemu = [
    [
      '-accel',
      'tcg,thread=multi',
      '-machine',
      'q35',
      '-cpu',
      'max,la57=off',
      '-smp',
      '2',
      '-m',
      options.memory ?? '3G',
    ],
    ['-nodefaults', '-display', 'none', '-no-reboot', '-serial', `file:${optionText(serialLog)}`],
    ['-kernel', kernel.image, '-initrd', initrd, '-append', commandLine],
    iommuArguments(iommu),
    share('host', '/', '0x1a', readOnly),
    share('package', packageRoot(), '0x19', readOnly),
    options.layer === undefined ? [] : share('layer', options.layer, '0x17', readOnly),
    share('out', out, '0x1b', ''),
    ...options.devices.map((name) => deviceArguments(name, disk)),
    options.qemu ?? [],
  ].flat();

  const began = process.hrtime.bigint();
  const errors = createWriteStream(join(directory, 'qemu.log'));
  const child = spawn('qemu-system-x86_64', qemu, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.pipe(errors, { end: false });
  child.stderr.pipe(errors, { end: false });
  let timedOut = false;
  let size = 0;
  let since = began;
  const timer = setInterval(() => {
    const now = process.hrtime.bigint();
    const grown = statSync(serialLog, { throwIfNoEntry: false })?.size ?? 0;
    if (grown !== size) [size, since] = [grown, now];
    if (now - since < BigInt(options.quietSeconds) * 1_000_000_000n) return;
    timedOut = true;
    child.kill('SIGKILL');
  }, 1000);
  const status = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? String(code)));
  });
  clearInterval(timer);
  errors.end();
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  return { trouble: troubleOf(status, timedOut, options.quietSeconds, serialLog), seconds, serialLog, out };
}

function troubleOf(status: string, timedOut: boolean, limit: number, serialLog: string): string | undefined {
  if (timedOut) {
    return `the guest's console was silent for ${limit} s, so it was stopped`;
  }
  if (status !== '0') {
    return `qemu-system-x86_64 ended with ${status}`;
  }
  return existsSync(serialLog) && readFileSync(serialLog, 'latin1').includes('session script ended with 0')
    ? undefined
    : 'the guest stopped before its session script ended';
}

/** The end of a text file, for a person who has to find out what went wrong. */
export function lastLines(file: string, count = 40): string {
  if (!existsSync(file)) {
    return `(no ${file})`;
  }
  return readFileSync(file, 'latin1').replaceAll('\r', '').trimEnd().split('\n').slice(-count).join('\n');
}
