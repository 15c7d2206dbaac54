// SPDX-License-Identifier: Apache-2.0
/** Submission and completion queues in the driver's memory (NVMe 1.4 chapter 4.1 to 4.6). */
import type { Host } from '../device.js';
import { statusField } from './status.js';

export const COMMAND_BYTES = 64;
const COMPLETION_BYTES = 16;

/** One command: 16 dwords. */
export type Command = DataView;

export class CompletionQueue {
  head = 0;
  #tail = 0;
  #phase = 1;
  /** Submission queues that complete here. */
  users = 0;

  constructor(
    readonly host: Host,
    readonly id: number,
    readonly base: bigint,
    readonly size: number,
    readonly vector: number,
    readonly interrupts: boolean,
  ) {}

  get isFull(): boolean {
    return (this.#tail + 1) % this.size === this.head;
  }

  get isEmpty(): boolean {
    return this.#tail === this.head;
  }

  /** A driver may only say that it has taken what was there. */
  consumes(head: number): boolean {
    const waiting = (this.#tail - this.head + this.size) % this.size;
    return head < this.size && (head - this.head + this.size) % this.size <= waiting;
  }

  /** The dword with the phase bit goes last: a driver that polls it finds the rest in place. */
  post(queue: SubmissionQueue, commandId: number, status: number, result: number): boolean {
    const entry = new DataView(new ArrayBuffer(COMPLETION_BYTES));
    entry.setUint32(0, result, true);
    entry.setUint16(8, queue.head, true);
    entry.setUint16(10, queue.id, true);
    entry.setUint16(12, commandId, true);
    entry.setUint16(14, (statusField(status) << 1) | this.#phase, true);
    const at = this.base + BigInt(this.#tail * COMPLETION_BYTES);
    const bytes = new Uint8Array(entry.buffer);
    if (!this.host.dmaWrite(at, bytes.subarray(0, 12))) return false;
    if (!this.host.dmaWrite(at + 12n, bytes.subarray(12))) return false;
    this.#tail++;
    if (this.#tail === this.size) {
      this.#tail = 0;
      this.#phase ^= 1;
    }
    return true;
  }
}

export class SubmissionQueue {
  head = 0;
  tail = 0;

  constructor(
    readonly host: Host,
    readonly id: number,
    readonly base: bigint,
    readonly size: number,
    readonly completions: CompletionQueue,
  ) {}

  get isEmpty(): boolean {
    return this.head === this.tail;
  }

  /** The next command; undefined when it could not be read. */
  fetch(): Command | undefined {
    const bytes = new Uint8Array(COMMAND_BYTES);
    const read = this.host.dmaRead(this.base + BigInt(this.head * COMMAND_BYTES), bytes);
    this.head = (this.head + 1) % this.size;
    return read ? new DataView(bytes.buffer) : undefined;
  }
}
