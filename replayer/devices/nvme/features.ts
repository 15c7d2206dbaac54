// SPDX-License-Identifier: Apache-2.0
/** Get Features and Set Features (NVMe 1.4 chapters 5.14 and 5.21). */
import { FEATURE_NOT_SAVEABLE, INVALID_FIELD, SEQUENCE_ERROR, SUCCESS } from './status.js';

const ARBITRATION = 0x01;
const POWER = 0x02;
const TEMPERATURE = 0x04;
const ERROR_RECOVERY = 0x05;
const WRITE_CACHE = 0x06;
const QUEUES = 0x07;
const COALESCING = 0x08;
const VECTOR = 0x09;
const ATOMICITY = 0x0a;
const EVENTS = 0x0b;

const DEFAULTS: Readonly<Record<number, number>> = {
  [ARBITRATION]: 0x07,
  [POWER]: 0,
  [TEMPERATURE]: 343,
  [ERROR_RECOVERY]: 0,
  [WRITE_CACHE]: 1,
  [QUEUES]: 0,
  [COALESCING]: 0,
  [VECTOR]: 0,
  [ATOMICITY]: 0,
  [EVENTS]: 0,
};

const CHANGEABLE = 0x4;
const PER_NAMESPACE = 0x2;

export interface FeatureAnswer {
  readonly status: number;
  readonly result: number;
}

const invalid: FeatureAnswer = { status: INVALID_FIELD, result: 0 };

export class Features {
  #values = new Map<number, number>();

  constructor(
    /** Most I/O queues of a kind. */
    readonly queuesMax: number,
    readonly vectors: number,
  ) {}

  reset(): void {
    this.#values = new Map();
  }

  get writeCache(): boolean {
    return (this.#current(WRITE_CACHE) & 1) !== 0;
  }

  get(dword10: number, dword11: number): FeatureAnswer {
    const id = dword10 & 0xff;
    const fallback = DEFAULTS[id];
    if (fallback === undefined) return invalid;
    if (id === VECTOR && (dword11 & 0xffff) >= this.vectors) return invalid;
    if (id === TEMPERATURE && !isThreshold(dword11)) return invalid;
    switch ((dword10 >>> 8) & 7) {
      case 0:
        return { status: SUCCESS, result: this.#current(id, dword11) };
      case 1:
      // Nothing is saved: the saved value is the default.
      case 2:
        return { status: SUCCESS, result: this.#default(id, dword11) };
      case 3:
        return { status: SUCCESS, result: CHANGEABLE | (id === ERROR_RECOVERY ? PER_NAMESPACE : 0) };
      default:
        return invalid;
    }
  }

  set(dword10: number, dword11: number, hasIoQueues: boolean): FeatureAnswer {
    const id = dword10 & 0xff;
    if (DEFAULTS[id] === undefined) return invalid;
    if (dword10 >>> 31 === 1) return { status: FEATURE_NOT_SAVEABLE, result: 0 };
    switch (id) {
      case QUEUES:
        return this.#setQueues(dword11, hasIoQueues);
      case POWER:
        // One power state.
        if ((dword11 & 0x1f) !== 0) return invalid;
        break;
      case VECTOR:
        if ((dword11 & 0xffff) >= this.vectors) return invalid;
        break;
      case TEMPERATURE:
        if (!isThreshold(dword11)) return invalid;
        break;
      default:
        break;
    }
    this.#values.set(this.#key(id, dword11), dword11);
    return { status: SUCCESS, result: 0 };
  }

  #setQueues(dword11: number, hasIoQueues: boolean): FeatureAnswer {
    const submissions = dword11 & 0xffff;
    const completions = dword11 >>> 16;
    if (submissions === 0xffff || completions === 0xffff) return invalid;
    if (hasIoQueues) return { status: SEQUENCE_ERROR, result: 0 };
    const most = this.queuesMax - 1;
    const got = Math.min(submissions, most) | (Math.min(completions, most) << 16);
    this.#values.set(QUEUES, got);
    return { status: SUCCESS, result: got };
  }

  /** Vectors, and the two thresholds of a sensor, have a value each. */
  #key(id: number, dword11: number): number {
    if (id === VECTOR) return id | ((dword11 & 0xffff) << 8);
    return id === TEMPERATURE ? id | (((dword11 >>> 16) & 0x3f) << 8) : id;
  }

  #default(id: number, dword11: number): number {
    if (id === VECTOR) return dword11 & 0xffff;
    if (id === QUEUES) return (this.queuesMax - 1) | ((this.queuesMax - 1) << 16);
    if (id === TEMPERATURE) return ((dword11 >>> 20) & 3) === 1 ? 0 : (DEFAULTS[id] as number);
    return DEFAULTS[id] as number;
  }

  #current(id: number, dword11 = 0): number {
    return this.#values.get(this.#key(id, dword11)) ?? this.#default(id, dword11);
  }
}

/** The composite temperature only, over or under it. */
function isThreshold(dword11: number): boolean {
  const sensor = (dword11 >>> 16) & 0xf;
  return (sensor === 0 || sensor === 0xf) && ((dword11 >>> 20) & 3) <= 1;
}
