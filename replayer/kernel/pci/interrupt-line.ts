// SPDX-License-Identifier: Apache-2.0
/** The host's end of INTx: a level-triggered interrupt with one handler (request_irq, disable_irq). */

export class InterruptLine {
  #level = false;
  #disabled = 0;
  #handler: (() => void) | undefined;

  /** From the function, DisINTx applied. */
  setLevel(asserted: boolean): void {
    this.#level = asserted;
    this.#fire();
  }

  request(handler: () => void, enabled: boolean): void {
    this.#handler = handler;
    this.#disabled = enabled ? 0 : 1;
    this.#fire();
  }

  free(): void {
    this.#handler = undefined;
    this.#disabled = 0;
  }

  disable(): void {
    this.#disabled++;
  }

  enable(): void {
    if (this.#disabled > 0) this.#disabled--;
    this.#fire();
  }

  #fire(): void {
    if (this.#level && this.#disabled === 0) this.#handler?.();
  }
}
