// SPDX-License-Identifier: Apache-2.0
import type { PlacedRegister } from '../../abi/register-access.js';
import type { AccessDirection, AccessHandler, AccessPoint } from './bulk.js';
import type { DeviceLife } from './device-life.js';

export class Point implements AccessPoint {
  count = 0;
  epoch = -1;
  handlers: readonly AccessHandler[] = [];

  constructor(
    readonly device: DeviceLife,
    readonly direction: AccessDirection,
    readonly region: number,
    readonly offset: number,
    readonly width: number,
    /** What it was found by. */
    readonly kind: number,
    readonly object: number,
    readonly access: number,
    readonly low: number,
    readonly high: number,
  ) {}

  get register(): PlacedRegister | undefined {
    return this.device.state.lookup(this.region)(this.offset);
  }
}

/** A hostile trace may touch each byte once: then the points are forgotten, and asked for anew. */
const POINTS_MAX = 1 << 17;
const FIRST_SIZE = 1 << 10;

/** Access points by what the columns hold: an open-addressed table, since a Map wants a key for each look. */
export class AccessTable {
  #slots: (Point | undefined)[] = new Array<Point | undefined>(FIRST_SIZE);
  #mask = FIRST_SIZE - 1;
  #used = 0;

  find(kind: number, object: number, access: number, low: number, high: number): Point | undefined {
    let at = hash(kind, object, access, low) & this.#mask;
    for (;;) {
      const point = this.#slots[at];
      if (point === undefined) return undefined;
      if (
        point.low === low &&
        point.access === access &&
        point.kind === kind &&
        point.object === object &&
        point.high === high
      )
        return point;
      at = (at + 1) & this.#mask;
    }
  }

  add(point: Point): void {
    if (this.#used >= POINTS_MAX) this.#empty(FIRST_SIZE);
    else if (this.#used * 2 >= this.#slots.length) {
      const old = this.#slots;
      this.#empty(old.length * 2);
      for (const held of old) if (held !== undefined) this.#put(held);
    }
    this.#put(point);
  }

  #empty(size: number): void {
    this.#slots = new Array<Point | undefined>(size);
    this.#mask = size - 1;
    this.#used = 0;
  }

  #put(point: Point): void {
    let at = hash(point.kind, point.object, point.access, point.low) & this.#mask;
    while (this.#slots[at] !== undefined) at = (at + 1) & this.#mask;
    this.#slots[at] = point;
    this.#used++;
  }
}

function hash(kind: number, object: number, access: number, low: number): number {
  let mixed = Math.imul(low ^ (object << 20), 0x9e37_79b1) ^ Math.imul(access + (kind << 16), 0x85eb_ca6b);
  mixed ^= mixed >>> 15;
  return mixed >>> 0;
}
