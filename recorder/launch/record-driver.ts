// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageVersion } from '../../abi/package-root.js';
import { UserError } from '../../abi/user-error.js';
import { RingState } from '../../abi/wire/record.js';
import { SIM_ROOT, SIM_VARIABLE } from '../../abi/wire/sim.js';
import { TraceError, TraceWriteError } from '../../traces/errors.js';
import type { RecordingModes, TraceLoss } from '../../traces/model.js';
import { type NewHeader, TraceWriter } from '../../traces/writer.js';
import { chooseClock, MONOTONIC, RecordingClock } from '../collector/clock.js';
import { Collector } from '../collector/collector.js';
import { Control, type SessionSettings, type Watch } from '../collector/control.js';
import { Definer } from '../collector/definer.js';
import { ProcessWatch, readProcessFile } from '../collector/processes.js';
import {
  makeSessionDirectory,
  processStartTime,
  removeSessionDirectory,
  writeSessionNote,
} from '../collector/session-directory.js';
import { TraceSink } from '../collector/trace-sink.js';
import { summarize } from '../seal/summary.js';
import { describeHost } from './host.js';
import { findDriver } from './inspect.js';
import { checkOutput } from './output.js';
import { rehearse } from './rehearsal.js';
import { callersOpenFiles, ringSizes } from './settings.js';
import { relaySignals } from './signals.js';
import { shimLibrary, startDriver, whyNotAttached } from './spawn.js';

export interface RecordOptions {
  readonly command: readonly string[];
  readonly output: string;
  readonly bufferBytes: number | undefined;
  /** 0: none. */
  readonly maxSize: number;
  readonly atLimit: 'keep-last' | 'stop';
  /** 0: none. */
  readonly durationNs: number;
  readonly whenFull: 'block' | 'drop';
  readonly mmio: 'patch' | 'trap' | 'syscalls' | 'off';
  readonly watches: readonly Watch[];
  readonly watchTexts: readonly string[];
  /** For the driver, on top of the caller's: where its simulated machine is. */
  readonly environment?: Readonly<Record<string, string>>;
  /**
   * `--dma content` on a simulated machine: called before the driver starts, with the session and the ring that is the
   * devices' own. Everything is then stamped by CLOCK_MONOTONIC, which that other writer has, too.
   */
  readonly devices?: (directory: string, ring: number) => Promise<void>;
  /** `--dma content` on hardware: bytes of DMA-mapped memory that a process compares at most. */
  readonly dmaCompared?: number;
  /** Which VFIO the driver finds: `modern` unless said otherwise, `lyon2010`. */
  readonly dialect?: string;
  /** Another build of the shim than the installed one: a test's. */
  readonly library?: string;
  /** One line for the user, at once. */
  readonly say: (line: string) => void;
}

export interface RecordOutcome {
  /** The driver's, or 128 + its signal. */
  readonly exitStatus: number;
  readonly output: string;
  readonly bytes: number;
  readonly events: number;
  readonly droppedEvents: number;
  readonly losses: readonly TraceLoss[];
  /** Something that concerns VFIO was recorded. */
  readonly sawDriver: boolean;
  readonly seconds: number;
  readonly stoppedBy: string;
  readonly waits: number;
  readonly waitedNs: number;
}

/** Of what a simulated machine's devices do. */
const DEVICES_RING = 0;
const ATTACH_MS = 30_000;
const REFRESH_MS = 200;
const SCAN_FIRST_MS = 100;
const SCAN_MOST_MS = 5000;
/** Said when the driver is gone and something that it started keeps the recording open. */
const LINGER_MS = 1000;

interface Ending {
  readonly exitStatus: number;
  readonly signal: number;
}

/** Runs a driver with the shim in it, and leaves a sealed trace. */
export async function recordDriver(options: RecordOptions): Promise<RecordOutcome> {
  const library = options.library ?? shimLibrary();
  const name = options.command[0];
  if (name === undefined) throw new UserError('record: name the driver to run');
  const output = resolve(options.output);
  checkOutput(output);
  const file = findDriver(name);
  const place = makeSessionDirectory();
  let child: ChildProcess | undefined;
  const relay = relaySignals(() => child);
  let keep = false;
  try {
    if (!place.inMemory) {
      options.say(
        `no tmpfs to keep the session in; it is in ${place.path}, and the driver may wait for that disk`,
      );
    }
    const recording = new Recording(options, output, place.path, place.freeBytes);
    await options.devices?.(place.path, DEVICES_RING);
    const environment = { ...options.environment, VFIOTAPE_SESSION: place.path };
    child = await startDriver({
      file,
      command: options.command,
      library,
      directory: place.path,
      environment,
    });
    const outcome = await recording.follow(child, file, relay);
    keep = recording.keepSession;
    return outcome;
  } finally {
    relay.close();
    if (keep)
      options.say(
        `what could not be written is in ${place.path}; make room, then: vfiotape recover ${place.path}`,
      );
    else removeSessionDirectory(place.path);
  }
}

class Recording {
  private readonly options: RecordOptions;
  private readonly output: string;
  private readonly directory: string;
  private readonly control: Control;
  private readonly clock: RecordingClock;
  private readonly definer = new Definer();
  private readonly processes: ProcessWatch;
  private readonly collector: Collector;
  private readonly modes: RecordingModes;
  private ending: Ending | undefined;
  /** The trace could not be sealed: what there is must stay. */
  keepSession = false;

  constructor(options: RecordOptions, output: string, directory: string, freeBytes: number) {
    this.options = options;
    this.output = output;
    this.directory = directory;
    const withDevices = options.devices !== undefined;
    const sizes = ringSizes(options.bufferBytes, freeBytes, undefined, withDevices ? 2 : 1);
    const choice = withDevices ? MONOTONIC : chooseClock();
    const settings: SessionSettings = {
      recordsLog2: sizes.recordsLog2,
      sideLog2: sizes.sideLog2,
      ringLimit: sizes.ringLimit,
      whenFull: options.whenFull,
      clockSource: choice.source,
      mmio: options.mmio,
      watches: options.watches,
      openFiles: callersOpenFiles(),
      dmaCompared: options.dmaCompared ?? 0,
    };
    this.modes = {
      dialect: options.dialect ?? 'modern',
      mmio: options.mmio,
      whenFull: options.whenFull,
      dma: withDevices || (options.dmaCompared ?? 0) > 0 ? 'content' : 'off',
      backend: options.environment?.[SIM_VARIABLE] === undefined ? 'kernel' : 'simulated',
      ringBytes: sizes.ringBytes,
      maxSize: options.maxSize,
      atLimit: options.maxSize > 0 ? options.atLimit : '',
      durationNs: options.durationNs,
      watch: options.watchTexts,
    };
    writeSessionNote(directory, {
      version: 1,
      output,
      command: options.command,
      recorder: `vfiotape ${packageVersion()}`,
      host: describeHost(),
      modes: this.modes,
      ticksPerSecond: choice.ticksPerSecond,
      collectorPid: process.pid,
      collectorStarted: processStartTime(process.pid) ?? '',
    });
    this.control = Control.create(directory, settings);
    if (withDevices) this.control.setRingState(DEVICES_RING, RingState.OWNED);
    this.clock = new RecordingClock(choice.source, choice.ticksPerSecond);
    this.processes = new ProcessWatch(directory);
    const simulated = options.environment?.[SIM_VARIABLE];
    this.collector = new Collector({
      directory,
      control: this.control,
      clock: this.clock,
      definer: this.definer,
      processes: this.processes,
      ...(simulated !== undefined && { sysfs: `${simulated}${SIM_ROOT}/sys` }),
      openSink: () => this.openSink(),
    });
  }

  /** From the start of the driver to the sealed trace. */
  async follow(
    child: ChildProcess,
    file: string,
    relay: { onSignalAfterDriver: () => void },
  ): Promise<RecordOutcome> {
    const pid = child.pid ?? 0;
    this.processes.mainPid = pid;
    const began = process.hrtime.bigint();
    const exited = new Promise<void>((done) => {
      const note = (): void => {
        if (this.ending === undefined) this.ending = endingOf(child);
        done();
      };
      if (child.exitCode !== null || child.signalCode !== null) note();
      else child.once('exit', note);
    });
    await this.waitForAttachment(child, pid, file);
    relay.onSignalAfterDriver = () => this.collector.stop('interrupt');
    const timers = this.startTimers();
    void this.stopAfterDriver(exited);
    let sealed: Omit<RecordOutcome, 'exitStatus'>;
    try {
      const collecting = this.collector.run();
      const enough = (): boolean => this.ending !== undefined || this.collector.sawDriver;
      // Should it fail (no room in the session's directory), the recording itself will say so.
      await Promise.allSettled([rehearse(this.directory, this.modes, enough), collecting]);
      const stoppedBy = await collecting;
      // From here on nobody empties the rings: whoever still runs must not wait for it.
      this.control.stop();
      sealed = await this.seal(stoppedBy, Number(process.hrtime.bigint() - began) / 1e9);
    } catch (error) {
      // Whatever it is, it is not the driver's trouble.
      this.control.stop();
      this.keepSession = true;
      this.options.say(`recording failed: ${error instanceof Error ? error.message : String(error)}`);
      await exited;
      throw error instanceof TraceError || error instanceof TraceWriteError
        ? new UserError(error.message)
        : error;
    } finally {
      for (const timer of timers) clearInterval(timer);
    }
    if (this.ending === undefined) {
      this.options.say(`recording ended (${sealed.stoppedBy}); the driver runs on`);
      await exited;
    }
    return { ...sealed, exitStatus: statusOf(this.ending) };
  }

  private async waitForAttachment(child: ChildProcess, pid: number, file: string): Promise<void> {
    const deadline = Date.now() + ATTACH_MS;
    for (let pause = 1; ; pause = Math.min(pause * 2, 20)) {
      const attached = readProcessFile(this.directory, pid);
      if (attached?.attached === true) {
        this.clock.setBase(attached.started);
        return;
      }
      const ended = this.ending;
      const why =
        ended !== undefined
          ? `${file} ended (${describeEnding(ended)}) before the recorder was in it: nothing was recorded`
          : (whyNotAttached(pid, file) ??
            (Date.now() > deadline
              ? `${file} did not load the recorder within ${ATTACH_MS / 1000} s`
              : undefined));
      if (why !== undefined && readProcessFile(this.directory, pid)?.attached !== true) {
        if (ended === undefined) await endDriver(child);
        throw new UserError(why);
      }
      await sleep(pause);
    }
  }

  private startTimers(): NodeJS.Timeout[] {
    const timers = [setInterval(() => this.processes.refresh(), REFRESH_MS)];
    const scanLater = (after: number): void => {
      timers.push(
        setTimeout(() => {
          this.processes.scan();
          scanLater(Math.min(after * 2, SCAN_MOST_MS));
        }, after),
      );
    };
    scanLater(SCAN_FIRST_MS);
    const { durationNs } = this.options;
    if (durationNs > 0) timers.push(...later(durationNs / 1e6, () => this.collector.stop('duration')));
    return timers;
  }

  /** The recording lasts as long as anything that the driver started, and that the shim is in. */
  private async stopAfterDriver(exited: Promise<void>): Promise<void> {
    await exited;
    const since = Date.now();
    let told = false;
    for (;;) {
      this.processes.refresh();
      let running = this.processes.running();
      if (running.length === 0) running = this.processes.dormant();
      if (running.length === 0) break;
      if (!told && Date.now() - since > LINGER_MS) {
        told = true;
        this.options.say(
          `the driver ended; still recording what it started (pid ${running.join(', ')}); Ctrl-C ends that`,
        );
      }
      await sleep(20);
    }
    this.collector.stop('driver-exit');
  }

  private async openSink(): Promise<TraceSink> {
    const header: NewHeader = {
      recorder: `vfiotape ${packageVersion()}`,
      host: describeHost(),
      command: this.options.command,
      modes: this.modes,
      clock: this.clock.describe(),
    };
    const { maxSize, atLimit } = this.options;
    const flight = maxSize > 0 && atLimit === 'keep-last';
    const writer = await TraceWriter.create(this.output, header, flight ? { keepLast: maxSize } : {});
    return new TraceSink(writer, this.definer, flight ? 0 : maxSize);
  }

  private async seal(stoppedBy: string, seconds: number): Promise<Omit<RecordOutcome, 'exitStatus'>> {
    const summary = summarize({
      collector: this.collector,
      control: this.control,
      clock: this.clock,
      processes: this.processes,
      whenFull: this.options.whenFull,
      stoppedBy,
      complete: true,
      main: this.ending,
    });
    // A driver that touched nothing leaves a trace that says so.
    const sink = this.collector.traceSink ?? (await this.openSink());
    const losses = await sink.seal(summary);
    this.collector.close();
    this.control.close();
    return {
      output: this.output,
      bytes: statSync(this.output).size,
      events: sink.events,
      droppedEvents: sink.droppedEvents,
      losses,
      sawDriver: this.collector.sawDriver,
      seconds,
      stoppedBy,
      waits: summary.waits,
      waitedNs: summary.waitedNs,
    };
  }
}

/** setTimeout counts to 2^31 ms only. */
function later(ms: number, act: () => void): NodeJS.Timeout[] {
  const until = Date.now() + ms;
  const timer = setInterval(
    () => {
      if (Date.now() >= until) act();
    },
    Math.max(1, Math.min(50, ms)),
  );
  return [timer];
}

function endingOf(child: ChildProcess): Ending {
  const signal = child.signalCode === null ? 0 : (constants.signals[child.signalCode] ?? 0);
  return { exitStatus: signal === 0 ? (child.exitCode ?? -1) : -1, signal };
}

function statusOf(ending: Ending | undefined): number {
  if (ending === undefined) return 0;
  return ending.signal === 0 ? ending.exitStatus : 128 + ending.signal;
}

function describeEnding({ exitStatus, signal }: Ending): string {
  return signal === 0 ? `status ${exitStatus}` : `signal ${signal}`;
}

async function endDriver(child: ChildProcess): Promise<void> {
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  child.kill('SIGTERM');
  await Promise.race([gone, sleep(1000)]);
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
}
