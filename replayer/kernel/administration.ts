// SPDX-License-Identifier: Apache-2.0
/**
 * What whoever runs the machine does to devices that drivers have: takes them away (`echo BDF > …/unbind`, a hot-plug button),
 * and lets the machine sleep. What came of it is told in words.
 */
import { formatSeconds } from '../../abi/quantity.js';
import type { Administrable, Plans } from './administrable.js';
import type { SuspendOutcome } from './lyon2010/suspend.js';

export class Administration {
  readonly #notes: string[] = [];
  /** What was planned, or begun, and has not come to pass. */
  readonly #planned = new Set<string>();
  /** Taken away, and still held: what is to be said of it. */
  readonly #waiting = new Map<string, string>();

  constructor(
    readonly devices: readonly Administrable[],
    /** Of the VFIO of 2010: today's asks no driver. */
    readonly lyon: { suspend(): Promise<SuspendOutcome> } | undefined,
  ) {}

  /** What happened, and what did not. */
  get notes(): readonly string[] {
    return [...this.#notes, ...this.#waiting.values(), ...this.#planned];
  }

  plan(name: string, { removeAfterMs, suspendAfterMs }: Plans): void {
    const device = this.devices.find((one) => one.name === name);
    if (device === undefined || (removeAfterMs === undefined && suspendAfterMs === undefined)) return;
    const unopened = `${name} was to be taken away, or the machine to sleep, some time after it was opened, and nobody opened it`;
    this.#planned.add(unopened);
    device.onOpened = () => {
      device.onOpened = undefined;
      this.#planned.delete(unopened);
      if (removeAfterMs !== undefined)
        this.#after(removeAfterMs, `${name} was to be taken away`, () => this.takeAway(name));
      if (suspendAfterMs !== undefined)
        this.#after(suspendAfterMs, 'the machine was to be suspended', () => void this.suspend());
    };
  }

  #after(ms: number, what: string, act: () => void): void {
    const late = `${what} ${formatSeconds(ms / 1000)} after the device was opened, and its driver ended before`;
    this.#planned.add(late);
    setTimeout(() => {
      this.#planned.delete(late);
      act();
    }, ms).unref();
  }

  takeAway(name: string): void {
    const device = this.devices.find((one) => one.name === name);
    if (device === undefined) return;
    const begun = performance.now();
    const told = device.takeAway();
    if (!device.isOpen) {
      this.#notes.push(`${name} was taken away; no driver had it`);
      return;
    }
    const heard =
      told > 0
        ? `its driver was told (${device.removalMessage})`
        : `nobody had asked for ${device.removalMessage}`;
    this.#waiting.set(name, `${name} was taken away: ${heard}, and did not let it go`);
    device.onClosed = () => {
      device.onClosed = undefined;
      this.#waiting.delete(name);
      this.#notes.push(
        `${name} was taken away: ${heard}; let go after ${formatSeconds((performance.now() - begun) / 1000)}`,
      );
    };
  }

  async suspend(): Promise<void> {
    if (this.lyon === undefined) return;
    const waiting = 'suspend: not possible: nobody had answered when the driver ended';
    this.#planned.add(waiting);
    const { sleeps, text } = await this.lyon.suspend();
    this.#planned.delete(waiting);
    this.#notes.push(`suspend: ${sleeps ? '' : 'not possible: '}${text}`);
  }
}
