// SPDX-License-Identifier: Apache-2.0
/** Loads and stores: the bulk of most recordings, so nothing is made for one that is as recorded. */
import { hex } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import type { DeviceState } from '../../session/device.js';
import { payloadBytes } from '../../session/payloads.js';
import { eventOfRow } from '../../session/story/row.js';
import type { EventBatch } from '../../traces/columns.js';
import { type Event, EventFlag, EventKind, PayloadRole } from '../../traces/model.js';
import { littleEndian, littleEndianNumber } from './bytes.js';
import type { ReplayContext } from './context.js';
import type { OpenDevice } from './counterparts.js';
import { TABLE_REASON } from './guard.js';
import { LoadRun } from './polling.js';
import type { AccessWidth } from './target.js';

/** A load that differs is made once more in any case: the device may just have been slower. */
const TRIES_LEAST = 1;
const WORD = 0x1_0000_0000;

export class Accesses {
  readonly #context: ReplayContext;
  readonly #run = new LoadRun();
  #runDevice: OpenDevice | undefined;
  /** Of the access before: most recordings have one device. */
  #object = -1;
  #device: OpenDevice | undefined;
  #state: DeviceState | undefined;

  constructor(context: ReplayContext) {
    this.#context = context;
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
    account.operations++;
    if (width > 8 || width === 0) {
      this.endRun();
      return this.#wide(eventOfRow(trace, batch, row), device, region, offset);
    }
    const value = batch.value[row] as bigint;
    if (!loading) {
      this.endRun();
      if (!this.#store(device, region, offset, width as AccessWidth, value))
        this.#faulted(object, region, offset);
      target.settle();
      return true;
    }
    const seen = this.#load(device, region, offset, width as AccessWidth);
    if (seen === undefined) {
      this.endRun();
      this.#faulted(object, region, offset);
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
      return this.#load(device, region, offset, width);
    });
    if (mismatch === undefined) return;
    compare.value(mismatch.event, object, region, offset, width, mismatch.recorded, mismatch.seen);
  }

  #choose(object: number): void {
    this.#object = object;
    this.#device = this.#context.counterparts.devices.get(object);
    this.#state = this.#context.session.device(object);
  }

  /** Vector and string instructions: eight bytes at a time, or what is left. */
  #wide(event: Event, device: OpenDevice, region: number, offset: number): boolean {
    const { account, target, compare } = this.#context;
    const data = payloadBytes(event, PayloadRole.DATA);
    if (data === undefined) {
      account.omit('wide accesses of which the data was not recorded');
      return false;
    }
    const seen = new Uint8Array(data.length);
    for (let at = 0; at < data.length; ) {
      const width = data.length - at >= 8 ? 8 : data.length - at >= 4 ? 4 : data.length - at >= 2 ? 2 : 1;
      const piece = littleEndianNumber(data.subarray(at, at + width));
      const value =
        event.kind === EventKind.LOAD
          ? this.#load(device, region, offset + at, width)
          : this.#store(device, region, offset + at, width, piece)
            ? piece
            : undefined;
      if (value === undefined) {
        this.#faulted(event.object, region, offset + at);
        return true;
      }
      seen.set(littleEndian(value, width), at);
      at += width;
    }
    target.settle();
    if (event.kind === EventKind.LOAD) compare.bytes(event, region, offset, data, seen);
    return true;
  }

  #faulted(object: number, region: number, offset: number): void {
    const { account } = this.#context;
    const what = `${regionName(region)}+${hex(offset)}`;
    account.diverge('fault', account.event, object, what, 'an access', 'SIGBUS');
  }

  #load(device: OpenDevice, region: number, offset: number, width: AccessWidth): bigint | undefined {
    const held = device.mapping(region, offset);
    if (held !== undefined) return held.mapping.load(offset - held.start, width);
    const bytes = new Uint8Array(width);
    const at = device.offset(region) + BigInt(offset);
    return this.#context.target.pread(device.fd, bytes, at) === width ? littleEndianNumber(bytes) : undefined;
  }

  #store(device: OpenDevice, region: number, offset: number, width: AccessWidth, value: bigint): boolean {
    const held = device.mapping(region, offset);
    if (held !== undefined) return held.mapping.store(offset - held.start, width, value);
    const at = device.offset(region) + BigInt(offset);
    return this.#context.target.pwrite(device.fd, littleEndian(value, width), at) === width;
  }
}
