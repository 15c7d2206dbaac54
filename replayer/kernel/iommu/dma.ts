// SPDX-License-Identifier: Apache-2.0
/**
 * A function's DMA: every access goes through the group's address space, piece by piece, and touches nothing that is
 * not mapped there with the right permission. What can't be done is a fault: counted and reported.
 */
import type { BusWatch } from './bus-watch.js';
import type { FaultLog, FaultReason } from './faults.js';
import type { IommuGroup } from './group.js';
import { type InterruptRemapping, isInterruptAddress } from './interrupts.js';
import { DMA_READ, DMA_WRITE, type DmaMapping } from './mappings.js';

const ADDRESS_MASK = 2n ** 64n - 1n;

export class DmaPort {
  constructor(
    readonly bdf: string,
    readonly group: IommuGroup,
    readonly faults: FaultLog,
    readonly interrupts: InterruptRemapping,
    /** Whom interrupts of this function belong to. */
    readonly owner: object,
    /** Who watches the machine now. */
    readonly watch: () => BusWatch | undefined = () => undefined,
  ) {}

  read(iova: bigint, into: Uint8Array): boolean {
    if (this.#transfer(iova, into, false)) return true;
    // An aborted read completes with ones.
    into.fill(0xff);
    return false;
  }

  write(iova: bigint, from: Uint8Array): boolean {
    if (from.length === 4 && isInterruptAddress(iova)) {
      this.message(iova, new DataView(from.buffer, from.byteOffset, 4).getUint32(0, true));
      return true;
    }
    return this.#transfer(iova, from, true);
  }

  message(address: bigint, data: number): void {
    if (isInterruptAddress(address)) {
      if (!this.interrupts.message(this.owner, address, data)) this.#fault(address, true, 'stray interrupt');
      return;
    }
    // A vector whose address was overwritten is an ordinary write to that address.
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, data, true);
    this.#transfer(address, bytes, true);
  }

  #transfer(iova: bigint, bytes: Uint8Array, write: boolean): boolean {
    const watch = this.watch();
    if (watch === undefined) return this.#move(iova, bytes, write) === bytes.length;
    const since = watch.now();
    if (!write) {
      const done = this.#move(iova, bytes, false);
      watch.dma(this.bdf, iova, bytes, done, false, since);
      return done === bytes.length;
    }
    // Told before it is there to be seen.
    const reach = this.#reach(iova, bytes.length);
    if (reach > 0) watch.dma(this.bdf, iova, bytes.subarray(0, reach), reach, true, since);
    const done = this.#move(iova, bytes, true);
    if (done < bytes.length)
      watch.dma(this.bdf, (iova + BigInt(done)) & ADDRESS_MASK, bytes.subarray(done), 0, true, since);
    return done === bytes.length;
  }

  /** How many bytes of a write the IOMMU lets through. */
  #reach(iova: bigint, length: number): number {
    let reach = 0;
    while (reach < length) {
      const address = (iova + BigInt(reach)) & ADDRESS_MASK;
      const mapping = isInterruptAddress(address) ? undefined : this.group.domain?.lookup(address);
      if (mapping === undefined || (mapping.protection & DMA_WRITE) === 0 || mapping.device) break;
      const rest = mapping.last - address + 1n;
      reach += rest < BigInt(length - reach) ? Number(rest) : length - reach;
    }
    return reach;
  }

  /** Answers how many bytes were moved. */
  #move(iova: bigint, bytes: Uint8Array, write: boolean): number {
    let done = 0;
    while (done < bytes.length) {
      const address = (iova + BigInt(done)) & ADDRESS_MASK;
      const mapping = this.#permitted(address, write);
      if (mapping === undefined) return done;
      const available = mapping.last - address + 1n;
      const length = available < BigInt(bytes.length - done) ? Number(available) : bytes.length - done;
      const piece = bytes.subarray(done, done + length);
      const at = mapping.address + (address - mapping.start);
      const { memory } = mapping.process;
      if (!(write ? memory.write(at, piece) : memory.read(at, piece))) {
        this.#fault(address, write, 'memory is gone');
        return done;
      }
      done += length;
    }
    return done;
  }

  #permitted(address: bigint, write: boolean): DmaMapping | undefined {
    const domain = this.group.domain;
    const mapping = isInterruptAddress(address) ? undefined : domain?.lookup(address);
    if (mapping === undefined) this.#fault(address, write, domain ? 'not mapped' : 'no address space');
    else if ((mapping.protection & (write ? DMA_WRITE : DMA_READ)) === 0)
      this.#fault(address, write, write ? 'not writable' : 'not readable');
    else if (mapping.device) this.#fault(address, write, 'device memory');
    else return mapping;
    return undefined;
  }

  #fault(address: bigint, write: boolean, reason: FaultReason): void {
    this.faults.add({ bdf: this.bdf, address, write, reason });
  }
}
