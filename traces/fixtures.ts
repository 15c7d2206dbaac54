// SPDX-License-Identifier: Apache-2.0
/** Small traces for the tests of this room. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EventBatch } from './columns.js';
import type { Definitions } from './model.js';
import { type NewHeader, type NewSummary, TraceWriter, type WriterOptions } from './writer.js';

export const HEADER: NewHeader = {
  recorder: 'vfiotape test',
  host: {
    kernel: '6.12.0',
    machine: 'x86_64',
    cpu: 'a CPU',
    cpus: 2,
    hostname: 'host',
    os: 'an OS',
    kernelCommandLine: 'quiet',
  },
  command: ['driver', '--flag', 'ünï'],
  modes: {
    dialect: 'modern',
    mmio: 'off',
    whenFull: 'block',
    dma: 'off',
    backend: 'kernel',
    ringBytes: 1 << 20,
    maxSize: 0,
    atLimit: 'keep-last',
    durationNs: 0,
    watch: ['BAR0:0-0x1000'],
  },
  clock: {
    source: 'tsc',
    ticksPerSecond: 2.5e9,
    baseTicks: 0xfedc_ba98_7654_3210n,
    baseMonotonicNs: 123_456_789n,
    baseRealtimeNs: 1_700_000_000_123_456_789n,
    pairs: [{ ticks: 0n, monotonicNs: 1n, realtimeNs: 2n }],
  },
};

export const SUMMARY: NewSummary = {
  clock: { ...HEADER.clock, ticksPerSecond: 2_500_000_001.5 },
  losses: [{ cause: 'ring full', events: 3, bytes: 192, process: 1, detail: 'ring 0' }],
  endings: [{ process: 1, exitStatus: -1, signal: 9 }],
  complete: true,
  stoppedBy: 'driver-exit',
  waits: 2,
  waitedNs: 2 ** 40,
  lateEvents: 1,
  dmaComparisons: [
    {
      bytesMost: 2 ** 26,
      comparisons: 5,
      pages: 2 ** 33,
      ns: 7,
      skipped: 0,
      mapped: 3,
      tracked: 2,
      leftOut: [{ why: 'large', mappings: 1, bytes: 2 ** 40 }],
    },
  ],
};

export const DEFINITIONS: Definitions = {
  processes: [{ id: 1, pid: 100, parentPid: 99, exe: '/usr/bin/driver', argv: ['driver', ''] }],
  threads: [{ id: 1, process: 1, tid: 100, name: 'main' }],
  objects: [
    { id: 1, kind: 4, path: '0000:00:03.0', parent: 2, process: 1, seenBorn: true, device: 1 },
    { id: 2, kind: 2, path: '/dev/vfio/12', parent: 0, process: 1, seenBorn: false, device: 0 },
  ],
  modules: [
    {
      id: 1,
      process: 1,
      start: 0x7fff_0000_0000n,
      end: 0xffff_ffff_ffff_ffffn,
      fileOffset: 0x1000n,
      path: '/lib/l.so',
      buildId: Uint8Array.of(1, 2, 255),
    },
  ],
  sites: [{ id: 1, process: 1, address: 0x5555_0000_1234n, module: 1, moduleOffset: 0x1234n }],
  devices: [
    {
      id: 1,
      bdf: '0000:00:03.0',
      vendor: 0x8086,
      device: 0x10d3,
      classCode: 0x20000,
      subsystemVendor: 0x8086,
      subsystemDevice: 0,
      revision: 0,
      driver: 'vfio-pci',
      iommuGroup: '12',
      resources: [{ index: 0, size: 0x20000n, flags: 0x40200n }],
      config: Uint8Array.from({ length: 64 }, (_, n) => n),
      resetMethod: 'flr',
      numaNode: -1,
    },
  ],
  mmioSites: [{ site: 1, instruction: Uint8Array.of(0x8b, 0x07), tier: 1, reason: 0, process: 1 }],
};

/** Fills a batch with events that can be told apart; every third has a payload. */
export function fillSample(batch: EventBatch, events: number, firstEvent: number): void {
  batch.clear();
  for (let i = 0; i < events; i++) {
    const number = firstEvent + i;
    batch.kind[i] = 7 + (number % 3);
    batch.flags[i] = number % 2 === 0 ? 0x10 : 0;
    batch.thread[i] = 1 + (number % 2);
    batch.object[i] = 1 + (number % 5);
    batch.fd[i] = (number % 7) - 1;
    batch.op[i] = 0x3b64 + (number % 4);
    batch.time[i] = BigInt(number) * 1000n + BigInt(number % 13);
    batch.duration[i] = BigInt(number % 900);
    batch.offset[i] = (7n << 40n) + BigInt(number % 64);
    batch.value[i] = 0xffff_ffff_0000_0000n + BigInt(number);
    batch.result[i] = number % 11 === 0 ? -1n : 4n;
    batch.errno[i] = number % 11 === 0 ? 22 : 0;
    batch.site[i] = 1 + (number % 10);
    if (number % 3 === 0) {
      const data = Uint8Array.from({ length: number % 40 }, (_, n) => number + n);
      const start = batch.payloads.add(
        i,
        1 + (number % 5),
        number % 3,
        number % 8,
        BigInt(number) << 32n,
        data.length,
      );
      batch.payloads.bytes.set(data, start);
    }
  }
  batch.length = events;
}

export async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'vfiotape-traces-'));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Writes chunks of sample events; sealed unless told otherwise. */
export async function writeSample(
  path: string,
  chunks: readonly number[],
  options: WriterOptions & { readonly seal?: boolean } = {},
): Promise<void> {
  const writer = await TraceWriter.create(path, HEADER, options);
  await writer.writeDefinitions(DEFINITIONS);
  const batch = new EventBatch(Math.max(...chunks, 1));
  for (const events of chunks) {
    fillSample(batch, events, writer.nextEvent);
    await writer.ready();
    await writer.writeChunk(batch, [{ ring: 3, records: BigInt(writer.nextEvent), side: 9n }]);
  }
  if (options.seal === false) {
    await writer.close();
  } else {
    await writer.seal(SUMMARY);
  }
}

export function sampleBytes(
  chunks: readonly number[],
  options: WriterOptions & { readonly seal?: boolean } = {},
): Promise<Uint8Array> {
  return inDirectory(async (directory) => {
    const path = join(directory, 'sample.vtape');
    await writeSample(path, chunks, options);
    return readFile(path);
  });
}

/** A file of this room's source: it is not beside the compiled tests. */
export function sourceFile(name: string): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const path = join(directory, 'traces', name);
    if (existsSync(path)) {
      return readFileSync(path, 'utf8');
    }
    if (directory === dirname(directory)) {
      throw new Error(`no traces/${name} above ${fileURLToPath(import.meta.url)}`);
    }
  }
}
