// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../abi/user-error.js';
import {
  ClockSource,
  CONTROL_BYTES,
  CONTROL_MAGIC,
  ControlField,
  controlFile,
  LeftOut,
  MmioMode,
  RINGS_MAX,
  SessionState,
  WATCH_ANY_REGION,
  WATCH_BYTES,
  WATCHES_MAX,
  WatchField,
  WhenFull,
  WIRE_VERSION,
} from '../../abi/wire/record.js';

export interface Watch {
  /** Undefined: every region. */
  readonly region: number | undefined;
  readonly first: bigint;
  readonly last: bigint;
}

export interface SessionSettings {
  readonly recordsLog2: number;
  readonly sideLog2: number;
  readonly ringLimit: number;
  readonly whenFull: 'block' | 'drop';
  readonly clockSource: 'tsc' | 'monotonic';
  readonly mmio: 'patch' | 'trap' | 'syscalls' | 'off';
  readonly watches: readonly Watch[];
  /** Soft RLIMIT_NOFILE that the driver is to have; 0: as it finds it. */
  readonly openFiles: number;
  /** Bytes of DMA-mapped memory that a process compares at most; 0: none. */
  readonly dmaCompared: number;
}

/** What comparing DMA-mapped memory came to, of all processes. */
export interface DmaCounters {
  readonly bytesMost: number;
  readonly comparisons: number;
  readonly pages: number;
  readonly ticks: number;
  readonly skipped: number;
  readonly mapped: number;
  readonly tracked: number;
  /** By LeftOut. */
  readonly leftOut: readonly { readonly mappings: number; readonly bytes: number }[];
}

const MMIO = {
  off: MmioMode.OFF,
  patch: MmioMode.PATCH,
  trap: MmioMode.TRAP,
  syscalls: MmioMode.SYSCALLS,
} as const;

/** The session's control file, shared with every shim of the session. */
export class Control {
  private readonly fd: number;
  private readonly bytes = new Uint8Array(CONTROL_BYTES);
  private readonly view = new DataView(this.bytes.buffer);
  private readonly beat = new BigUint64Array(2);
  private readonly beatBytes = new Uint8Array(this.beat.buffer);

  private constructor(fd: number) {
    this.fd = fd;
  }

  static create(directory: string, settings: SessionSettings): Control {
    const bytes = new Uint8Array(CONTROL_BYTES);
    const view = new DataView(bytes.buffer);
    const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
    view.setBigUint64(ControlField.magic, CONTROL_MAGIC, true);
    u32(ControlField.version, WIRE_VERSION);
    u32(ControlField.recordsLog2, settings.recordsLog2);
    u32(ControlField.sideLog2, settings.sideLog2);
    u32(ControlField.ringLimit, settings.ringLimit);
    u32(ControlField.whenFull, settings.whenFull === 'drop' ? WhenFull.DROP : WhenFull.BLOCK);
    u32(ControlField.clockSource, settings.clockSource === 'tsc' ? ClockSource.TSC : ClockSource.MONOTONIC);
    u32(ControlField.mmioMode, MMIO[settings.mmio]);
    u32(ControlField.watches, Math.min(settings.watches.length, WATCHES_MAX));
    u32(ControlField.state, SessionState.RECORDING);
    u32(ControlField.collectorPid, process.pid);
    u32(ControlField.nextObject, 1);
    u32(ControlField.nextProcess, 1);
    view.setBigUint64(ControlField.openFiles, BigInt(settings.openFiles), true);
    view.setBigUint64(ControlField.dmaCompared, BigInt(settings.dmaCompared), true);
    settings.watches.slice(0, WATCHES_MAX).forEach((watch, n) => {
      const at = ControlField.watch + n * WATCH_BYTES;
      u32(at + WatchField.region, watch.region ?? WATCH_ANY_REGION);
      view.setBigUint64(at + WatchField.first, watch.first, true);
      view.setBigUint64(at + WatchField.last, watch.last, true);
    });
    const fd = openSync(join(directory, controlFile), 'wx+', 0o600);
    writeSync(fd, bytes, 0, bytes.length, 0);
    const control = new Control(fd);
    control.heartbeat();
    return control;
  }

  static open(directory: string): Control {
    let fd: number;
    try {
      fd = openSync(join(directory, controlFile), 'r+');
    } catch (error) {
      throw new UserError(`${join(directory, controlFile)}: ${(error as Error).message}`);
    }
    const control = new Control(fd);
    control.refresh();
    if (control.view.getBigUint64(ControlField.magic, true) !== CONTROL_MAGIC) {
      control.close();
      throw new UserError(
        `${join(directory, controlFile)} is damaged: it does not begin as a session's control file does`,
      );
    }
    const version = control.u32(ControlField.version);
    if (version !== WIRE_VERSION) {
      control.close();
      throw new UserError(
        `${directory} was recorded by another version of vfiotape (wire ${version}, here ${WIRE_VERSION}); recover it with that one`,
      );
    }
    return control;
  }

  /** Reads what the shims changed. */
  refresh(): void {
    readSync(this.fd, this.bytes, 0, CONTROL_BYTES, 0);
  }

  /** Tells the shims that somebody still empties the rings. */
  heartbeat(): void {
    const now = process.hrtime.bigint();
    this.beat[0] = now;
    this.beat[1] = ~now;
    writeSync(this.fd, this.beatBytes, 0, 16, ControlField.heartbeat);
  }

  /** From now on the shims step aside: the driver runs on, unrecorded. */
  stop(): void {
    this.write32(ControlField.state, SessionState.STOPPED);
  }

  takeOver(): void {
    this.write32(ControlField.collectorPid, process.pid);
    this.heartbeat();
  }

  ringState(ring: number): number {
    return this.u32(ControlField.ringState + ring * 4);
  }

  setRingState(ring: number, state: number): void {
    this.view.setUint32(ControlField.ringState + ring * 4, state, true);
    this.write32(ControlField.ringState + ring * 4, state);
  }

  get recordsLog2(): number {
    return this.u32(ControlField.recordsLog2);
  }
  get sideLog2(): number {
    return this.u32(ControlField.sideLog2);
  }
  get ringLimit(): number {
    return Math.min(this.u32(ControlField.ringLimit), RINGS_MAX);
  }
  get clockSource(): 'tsc' | 'monotonic' {
    return this.u32(ControlField.clockSource) === ClockSource.TSC ? 'tsc' : 'monotonic';
  }
  get lostNoRing(): bigint {
    return this.view.getBigUint64(ControlField.lostNoRing, true);
  }
  get lostOther(): bigint {
    return this.view.getBigUint64(ControlField.lostOther, true);
  }

  /** Undefined: nothing is compared. */
  get dma(): DmaCounters | undefined {
    const u64 = (at: number): number => Number(this.view.getBigUint64(at, true));
    if (u64(ControlField.dmaCompared) === 0) return undefined;
    return {
      bytesMost: u64(ControlField.dmaCompared),
      comparisons: u64(ControlField.dmaComparisons),
      pages: u64(ControlField.dmaPages),
      ticks: u64(ControlField.dmaTicks),
      skipped: u64(ControlField.dmaSkipped),
      mapped: u64(ControlField.dmaMapped),
      tracked: u64(ControlField.dmaTracked),
      leftOut: Array.from({ length: LeftOut.END }, (_, why) => ({
        mappings: u64(ControlField.dmaLeftOut + 8 * why),
        bytes: u64(ControlField.dmaLeftOutBytes + 8 * why),
      })),
    };
  }

  close(): void {
    closeSync(this.fd);
  }

  private u32(at: number): number {
    return this.view.getUint32(at, true);
  }

  private write32(at: number, value: number): void {
    const word = new Uint8Array(4);
    new DataView(word.buffer).setUint32(0, value, true);
    writeSync(this.fd, word, 0, 4, at);
  }
}
