// SPDX-License-Identifier: Apache-2.0

/** Of hardware, and of a device that somebody's server has; one of ours does at once what it does. */
export const PATIENCE_NS = 1_000_000_000;

/** Of what was waited for in vain, the next wait is short: a device that is otherwise must not take hours to be told so. */
const IMPATIENT_NS = 10_000_000;

/** How long a register or an interrupt is waited for that is not yet as it was recorded. */
export class Patience {
  readonly #ns: number;
  readonly #inVain = new Set<string | number>();

  constructor(ns: number) {
    this.#ns = ns;
  }

  /** ns */
  of(what: string | number): number {
    return this.#inVain.has(what) ? Math.min(this.#ns, IMPATIENT_NS) : this.#ns;
  }

  wasInVain(what: string | number): void {
    this.#inVain.add(what);
  }

  wasRewarded(what: string | number): void {
    this.#inVain.delete(what);
  }
}
