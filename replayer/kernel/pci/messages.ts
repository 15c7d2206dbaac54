// SPDX-License-Identifier: Apache-2.0
/** MSI and MSI-X as the PCI core sets them up (drivers/pci/msi): vectors, message addresses, masks. */
import { EINVAL } from '../errno.js';
import type { InterruptRemapping } from '../iommu/interrupts.js';
import { D0, type PciDevice } from './pci-device.js';

const MSIX_ENABLE = 0x8000;
const MSIX_MASK_ALL = 0x4000;
const ENTRY = 16;

interface Vector {
  /** Its entry of the remapping table. */
  readonly entry: number;
  handler: (() => void) | undefined;
}

export class Messages {
  readonly #vectors = new Map<number, Vector>();
  #kind: 'none' | 'msi' | 'msix' = 'none';
  /** The run of entries that a multiple MSI has. */
  #base = 0;

  constructor(
    readonly pci: PciDevice,
    readonly remapping: InterruptRemapping,
    /** Several MSI vectors need interrupt remapping on x86. */
    readonly severalMsi: boolean,
  ) {}

  get kind(): 'none' | 'msi' | 'msix' {
    return this.#kind;
  }

  /** pci_alloc_irq_vectors(pdev, 1, count, …): the number of vectors got. */
  allocate(kind: 'msi' | 'msix', count: number): number {
    if (this.#kind !== 'none') return -EINVAL;
    return kind === 'msi' ? this.#allocateMsi(count) : this.#allocateMsix(count);
  }

  /** pci_irq_vector(): whether the vector exists. */
  has(vector: number): boolean {
    return this.#vectors.has(vector);
  }

  /** pci_msix_alloc_irq_at(): one more vector while MSI-X is enabled. */
  allocateAt(vector: number): number {
    if (this.#kind !== 'msix' || vector >= this.tableSize) return -EINVAL;
    this.#addMsixVector(vector);
    return 0;
  }

  get tableSize(): number {
    const at = this.pci.msixCap;
    return at === undefined ? 0 : (this.pci.read(at + 2, 2) & 0x7ff) + 1;
  }

  /** request_irq(): from now on messages call the handler. */
  request(vector: number, handler: () => void): void {
    const found = this.#vectors.get(vector);
    if (found === undefined) return;
    found.handler = handler;
    if (this.#kind === 'msix') this.#writeEntry(vector, found.entry, false);
  }

  free(vector: number): void {
    const found = this.#vectors.get(vector);
    if (found === undefined) return;
    found.handler = undefined;
    if (this.#kind === 'msix') this.#maskEntry(vector, true);
  }

  /** pci_free_irq_vectors() */
  freeAll(): void {
    const { pci } = this;
    if (this.#kind === 'msi') {
      const control = (pci.msiCap as number) + 2;
      pci.write(control, 2, pci.read(control, 2) & ~1);
      this.remapping.free(this.#base, this.#vectors.size);
    } else if (this.#kind === 'msix') {
      for (const vector of this.#vectors.keys()) this.#maskEntry(vector, true);
      const control = (pci.msixCap as number) + 2;
      pci.write(control, 2, pci.read(control, 2) & ~MSIX_ENABLE);
      for (const { entry } of this.#vectors.values()) this.remapping.free(entry, 1);
    } else return;
    this.#vectors.clear();
    this.#setKind('none');
    // pci_intx_for_msi(): INTx is back, whatever was before.
    pci.intx(true);
  }

  /** pci_restore_msi_state(): a reset forgot the messages. */
  restore(): void {
    const { pci } = this;
    if (this.#kind === 'msi') this.#writeMsi();
    if (this.#kind !== 'msix') return;
    pci.intx(false);
    const control = (pci.msixCap as number) + 2;
    const value = pci.read(control, 2) & ~MSIX_MASK_ALL;
    pci.write(control, 2, value | MSIX_ENABLE | MSIX_MASK_ALL);
    for (const [vector, { entry, handler }] of this.#vectors)
      this.#writeEntry(vector, entry, handler === undefined);
    pci.write(control, 2, value | MSIX_ENABLE);
  }

  #setKind(kind: 'none' | 'msi' | 'msix'): void {
    this.#kind = kind;
    this.pci.messagesEnabled = kind;
  }

  #allocateMsi(count: number): number {
    const { pci } = this;
    const at = pci.msiCap;
    if (at === undefined) return -EINVAL;
    const supported = 1 << ((pci.read(at + 2, 2) >>> 1) & 7);
    const got = Math.min(count, supported, this.severalMsi ? 32 : 1);
    const delivers = Array.from({ length: got }, (_, i) => () => this.#vectors.get(i)?.handler?.());
    this.#base = this.remapping.allocate(pci, delivers);
    for (let i = 0; i < got; i++) this.#vectors.set(i, { entry: this.#base + i, handler: undefined });
    this.#setKind('msi');
    this.#writeMsi();
    return got;
  }

  #writeMsi(): void {
    const { pci } = this;
    const at = pci.msiCap as number;
    pci.intx(false);
    const flags = pci.read(at + 2, 2);
    const address = this.remapping.address(this.#base);
    pci.write(at + 4, 4, Number(address & 0xffff_ffffn));
    if ((flags & 0x80) !== 0) pci.write(at + 8, 4, Number(address >> 32n));
    pci.write(at + ((flags & 0x80) !== 0 ? 12 : 8), 2, 0);
    const enabled = Math.ceil(Math.log2(this.#vectors.size));
    pci.write(at + 2, 2, (flags & ~0x70) | (enabled << 4) | 1);
  }

  #allocateMsix(count: number): number {
    const { pci } = this;
    const at = pci.msixCap;
    if (at === undefined) return -EINVAL;
    const got = Math.min(count, this.tableSize);
    const value = pci.read(at + 2, 2);
    // Everything masked while the table is filled (msix_capability_init).
    pci.write(at + 2, 2, value | MSIX_ENABLE | MSIX_MASK_ALL);
    this.#setKind('msix');
    pci.intx(false);
    for (let vector = 0; vector < this.tableSize; vector++) this.#maskEntry(vector, true);
    for (let vector = 0; vector < got; vector++) this.#addMsixVector(vector);
    pci.write(at + 2, 2, (value & ~MSIX_MASK_ALL) | MSIX_ENABLE);
    return got;
  }

  #addMsixVector(vector: number): void {
    const entry = this.remapping.allocate(this.pci, [() => this.#vectors.get(vector)?.handler?.()]);
    this.#vectors.set(vector, { entry, handler: undefined });
    this.#writeEntry(vector, entry, true);
  }

  #writeEntry(vector: number, entry: number, masked: boolean): void {
    const address = this.remapping.address(entry);
    this.#writeTable(vector, 0, Number(address & 0xffff_ffffn));
    this.#writeTable(vector, 4, Number(address >> 32n));
    this.#writeTable(vector, 8, 0);
    this.#maskEntry(vector, masked);
  }

  #maskEntry(vector: number, masked: boolean): void {
    this.#writeTable(vector, 12, masked ? 1 : 0);
  }

  #writeTable(vector: number, at: number, value: number): void {
    const table = this.pci.fn.msixTable;
    // The core leaves a sleeping device alone.
    if (table === undefined || this.pci.currentState !== D0) return;
    this.pci.fn.barWrite(table.table.bar, table.table.offset + vector * ENTRY + at, 4, BigInt(value));
  }
}
