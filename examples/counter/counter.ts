// SPDX-License-Identifier: Apache-2.0
/** A simulated device to begin with: it counts stores to BAR 0, tells the count, and interrupts at 10. */
import type { Device, Host } from '../../replayer/devices/device.js';
import { msi } from '../../replayer/devices/pci/capabilities.js';
import type { PciDescription } from '../../replayer/devices/pci/description.js';

export class Counter implements Device {
  readonly pci: PciDescription = {
    vendor: 0x1234,
    device: 0x0001,
    classCode: 0x00ff00,
    interruptPin: 1,
    bars: [{ size: 0x1000, kind: 'memory32' }],
    configSize: 256,
    capabilities: [msi({ offset: 0x40, vectors: 1 })],
  };
  #host!: Host;
  #count = 0n;

  attach(host: Host): void {
    this.#host = host;
  }

  read(): bigint {
    return this.#count;
  }

  write(): void {
    this.#count++;
    if (this.#count === 10n) this.#host.message(0);
  }

  reset(): void {
    this.#count = 0n;
  }
}
