// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  RECORD_BYTES,
  RecordField,
  RecordKind,
  RING_HEADER_BYTES,
  RING_MAGIC,
  RingField,
  RingState,
  ringFile,
} from '../../abi/wire/record.js';
import type { RecordingModes } from '../../traces/model.js';
import { TraceWriter } from '../../traces/writer.js';
import { RecordingClock } from '../collector/clock.js';
import { Collector } from '../collector/collector.js';
import { Control } from '../collector/control.js';
import { Definer } from '../collector/definer.js';
import { ProcessWatch } from '../collector/processes.js';
import { TraceSink } from '../collector/trace-sink.js';
import { describeHost } from './host.js';

/** Small enough that the driver's own events wait no longer than they would for one of their chunks. */
const RECORDS_LOG2 = 12;
const SIDE_LOG2 = 12;
const ROUNDS = 8;

/** A full ring of reads at a few dozen places. */
function filledRing(): Uint8Array {
  const records = 2 ** RECORDS_LOG2;
  const bytes = new Uint8Array(RING_HEADER_BYTES + records * RECORD_BYTES + 2 ** SIDE_LOG2);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(RingField.magic, RING_MAGIC, true);
  view.setUint32(RingField.recordsLog2, RECORDS_LOG2, true);
  view.setUint32(RingField.sideLog2, SIDE_LOG2, true);
  view.setUint32(RingField.process, 1, true);
  view.setUint32(RingField.head, records, true);
  for (let n = 0; n < records; n++) {
    const at = RING_HEADER_BYTES + n * RECORD_BYTES;
    view.setUint32(at + RecordField.entered, 1000 + n * 700 + ((n * 7919) % 512), true);
    view.setUint32(at + RecordField.siteErrno, 0x401000 + (n % 48) * 16, true);
    view.setUint32(at + RecordField.offset, (n % 64) * 4, true);
    view.setUint32(at + RecordField.value, n * 2654435761, true);
    view.setUint32(at + RecordField.result, 4, true);
    view.setUint32(at + RecordField.duration, 300 + ((n * 131) % 100), true);
    view.setUint32(at + RecordField.object, 1 + (n % 3), true);
    view.setUint32(at + RecordField.op, 4, true);
    view.setInt32(at + RecordField.fd, 5 + (n % 3), true);
    view.setUint8(at + RecordField.kind, n % 5 === 0 ? RecordKind.WRITE : RecordKind.READ);
    view.setUint16(at + RecordField.lap, 1, true);
  }
  return bytes;
}

/**
 * Records rings of no meaning into a file that is thrown away, while the driver is starting: the engine compiles what
 * it has seen run, and the first real events find the collector at full speed. Goes on until done or `over`.
 */
export async function rehearse(session: string, modes: RecordingModes, over: () => boolean): Promise<void> {
  const directory = join(session, 'rehearsal');
  const content = filledRing();
  const host = describeHost();
  for (let round = 0; round < ROUNDS && !over(); round++) {
    mkdirSync(directory, { mode: 0o700 });
    const control = Control.create(directory, {
      recordsLog2: RECORDS_LOG2,
      sideLog2: SIDE_LOG2,
      ringLimit: 1,
      whenFull: 'block',
      clockSource: 'monotonic',
      mmio: 'off',
      watches: [],
      openFiles: 0,
      dmaCompared: 0,
    });
    writeFileSync(join(directory, ringFile(0)), content);
    control.setRingState(0, RingState.OWNED);
    const clock = new RecordingClock('monotonic', 1e9);
    const definer = new Definer();
    const processes = new ProcessWatch(directory);
    const openSink = async (): Promise<TraceSink> => {
      const header = { recorder: '', host, command: [], modes, clock: clock.describe() };
      return new TraceSink(await TraceWriter.create(join(directory, 'trace'), header), definer, 0);
    };
    const collector = new Collector({ directory, control, clock, definer, processes, openSink });
    await collector.drain();
    await collector.traceSink?.abandon();
    collector.close();
    control.close();
    rmSync(directory, { recursive: true });
  }
}
