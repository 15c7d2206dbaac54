// SPDX-License-Identifier: Apache-2.0
/** Loads and stores: the bulk of most recordings, so nothing is made for one that is as recorded. */
import type { DeviceState } from '../../session/device.js';
import type { EventBatch } from '../../traces/columns.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import { EventFlag, EventKind } from '../../traces/model.js';
import type { ReplayContext } from './context.js';
import type { OpenDevice } from './counterparts.js';
import { TABLE_REASON } from './guard.js';
import { LoadRun } from './polling.js';
import { SpecialAccesses } from './special-accesses.js';
import type { AccessWidth } from './target.js';

/** A load that differs is made once more in any case: the device may just have been slower. */
const TRIES_LEAST = 1;
const WORD = 0x1_0000_0000;

export class Accesses {
  readonly #context: ReplayContext;
  readonly #special: SpecialAccesses;
  readonly #run = new LoadRun();
  #runDevice: OpenDevice | undefined;
  /** Of the access before: most recordings have one device. */
  #object = -1;
  #device: OpenDevice | undefined;
  #state: DeviceState | undefined;

  constructor(context: ReplayContext) {
    this.#context = context;
    this.#special = new SpecialAccesses(context);
  }

  /** Whether it was made. */
  access(batch: EventBatch, row: number): boolean {
    const { account, pace, trace, target, guard } = this.#context;
    const object = batch.object[row] as number;
    if (object !== this.#object || this.#device === undefined) this.#choose(object);
    const device = this.#device;
    if (device === undefined) {
      account.omit('accesses to a device that the replay does not have');
      return false;
    }
    if (((batch.flags[row] as number) & EventFlag.INTENT) !== 0) {
      account.omit('an access that never completed');
      return false;
    }
    const op = batch.op[row] as number;
    const region = op & 0xff;
    const width = (op >>> 8) & 0xff;
    const offset = (batch.offsetWords[2 * row] as number) + (batch.offsetWords[2 * row + 1] as number) * WORD;
    const loading = batch.kind[row] === EventKind.LOAD;
    if (!loading && guard?.isTable(region, offset, width) === true) {
      this.endRun();
      account.omit(TABLE_REASON);
      return false;
    }
    if (pace.recorded) pace.waitTicks(batch, row, trace);
    if (!isPlain(batch, row, width)) {
      this.endRun();
      return this.#special.access(eventOfRow(trace, batch, row), device, region, offset, width);
    }
    account.operations++;
    const { mapping, start } = device.place(region, offset, width);
    const value = batch.value[row] as bigint;
    if (!loading) {
      this.endRun();
      if (!mapping.store(offset - start, width as AccessWidth, value))
        this.#special.faulted(object, region, offset);
      target.settle();
      return true;
    }
    const seen = mapping.load(offset - start, width as AccessWidth);
    if (seen === undefined) {
      this.endRun();
      this.#special.faulted(object, region, offset);
      return true;
    }
    if (this.#state?.registers.isLayout(region, offset) === true)
      this.#context.session.apply(eventOfRow(trace, batch, row));
    if (guard?.isTable(region, offset, width) === true) return true;
    account.compare();
    const run = this.#run;
    const thread = batch.thread[row] as number;
    if (!run.is(object, thread, region, offset, width)) {
      this.endRun();
      run.begin(object, thread, region, offset, width as AccessWidth);
      this.#runDevice = device;
    }
    run.add(account.event, value, seen);
    return true;
  }

  /** Something else than a load of the same register comes next. */
  endRun(): void {
    const run = this.#run;
    if (!run.differs) {
      run.object = -1;
      return;
    }
    const { object, region, offset, width } = run;
    const { patience, target, compare } = this.#context;
    const device = this.#runDevice as OpenDevice;
    const what = `${object}/${region}/${offset}`;
    const started = process.hrtime.bigint();
    const most = patience.of(what);
    let tries = 0;
    const mismatch = run.end(() => {
      if (tries++ >= TRIES_LEAST && Number(process.hrtime.bigint() - started) > most) {
        patience.wasInVain(what);
        return undefined;
      }
      target.settle();
      const { mapping, start } = device.place(region, offset, width);
      return mapping.load(offset - start, width);
    });
    if (mismatch === undefined) return;
    compare.value(mismatch.event, object, region, offset, width, mismatch.recorded, mismatch.seen);
  }

  #choose(object: number): void {
    this.#object = object;
    this.#device = this.#context.counterparts.devices.get(object);
    this.#state = this.#context.session.device(object);
  }
}

/** A load or store of at most eight bytes that was done and is known. */
function isPlain(batch: EventBatch, row: number, width: number): boolean {
  return (
    (width === 4 || width === 8 || width === 2 || width === 1) &&
    batch.kind[row] !== EventKind.UPDATE &&
    !batch.payloads.has(row) &&
    ((batch.flags[row] as number) & EventFlag.UNKNOWN) === 0 &&
    batch.errno[row] === 0
  );
}
