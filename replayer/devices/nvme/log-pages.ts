// SPDX-License-Identifier: Apache-2.0
/** Log pages: errors, health, firmware, effects of commands (NVMe 1.4 chapter 5.14.1). */
import { ERROR_LOG_ENTRIES } from './identify.js';
import { statusField } from './status.js';

export const ERROR_LOG = 0x01;
const HEALTH_LOG = 0x02;
const FIRMWARE_LOG = 0x03;
const EFFECTS_LOG = 0x05;

const ENTRY = 64;
const SUPPORTED = 0x01;
const CHANGES_DATA = 0x02;
const ADMIN_COMMANDS = [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c];
const READING_COMMANDS = [0x00, 0x02, 0x05];
const WRITING_COMMANDS = [0x01, 0x08, 0x09];

export interface Counters {
  dataUnitsRead: bigint;
  dataUnitsWritten: bigint;
  reads: bigint;
  writes: bigint;
}

export class LogPages {
  #errors: Uint8Array[] = [];
  #errorCount = 0n;
  counters: Counters = { dataUnitsRead: 0n, dataUnitsWritten: 0n, reads: 0n, writes: 0n };

  constructor(readonly firmware: string) {}

  addError(queue: number, command: number, status: number, block: bigint): void {
    this.#errorCount++;
    const entry = new Uint8Array(ENTRY);
    const view = new DataView(entry.buffer);
    view.setBigUint64(0, this.#errorCount, true);
    view.setUint16(8, queue, true);
    view.setUint16(10, command, true);
    view.setUint16(12, statusField(status) << 1, true);
    view.setUint16(14, 0xffff, true);
    view.setBigUint64(16, block, true);
    view.setUint32(24, 1, true);
    this.#errors = [entry, ...this.#errors].slice(0, ERROR_LOG_ENTRIES);
  }

  /** undefined for a page that there is not. */
  page(id: number): Uint8Array | undefined {
    switch (id) {
      case ERROR_LOG:
        return this.#errorPage();
      case HEALTH_LOG:
        return this.#healthPage();
      case FIRMWARE_LOG: {
        const bytes = new Uint8Array(512);
        bytes[0] = 1;
        bytes.set(new TextEncoder().encode(this.firmware.padEnd(8)).subarray(0, 8), 8);
        return bytes;
      }
      case EFFECTS_LOG:
        return effectsPage();
      default:
        return undefined;
    }
  }

  #errorPage(): Uint8Array {
    const bytes = new Uint8Array(ERROR_LOG_ENTRIES * ENTRY);
    this.#errors.forEach((entry, i) => {
      bytes.set(entry, i * ENTRY);
    });
    return bytes;
  }

  #healthPage(): Uint8Array {
    const bytes = new Uint8Array(512);
    const view = new DataView(bytes.buffer);
    view.setUint16(1, 323, true); // composite temperature, kelvin
    bytes[3] = 100; // available spare, percent
    bytes[4] = 10;
    view.setBigUint64(32, this.counters.dataUnitsRead / 1000n, true);
    view.setBigUint64(48, this.counters.dataUnitsWritten / 1000n, true);
    view.setBigUint64(64, this.counters.reads, true);
    view.setBigUint64(80, this.counters.writes, true);
    view.setBigUint64(176, this.#errorCount, true);
    return bytes;
  }
}

function effectsPage(): Uint8Array {
  const bytes = new Uint8Array(4096);
  for (const opcode of ADMIN_COMMANDS) bytes[4 * opcode] = SUPPORTED;
  for (const opcode of READING_COMMANDS) bytes[1024 + 4 * opcode] = SUPPORTED;
  for (const opcode of WRITING_COMMANDS) bytes[1024 + 4 * opcode] = SUPPORTED | CHANGES_DATA;
  return bytes;
}
