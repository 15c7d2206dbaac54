// SPDX-License-Identifier: Apache-2.0
/** What devices do after the access that asked for it has been answered, in order. */

/** How many pieces of work are done before others get their turn. */
const TURN = 1000;

export class Deferred {
  #queue: (() => void)[] = [];
  #scheduled = false;

  constructor(readonly schedule: (run: () => void) => void) {}

  add(work: () => void): void {
    this.#queue.push(work);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.schedule(() => this.#turn());
  }

  /** Everything that is due now, but not for ever: a device may keep itself busy. */
  settle(most = TURN): void {
    for (let done = 0; done < most && this.#queue.length > 0; done++) this.#queue.shift()?.();
  }

  get isIdle(): boolean {
    return this.#queue.length === 0;
  }

  #turn(): void {
    this.#scheduled = false;
    this.settle();
    if (this.#queue.length === 0) return;
    this.#scheduled = true;
    this.schedule(() => this.#turn());
  }
}
