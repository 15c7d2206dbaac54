// SPDX-License-Identifier: Apache-2.0
/** Where the controllers of a session were told to find their queues, as far as their class is known. */
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { StepOf } from '../../../session/story/steps.js';

export interface ProgrammedAddress {
  readonly register: string;
  readonly address: bigint;
  /** 1 when it is not known. */
  readonly bytes: bigint;
  /** In which it was written. */
  readonly event: number;
}

export class ProgrammedAddresses {
  readonly #devices = new Map<DeviceLife, Map<string, ProgrammedAddress>>();

  apply({ device, what, register, address, bytes, event }: StepOf<'controller'>): void {
    if (what === 'reset' || what === 'stopped') this.#devices.delete(device);
    if (what !== 'address' || address === undefined) return;
    let held = this.#devices.get(device);
    if (held === undefined) {
      held = new Map();
      this.#devices.set(device, held);
    }
    // TDBAL0 and TDBAH0 are halves of one.
    const key = register.replace(/BA[LH]/, 'BA');
    held.set(key, { register, address, bytes: BigInt(bytes ?? 1), event: event.number });
  }

  of(device: DeviceLife): Iterable<ProgrammedAddress> {
    return this.#devices.get(device)?.values() ?? [];
  }

  /** A VFIO reset takes what the device was told. */
  forget(device: DeviceLife): void {
    this.#devices.delete(device);
  }
}
