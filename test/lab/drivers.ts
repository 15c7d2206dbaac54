// SPDX-License-Identifier: Apache-2.0
import type { KernelName } from './kernels.js';
import { type DeviceName, devices } from './machine.js';

/** What a driver that asks for commands is told: lines, one when the one before is done, and pauses of so many seconds. */
export type Dialogue = readonly (string | number)[];

/** One real driver at one small piece of work. */
export interface Driver {
  /** Also the directory and the file in traces/corpus: `qemu/img-info`. */
  readonly name: string;
  readonly kernel: KernelName;
  /** Only with --all: its programs come from the newer release that test/lab/setup-newer unpacks. */
  readonly newer?: boolean;
  readonly device: DeviceName;
  /** `$build` is the package's build directory. */
  readonly command: readonly string[];
  readonly dialogue?: Dialogue;
  readonly hugepages?: number;
  /** A guard against hangs: many times what it takes, without and with strace, on a machine that has nothing else to do. */
  readonly seconds: number;
  readonly status: number;
  /** All of these are in the output, or the driver did not do its work. */
  readonly expect: readonly RegExp[];
  /** What differs from one run to the next: times, rates, and what another thread says in between. Not compared. */
  readonly volatile: readonly RegExp[];
  /** Its threads print through one buffer, whenever it is flushed: lines are compared in any order. */
  readonly unordered?: boolean;
  /** False: its recording is too much like another one's to be kept in traces/corpus. */
  readonly kept?: false;
  /** It is recorded with `--dma content`, and what was recorded is played back to it outside, where there is no device. */
  readonly played?: {
    /** What differs from the recording besides what is volatile anyway. */
    readonly volatile?: readonly RegExp[];
    /** The same driver at other work, and what `play` says of it: where it leaves the script. */
    readonly changed?: { readonly command: readonly string[]; readonly expect: RegExp };
  };
  /** Its recording is replayed in the guest, recorded again, with these options. */
  readonly replay?: readonly string[];
  /** The command that prints the driver's version. */
  readonly version: readonly string[];
}

const nvme = `nvme://${devices.nvme.bdfs[0]}/1`;

function qemuTool(name: string, command: readonly string[], expect: readonly RegExp[]): Driver {
  return {
    name: `qemu/${name}`,
    kernel: 'stock',
    device: 'nvme',
    command,
    seconds: 180,
    status: 0,
    expect,
    volatile: [
      /\d+(\.\d+)? sec(onds)?/g,
      /\d+(\.\d+)? (KiB|MiB|GiB|bytes)\/sec/g,
      /\d+:\d+:\d+\.\d+/g,
      /\d+(\.\d+)? ops\/sec/g,
    ],
    version: [command[0] ?? '', '--version'],
  };
}

/** Rx-only: what each port is sent first is all that it ever receives, so the counts are the same in each run. */
function testpmd(
  name: string,
  device: 'e1000e' | 'virtioNet',
  options: readonly string[],
  hugepages: number,
): Driver {
  return {
    name: `dpdk/${name}`,
    kernel: 'stock',
    device,
    command: [
      'dpdk-testpmd',
      ...['-l', '0-1', '-n', '1', '--no-telemetry', '--iova-mode=va', ...options],
      ...devices[device].bdfs.flatMap((bdf) => ['-a', bdf]),
      ...[
        '--',
        '-i',
        '--total-num-mbufs=2048',
        '--burst=8',
        '--txq=1',
        '--rxq=1',
        '--nb-cores=1',
        '--forward-mode=rxonly',
      ],
    ],
    dialogue: ['start tx_first', 3, 'stop', 'show port stats all', 'quit'],
    hugepages,
    seconds: 300,
    status: 0,
    expect: [/RX-packets: 8 +RX-dropped: 0/, /Bye\.\.\./],
    volatile: [
      /[RT]x-[pb]ps: +\d+/g,
      // Said by the interrupt thread for each interrupt, of which there may be one or two.
      /Port \d: link state change event\n/g,
      // The number depends on which thread opened something first.
      /(?<=Error disabling MSI-X interrupts for fd )\d+/g,
    ],
    unordered: true,
    // It says its version only when it starts.
    version: [
      'sh',
      '-c',
      'dpdk-testpmd -v --no-huge --no-pci --no-telemetry -m 16 -- --help 2>&1 | grep Version',
    ],
  };
}

/**
 * A fixed number of packets through a forwarding loop: what port 0 sends first goes to port 1's address; port 1 sends it back out
 * to nobody's address, and port 0, not promiscuous, drops that. Two ports that forward to each other would never end.
 */
function forwarding(name: string): Driver {
  const one = testpmd(name, 'e1000e', ['--huge-unlink', '-m', '64'], 128);
  const changed = new Map([
    ['--burst=8', '--burst=16'],
    ['--forward-mode=rxonly', '--forward-mode=mac'],
  ]);
  return {
    ...one,
    kept: false,
    command: [
      ...one.command.map((word) => changed.get(word) ?? word),
      '--port-topology=loop',
      '--eth-peer=0,52:54:00:00:01:01',
      '--eth-peer=1,52:54:00:00:01:99',
    ],
    dialogue: ['set promisc all off', 'start tx_first 8', 3, 'stop', 'show port stats all', 'quit'],
    expect: [
      /forward statistics for port 0[^\n]*\n *RX-packets: 0 .*\n *TX-packets: 128 /i,
      /forward statistics for port 1[^\n]*\n *RX-packets: 128 .*\n *TX-packets: 256 /i,
      /Bye\.\.\./,
    ],
  };
}

/** The same work where memory is compared: on a kernel that does not tell which pages the driver wrote, and on one that does. */
function playedTool(name: string, kernel: KernelName, command: readonly string[], expect: RegExp): Driver {
  return { ...qemuTool(name, command, [expect]), kernel, played: {} };
}

const readBlocks = (first: string): readonly string[] => [
  'qemu-io',
  ...['-f', 'raw', '-c', `read -v ${first} 8k`, '-c', 'read -v 1M 512', nvme],
];
/** Of an NVMe Read, SLBA is the command's bytes 40 to 47; the queue's first command is at the queue's start. */
const anotherBlock = {
  command: readBlocks('64k'),
  expect:
    /the device finds other memory than it found\n.*dma-fill .*\n.*got {7}memory at 0x[0-9a-f]+28 holds 80/,
};

function edu(name: string, kernel: KernelName, options: readonly string[]): Driver {
  return {
    name: `edu/${name}`,
    kernel,
    device: 'edu',
    command: ['$build/examples/edu', ...options, devices.edu.bdfs[0]],
    seconds: 180,
    status: 0,
    expect: [/factorial of 10: 3628800/, /DMA: 2048 bytes there and back/],
    volatile: [],
    version: ['echo', 'examples/edu/edu.c'],
  };
}

/** Not a driver's work: what the kernel does with accesses to a device that is off. */
const refused: Driver = {
  name: 'kernel/refused',
  kernel: 'stock',
  device: 'nvme',
  command: ['$build/lab/refused', devices.nvme.bdfs[0]],
  seconds: 180,
  status: 0,
  expect: [
    /memory decode off: SIGBUS at BAR0\+0x8/,
    /memory decode on: VS = /,
    /D3hot: SIGBUS at BAR0\+0x8/,
    /D0: VS = /,
  ],
  volatile: [],
  kept: false,
  version: ['echo', 'test/lab/guest/refused.c'],
};

/** Ours to read: unlike QEMU's driver it enables MSI-X before the controller, and waits for each interrupt. */
function exampleNvme(name: string, kernel: KernelName, options: readonly string[]): Driver {
  return {
    name: `example/${name}`,
    kernel,
    device: 'nvme',
    command: ['$build/examples/nvme', '--irq', 'msix', ...options, devices.nvme.bdfs[0]],
    // Up to its queues: the memory that the drive would read then is not in the recording.
    replay: ['--until', 'register=ACQ'],
    seconds: 180,
    status: 0,
    expect: [/interrupts: 13/, /read back and equal; the old blocks are there again/],
    volatile: [],
    version: ['echo', 'examples/nvme'],
  };
}

/** Boots the disk that the NVMe controller drives: the guest's guest has it passed through. */
function nestedQemu(name: string, kernel: KernelName, objects: readonly string[], device: string): Driver {
  return {
    ...qemuTool(name, [], [/boot sector on a passed-through NVMe: K/]),
    kernel,
    command: [
      'qemu-system-x86_64',
      ...['-accel', 'tcg', '-machine', 'q35', '-m', '128M', '-nodefaults', '-display', 'none', '-no-reboot'],
      ...['-debugcon', 'stdio', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', ...objects],
      ...['-device', `${device},bootindex=1`],
    ],
    seconds: 300,
    // isa-debug-exit: (0 << 1) | 1
    status: 1,
    version: ['qemu-system-x86_64', '--version'],
  };
}

/** The same guest on /dev/kvm, by emulated SVM: what the device's BAR is mapped into is a KVM memory slot. */
function nestedKvm(name: string): Driver {
  const nested = nestedQemu(name, 'stock', [], `vfio-pci,host=${devices.nvme.bdfs[0]}`);
  return { ...nested, command: nested.command.map((word) => (word === 'tcg' ? 'kvm' : word)) };
}

/** The drivers of the default lab, in the order in which they run in one guest. */
export const drivers: readonly Driver[] = [
  { ...edu('group', 'stock', []), replay: [] },
  qemuTool('img-info', ['qemu-img', 'info', nvme], [/virtual size: 64 MiB/]),
  qemuTool(
    'img-bench',
    ['qemu-img', 'bench', '-c', '64', '-d', '8', '-f', 'raw', nvme],
    [/Sending 64 read requests/, /Run completed/],
  ),
  qemuTool('img-convert', ['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', nvme, '/tmp/converted.raw'], []),
  qemuTool(
    'io',
    [
      'qemu-io',
      '-f',
      'raw',
      '-c',
      'write -P 0x5a 1M 256k',
      '-c',
      'read -P 0x5a 1M 256k',
      '-c',
      'read 0 4M',
      nvme,
    ],
    [/wrote 262144\/262144/, /read 262144\/262144/],
  ),
  playedTool('img-info-content', 'stock', ['qemu-img', 'info', nvme], /virtual size: 64 MiB/),
  {
    ...playedTool('io-content', 'stock', readBlocks('0'), /read 8192\/8192/),
    played: { changed: anotherBlock },
  },
  nestedQemu('nested', 'stock', [], `vfio-pci,host=${devices.nvme.bdfs[0]}`),
  testpmd('e1000e', 'e1000e', ['--huge-unlink', '-m', '64'], 128),
  testpmd('virtio-net', 'virtioNet', ['--huge-unlink', '-m', '64'], 128),
  testpmd('e1000e-no-huge', 'e1000e', ['--no-huge', '-m', '64'], 0),
  forwarding('forward'),
  exampleNvme('nvme', 'stock', []),
  {
    ...exampleNvme('nvme-content', 'stock', []),
    // Where it waits long, it gets an interrupt that no recording can have (player.ts: #whenIdle).
    played: { volatile: [/^interrupts: \d+$/m] },
    replay: [],
  },
  { ...edu('cdev', 'vfio', ['--cdev']), replay: [] },
  {
    ...playedTool('io-content-tracked', 'vfio', readBlocks('0'), /read 8192\/8192/),
    played: { changed: anotherBlock },
    kept: false,
  },
  nestedKvm('nested-kvm'),
  refused,
];

const blkio = `driver=virtio-blk-vfio-pci,path=/sys/bus/pci/devices/${devices.virtioBlk.bdfs[0]},cache.direct=on`;

/** What --all adds. */
export const newerDrivers: readonly Driver[] = [
  {
    ...qemuTool(
      'blkio-io',
      ['qemu-io', '--image-opts', '-c', 'read 1M 256k', blkio],
      [/read 262144\/262144/],
    ),
    device: 'virtioBlk',
    newer: true,
  },
  { ...qemuTool('newer-img-info', ['qemu-img', 'info', nvme], [/virtual size: 64 MiB/]), newer: true },
  { ...testpmd('newer-e1000e', 'e1000e', ['--huge-unlink', '-m', '64'], 128), newer: true },
  {
    ...nestedQemu(
      'nested-iommufd',
      'vfio',
      ['-object', 'iommufd,id=iommufd0'],
      `vfio-pci,host=${devices.nvme.bdfs[0]},iommufd=iommufd0`,
    ),
    // It warns that this kernel cannot map a BAR for DMA: each time that its guest moves the BAR, with its own addresses.
    volatile: [/qemu-system-x86_64: warning: (IOMMU_IOAS_MAP failed|vfio_container_dma_map).*\n/g],
    newer: true,
  },
];
