// SPDX-License-Identifier: Apache-2.0
import type { PlacedRegister } from '../../abi/register-access.js';
import { EventFlag } from '../../traces/model.js';
import type { EventName } from '../groups/event-name.js';
import type { Session } from '../state.js';
import { controllerOf } from '../story/controllers/choose.js';
import type { Controller } from '../story/controllers/controller.js';
import { COMMAND, DeviceLife } from '../story/device-life.js';
import type { SeenConfig } from '../story/seen.js';
import { DevicePhases } from './device-phases.js';
import { controllerMark, isRingTail, storeMark } from './marks.js';
import type { Mark } from './set-up.js';

/** One open of a device, as far as its phases depend on it. */
export class FollowedDevice {
  readonly object: number;
  /** Number of the first event of its own. */
  readonly opened: number;
  readonly phases: DevicePhases;
  /** The first doorbell of a queue for I/O: event and register. */
  work: { readonly event: number; readonly register: string } | undefined;
  /** Nobody has a descriptor of it any more. */
  closed = false;
  /** The latest event that took away something of it. */
  undone = -1;
  /** So far. */
  resets = 0;
  /** How often `config` was asked. */
  configs = 0;
  readonly #life: DeviceLife;
  readonly #controller: Controller | undefined;
  /** By the name of a ring's tail: how many resets there had been when it was last set. */
  readonly #tails = new Map<string, number>();

  /** `mayBegin`: as DevicePhases tells. */
  constructor(session: Session, object: number, event: number, mayBegin: (event: number) => void) {
    const state = session.device(object);
    if (state === undefined) throw new Error(`object ${object} is no device`);
    this.object = object;
    this.phases = new DevicePhases(mayBegin);
    this.opened = event;
    this.#life = new DeviceLife(state, session.names.device(object), true, { event, time: 0 });
    this.#controller = controllerOf(this.#life.definition);
  }

  /**
   * Its registers tell when it gets its queues and works, not interrupts and what is mapped for DMA: drivers map and unmap while
   * they work.
   */
  get isKnown(): boolean {
    return this.#controller !== undefined;
  }

  mark(mark: Mark, event: number): void {
    if (mark === 'reset') this.resets++;
    this.phases.mark(mark, event);
  }

  /** Something is undone, or gone. */
  undo(event: number): void {
    this.undone = event;
    this.phases.mark('ending', event);
  }

  /** A mark that is the same for each access of this name until the next reset; undefined: `access` is to be asked each time. */
  steadyMark(name: EventName, reading: boolean): Mark | undefined {
    const { register } = name;
    if (this.#watched(name) !== undefined) return undefined;
    const mark = reading ? 'access' : storeMark(register);
    if (mark !== 'work') return mark;
    if (this.work === undefined) return undefined;
    return isRingTail(register) && this.#tails.get(register) !== this.resets ? undefined : mark;
  }

  access(name: EventName, reading: boolean, flags: number, value: bigint, event: number): void {
    const { register, offset, width } = name;
    let mark: Mark = reading ? 'access' : storeMark(register);
    if (mark === 'work' && isRingTail(register) && this.#tails.get(register) !== this.resets) {
      this.#tails.set(register, this.resets);
      mark = 'queues';
    }
    if (mark === 'work') this.work ??= { event, register };
    const placed = this.#watched(name);
    // Nothing was loaded by an access that never completed.
    if (placed !== undefined && !(reading && (flags & EventFlag.INTENT) !== 0)) {
      const within = Number(offset) - placed.start;
      const news = this.#controller?.access({ store: !reading, register: placed, within, width, value });
      if (news !== undefined) mark = controllerMark(news, reading);
    }
    this.mark(mark, event);
  }

  /** The register, if its controller wants to see what it is given. */
  #watched({ register, region, offset }: EventName): PlacedRegister | undefined {
    if (this.#controller === undefined || register === '') return undefined;
    const placed = this.#life.state.lookup(region)(Number(offset));
    return placed !== undefined && this.#controller.wants(placed.name) ? placed : undefined;
  }

  /** `config` is to be asked of accesses there; where not, they are `config` each time. */
  watchesConfig(offset: number, width: number, reading: boolean): boolean {
    return reading
      ? offset < COMMAND + 2 && offset + width > COMMAND
      : this.#life.isToldByWrite(offset, width);
  }

  config(step: SeenConfig): void {
    const { resets, busMaster } = this.#life;
    const before = resets.length;
    this.#life.applyConfig(step);
    const event = step.event.number;
    if (resets.length > before) this.mark('reset', event);
    else if (busMaster && !this.#life.busMaster && step.type === 'config-write') this.undo(event);
    else this.mark('config', event);
  }
}
