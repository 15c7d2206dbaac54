// SPDX-License-Identifier: Apache-2.0
/** A session without a collector, for the shim's own tests: makes control, runs a driver, reads the rings as they lie. */
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../../abi/package-root.js';
import {
  CONTROL_BYTES,
  CONTROL_MAGIC,
  ControlField,
  RECORD_BYTES,
  RecordField,
  RecordFlag,
  RecordKind,
  RING_HEADER_BYTES,
  RINGS_MAX,
  RingField,
  SEGMENT_BYTES,
  SegmentField,
  SegmentFlag,
  SITE_MASK,
  WIRE_VERSION,
} from '../../../abi/wire/record.js';

export const shimDirectory = join(packageRoot(), 'recorder/shim');
const build = join(packageRoot(), 'build');

/** Builds with the shim's Makefile, one at a time: test files run in parallel. Gives the path in build/. */
export function make(target: string, file: string): string {
  mkdirSync(build, { recursive: true });
  execFileSync('flock', [join(build, '.make.lock'), 'make', '-s', '-C', shimDirectory, target], {
    stdio: 'pipe',
  });
  return join(build, file);
}

export interface RawSegment {
  readonly role: number;
  readonly flags: number;
  readonly index: number;
  readonly address: bigint;
  readonly data: Buffer;
}

export interface RawRecord {
  readonly ring: number;
  readonly position: number;
  /** False: reserved, never committed. */
  readonly whole: boolean;
  readonly kind: number;
  readonly flags: number;
  readonly entered: bigint;
  readonly site: bigint;
  readonly errno: number;
  readonly offset: bigint;
  readonly value: bigint;
  readonly result: bigint;
  readonly duration: number;
  readonly object: number;
  readonly op: number;
  readonly fd: number;
  readonly segments: readonly RawSegment[];
}

export interface RawRing {
  readonly index: number;
  readonly state: number;
  readonly pid: number;
  readonly tid: number;
  readonly process: number;
  readonly lost: bigint;
  readonly waits: bigint;
  readonly inflightKind: number;
  readonly records: readonly RawRecord[];
}

export interface Settings {
  readonly recordsLog2?: number;
  readonly sideLog2?: number;
  readonly ringLimit?: number;
  readonly whenFull?: number;
  readonly clockSource?: number;
  readonly mmioMode?: number;
}

export class RawSession {
  readonly directory: string;
  private readonly recordsLog2: number;
  private readonly sideLog2: number;

  constructor(settings: Settings = {}) {
    const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    this.directory = mkdtempSync(join(base, 'vfiotape-shim-test-'));
    this.recordsLog2 = settings.recordsLog2 ?? 13;
    this.sideLog2 = settings.sideLog2 ?? 20;
    const control = Buffer.alloc(Math.max(CONTROL_BYTES, 4096));
    control.writeBigUInt64LE(CONTROL_MAGIC, ControlField.magic);
    control.writeUInt32LE(WIRE_VERSION, ControlField.version);
    control.writeUInt32LE(this.recordsLog2, ControlField.recordsLog2);
    control.writeUInt32LE(this.sideLog2, ControlField.sideLog2);
    control.writeUInt32LE(settings.ringLimit ?? RINGS_MAX, ControlField.ringLimit);
    control.writeUInt32LE(settings.whenFull ?? 0, ControlField.whenFull);
    control.writeUInt32LE(settings.clockSource ?? 0, ControlField.clockSource);
    control.writeUInt32LE(settings.mmioMode ?? 0, ControlField.mmioMode);
    control.writeUInt32LE(process.pid, ControlField.collectorPid);
    control.writeUInt32LE(1, ControlField.nextObject);
    control.writeUInt32LE(1, ControlField.nextProcess);
    const file = openSync(join(this.directory, 'control'), 'w');
    writeSync(file, control);
  }

  /** Runs a driver under the library and waits for its end. */
  run(
    library: string,
    command: readonly string[],
    during?: (pid: number) => Promise<void>,
  ): Promise<{
    readonly status: number | null;
    readonly signal: string | null;
    readonly output: string;
    readonly pid: number;
  }> {
    const [program = '', ...args] = command;
    const child = spawn(program, args, {
      env: { PATH: process.env['PATH'] ?? '', VFIOTAPE_SESSION: this.directory, LD_PRELOAD: library },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, signal) => resolve({ status, signal, output, pid: child.pid ?? 0 }));
      if (during !== undefined && child.pid !== undefined) {
        during(child.pid).catch((error: unknown) => {
          child.kill('SIGKILL');
          reject(error);
        });
      }
    });
  }

  control(field: number): number {
    return readFileSync(join(this.directory, 'control')).readUInt32LE(field);
  }

  lostOther(): bigint {
    return readFileSync(join(this.directory, 'control')).readBigUInt64LE(ControlField.lostOther);
  }

  rings(): readonly RawRing[] {
    return (
      readdirSync(this.directory)
        .filter((name) => name.startsWith('ring.'))
        // A driver that still runs may be making it.
        .filter((name) => statSync(join(this.directory, name)).size > RING_HEADER_BYTES)
        .sort()
        .map((name) => this.ring(Number(name.slice('ring.'.length))))
    );
  }

  /** All whole records of all rings, ring by ring. */
  records(): readonly RawRecord[] {
    return this.rings().flatMap((ring) => ring.records);
  }

  private ring(index: number): RawRing {
    const bytes = readFileSync(join(this.directory, `ring.${String(index).padStart(3, '0')}`));
    const head = Number(bytes.readBigUInt64LE(RingField.head));
    const records: RawRecord[] = [];
    const count = 2 ** this.recordsLog2;
    for (let position = Math.max(0, head - count); position < head; position++) {
      records.push(this.record(bytes, index, position));
    }
    return {
      index,
      state: this.control(ControlField.ringState + 4 * index),
      pid: bytes.readUInt32LE(RingField.pid),
      tid: bytes.readUInt32LE(RingField.tid),
      process: bytes.readUInt32LE(RingField.process),
      lost: bytes.readBigUInt64LE(RingField.lost),
      waits: bytes.readBigUInt64LE(RingField.waits),
      inflightKind: bytes.readUInt8(RingField.inflight + RecordField.kind),
      records,
    };
  }

  private record(bytes: Buffer, ring: number, position: number): RawRecord {
    const count = 2 ** this.recordsLog2;
    const at = RING_HEADER_BYTES + (position % count) * RECORD_BYTES;
    const siteErrno = bytes.readBigUInt64LE(at + RecordField.siteErrno);
    const flags = bytes.readUInt8(at + RecordField.flags);
    const lap = (Math.floor(position / count) + 1) & 0xffff;
    const payload = bytes.readUInt32LE(at + RecordField.payload);
    return {
      ring,
      position,
      whole: bytes.readUInt16LE(at + RecordField.lap) === lap,
      kind: bytes.readUInt8(at + RecordField.kind),
      flags,
      entered: bytes.readBigUInt64LE(at + RecordField.entered),
      site: siteErrno & SITE_MASK,
      errno: Number(siteErrno >> 48n),
      offset: bytes.readBigUInt64LE(at + RecordField.offset),
      value: bytes.readBigUInt64LE(at + RecordField.value),
      result: bytes.readBigInt64LE(at + RecordField.result),
      duration: bytes.readUInt32LE(at + RecordField.duration),
      object: bytes.readUInt32LE(at + RecordField.object),
      op: bytes.readUInt32LE(at + RecordField.op),
      fd: bytes.readInt32LE(at + RecordField.fd),
      segments: (flags & RecordFlag.PAYLOAD) === 0 ? [] : this.segments(bytes, payload),
    };
  }

  private segments(bytes: Buffer, payload: number): readonly RawSegment[] {
    const side = RING_HEADER_BYTES + 2 ** this.recordsLog2 * RECORD_BYTES;
    const segments: RawSegment[] = [];
    let at = side + ((payload * 8) % 2 ** this.sideLog2);
    for (;;) {
      const length = bytes.readUInt32LE(at + SegmentField.length);
      const flags = bytes.readUInt8(at + SegmentField.flags);
      const start = at + SEGMENT_BYTES;
      segments.push({
        role: bytes.readUInt8(at + SegmentField.role),
        flags,
        index: bytes.readUInt16LE(at + SegmentField.index),
        address: bytes.readBigUInt64LE(at + SegmentField.address),
        data: bytes.subarray(start, start + length),
      });
      if ((flags & SegmentFlag.MORE) === 0) return segments;
      at = start + Math.ceil(length / 8) * 8;
    }
  }

  /** The process files' `attached`, by pid. */
  attached(): ReadonlyMap<number, number> {
    const found = new Map<number, number>();
    for (const name of readdirSync(this.directory)) {
      const pid = /^process\.(\d+)$/.exec(name)?.[1];
      if (pid !== undefined)
        found.set(Number(pid), readFileSync(join(this.directory, name)).readUInt32LE(20));
    }
    return found;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const names = new Map<number, string>(Object.entries(RecordKind).map(([name, kind]) => [kind, name]));

export function kindName(record: RawRecord): string {
  return names.get(record.kind) ?? String(record.kind);
}
