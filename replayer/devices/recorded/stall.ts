// SPDX-License-Identifier: Apache-2.0
/**
 * A driver that waits for what its script does not have here: it reads a register again and again, or has enabled interrupts
 * or given memory to the device and says nothing more.
 */

export interface StallLimits {
  /** ms of reading what stays as it is. */
  readonly polling: number;
  /** ms without a word. */
  readonly silent: number;
}

/** A driver that is to keep to the script, and has so far, may also be one that waits for its user. */
export const STRICT: StallLimits = { polling: 10_000, silent: 60_000 };
export const LENIENT: StallLimits = { polling: 2_000, silent: 20_000 };
/** Of one that has left it. */
export const DEPARTED: StallLimits = { polling: 2_000, silent: 5_000 };

/** So many reads are no coincidence. */
const POLLS_LEAST = 64;
const LOOK_MS = 100;
/** It may take so many times as long as it took in the recording. */
const SLOWER = 10;

export interface StallOptions {
  readonly limits: () => StallLimits;
  /** Whether a silent driver may be waiting for its device. */
  readonly awaits: () => boolean;
  /** ms that went by in the recording until the driver's next write; undefined when there is none. */
  readonly recordedMs: () => number | undefined;
  /** `again`: since the last time the driver has done nothing that was recorded. */
  readonly stuck: (got: string, again: boolean) => void;
  readonly now?: () => number;
}

export class StallWatch {
  readonly #options: StallOptions;
  readonly #now: () => number;
  #since: number;
  #polls = 0;
  #again = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: StallOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#since = this.#now();
  }

  /** The driver did something that the script has, or that it has not. */
  progress(): void {
    this.#since = this.#now();
    this.#polls = 0;
    this.#again = false;
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref();
  }

  /** It read something that was answered with the last value. `what`: `load BAR0+0x1c CSTS = 0x0`. */
  polled(what: () => string): void {
    if (++this.#polls % POLLS_LEAST !== 0) return;
    const waited = this.#now() - this.#since;
    if (waited < this.#limit('polling')) return;
    this.#stuck(
      `${what()}, after ${this.#polls.toLocaleString('en-US')} reads in ${(waited / 1000).toFixed(1)} s that found nothing new`,
    );
  }

  /** Whether it has been silent for too long. */
  look(): void {
    if (this.#polls > 0 || !this.#options.awaits()) return;
    const waited = this.#now() - this.#since;
    if (waited < this.#limit('silent')) return;
    this.#stuck(`nothing for ${(waited / 1000).toFixed(1)} s`);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Once it is known to be stuck it is looked after at once. */
  #limit(how: keyof StallLimits): number {
    if (this.#again) return LOOK_MS;
    return this.#options.limits()[how] + SLOWER * (this.#options.recordedMs() ?? 0);
  }

  #stuck(got: string): void {
    const again = this.#again;
    this.#again = true;
    this.#since = this.#now();
    this.#polls = 0;
    this.#options.stuck(got, again);
  }
}
