// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_GET_IRQ_INFO and VFIO_DEVICE_SET_IRQS: validation, and who does what (vfio_pci_set_irqs_ioctl). */
import { readU32 } from '../../../abi/layout.js';
import { IRQ_INDEXES, IRQ_INFO, IRQ_INFO_FLAGS, IRQ_SET, IRQ_SET_FLAGS } from '../../../abi/vfio/irqs.js';
import { COMMAND, COMMAND_MEMORY } from '../../devices/pci/config-space.js';
import { EFAULT, EINVAL, ENOTTY } from '../errno.js';
import type { InterruptLine } from '../pci/interrupt-line.js';
import type { Messages } from '../pci/messages.js';
import type { PciDevice } from '../pci/pci-device.js';
import type { Call, Eventfd, Process } from '../process.js';
import { bytesIn, endOf, eventfdOf, structIn, structOut } from '../user-memory.js';
import { Intx, isOneIntx } from './intx.js';
import { MessageVectors } from './message-vectors.js';

const { INTX, MSI, MSIX, ERR, REQ } = IRQ_INDEXES.values;
const INDEXES = 5;
const { DATA_NONE, DATA_BOOL, DATA_EVENTFD, ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER } = IRQ_SET_FLAGS.bits;
const DATA = DATA_NONE | DATA_BOOL | DATA_EVENTFD;
const ACTION = ACTION_MASK | ACTION_UNMASK | ACTION_TRIGGER;

export interface IrqSet {
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly data: Uint8Array;
}

export class Interrupts {
  readonly intx: Intx;
  readonly vectors: MessageVectors;
  #error: Eventfd | undefined;
  #request: Eventfd | undefined;

  constructor(
    readonly pci: PciDevice,
    line: InterruptLine,
    readonly messages: Messages,
    /** INTx can be masked at the device, and is not hidden. */
    intxMaskable: boolean,
    readonly dynamicMsix: boolean,
    /** Interrupt pin as the driver sees it. */
    readonly pin: () => number,
  ) {
    this.intx = new Intx(pci, line, intxMaskable);
    this.vectors = new MessageVectors(messages, dynamicMsix, (work) => this.#withMemory(work));
  }

  get msiIsEnabled(): boolean {
    return this.messages.kind === 'msi';
  }

  /** vdev->irq_type */
  get #type(): number {
    if (this.intx.enabled) return INTX;
    if (this.messages.kind === 'msi') return MSI;
    return this.messages.kind === 'msix' ? MSIX : INDEXES;
  }

  /** vfio_pci_get_irq_count() */
  count(index: number): number {
    switch (index) {
      case INTX:
        return this.pin() === 0 ? 0 : 1;
      case MSI: {
        const at = this.pci.msiCap;
        return at === undefined ? 0 : 1 << ((this.pci.read(at + 2, 2) & 0x0e) >>> 1);
      }
      case MSIX: {
        const at = this.pci.msixCap;
        return at === undefined ? 0 : (this.pci.read(at + 2, 2) & 0x7ff) + 1;
      }
      case ERR:
        return this.pci.isExpress ? 1 : 0;
      case REQ:
        return 1;
      default:
        return 0;
    }
  }

  /** vfio_pci_ioctl_get_irq_info() */
  info(call: Call): number {
    const size = endOf(IRQ_INFO, 'count');
    const given = structIn(call, IRQ_INFO, size);
    if (given === undefined) return -EFAULT;
    const { argsz, index } = given;
    if (argsz < size || index >= INDEXES || (index === ERR && !this.pci.isExpress)) return -EINVAL;
    const { EVENTFD, MASKABLE, AUTOMASKED, NORESIZE } = IRQ_INFO_FLAGS.bits;
    let flags: number = EVENTFD;
    if (index === INTX) flags |= MASKABLE | AUTOMASKED;
    else if (index !== MSIX || !this.dynamicMsix || this.pci.msixCap === undefined) flags |= NORESIZE;
    return structOut(call, IRQ_INFO, { argsz, flags, index, count: this.count(index) }, size) ? 0 : -EFAULT;
  }

  /** vfio_pci_ioctl_set_irqs() */
  setFromUser(call: Call): number {
    const size = endOf(IRQ_SET, 'count');
    const header = structIn(call, IRQ_SET, size);
    if (header === undefined) return -EFAULT;
    const length = this.#validate(header, size);
    if (length < 0) return length;
    const data = bytesIn(call.memory, call.argument + BigInt(size), length);
    if (data === undefined) return -EFAULT;
    const result = this.set(call.process, { ...header, data });
    if (result >= 0) this.pci.fn.device.driver?.setIrqs(header);
    return result;
  }

  /** vfio_set_irqs_validate_and_prepare(): the number of data bytes. */
  #validate(header: Omit<IrqSet, 'data'> & { readonly argsz: number }, size: number): number {
    const { argsz, flags, index, start, count } = header;
    if (argsz < size || index >= INDEXES || count >= 0xffff_ffff - start || (flags & ~(DATA | ACTION)) !== 0)
      return -EINVAL;
    const most = this.count(index);
    if (start >= most || start + count > most) return -EINVAL;
    let each: number;
    switch (flags & DATA) {
      case DATA_NONE:
        return 0;
      case DATA_BOOL:
        each = 1;
        break;
      case DATA_EVENTFD:
        each = 4;
        break;
      default:
        return -EINVAL;
    }
    return argsz - size < count * each ? -EINVAL : count * each;
  }

  set(process: Process, irqs: IrqSet): number {
    const action = irqs.flags & ACTION;
    switch (irqs.index) {
      case INTX:
        if (action === ACTION_MASK) return this.#maskIntx(irqs);
        if (action === ACTION_UNMASK) return this.#unmaskIntx(process, irqs);
        return action === ACTION_TRIGGER ? this.#triggerIntx(process, irqs) : -ENOTTY;
      case MSI:
      case MSIX:
        return action === ACTION_TRIGGER ? this.#triggerMessages(process, irqs) : -ENOTTY;
      case ERR:
        if (action !== ACTION_TRIGGER || !this.pci.isExpress) return -ENOTTY;
        return this.#triggerSingle(process, irqs, this.#error, (eventfd) => {
          this.#error = eventfd;
        });
      case REQ:
        if (action !== ACTION_TRIGGER) return -ENOTTY;
        return this.#triggerSingle(process, irqs, this.#request, (eventfd) => {
          this.#request = eventfd;
        });
      default:
        return -ENOTTY;
    }
  }

  /** The device is closed (vfio_pci_core_disable, vfio_pci_core_close_device). */
  release(): void {
    if (this.intx.enabled) this.intx.disable();
    else if (this.messages.kind !== 'none') this.vectors.disable();
    this.intx.forgetConfig();
    this.#error = undefined;
    this.#request = undefined;
  }

  /** An uncorrectable error was reported for the device (vfio_pci_core_aer_err_detected). */
  signalError(): void {
    this.#error?.signal();
  }

  /** The host wants the device back; false when the driver asked for no such signal (vfio_pci_core_request). */
  signalRequest(): boolean {
    this.#request?.signal();
    return this.#request !== undefined;
  }

  /** vfio_pci_set_intx_mask() */
  #maskIntx({ flags, start, count, data }: IrqSet): number {
    if (!this.intx.enabled || isOneIntx(start, count) !== 0) return -EINVAL;
    if ((flags & DATA_EVENTFD) !== 0) return -ENOTTY;
    if ((flags & DATA_NONE) !== 0 || data[0] !== 0) this.intx.mask();
    return 0;
  }

  /** vfio_pci_set_intx_unmask() */
  #unmaskIntx(process: Process, { flags, start, count, data }: IrqSet): number {
    if (!this.intx.enabled || isOneIntx(start, count) !== 0) return -EINVAL;
    if ((flags & DATA_EVENTFD) !== 0) return this.intx.setUnmaskFd(process, readU32(data, 0) | 0);
    if ((flags & DATA_NONE) !== 0 || data[0] !== 0) this.intx.unmask();
    return 0;
  }

  /** vfio_pci_set_intx_trigger() */
  #triggerIntx(process: Process, { flags, start, count, data }: IrqSet): number {
    const { intx } = this;
    if (intx.enabled && count === 0 && (flags & DATA_NONE) !== 0) {
      intx.disable();
      return 0;
    }
    const type = this.#type;
    if ((type !== INTX && type !== INDEXES) || isOneIntx(start, count) !== 0) return -EINVAL;
    if ((flags & DATA_EVENTFD) !== 0) {
      const fd = readU32(data, 0) | 0;
      const eventfd = fd < 0 ? undefined : eventfdOf(process, fd);
      if (typeof eventfd === 'number') return eventfd;
      if (!intx.enabled) return intx.enable(eventfd);
      intx.setTrigger(eventfd);
      return 0;
    }
    if (!intx.enabled) return -EINVAL;
    if ((flags & DATA_NONE) !== 0 || data[0] !== 0) intx.signal();
    return 0;
  }

  /** vfio_pci_set_msi_trigger() */
  #triggerMessages(process: Process, { flags, index, start, count, data }: IrqSet): number {
    const { vectors } = this;
    const type = this.#type;
    if (type === index && count === 0 && (flags & DATA_NONE) !== 0) {
      vectors.disable();
      return 0;
    }
    if (type !== index && type !== INDEXES) return -EINVAL;
    if ((flags & DATA_EVENTFD) !== 0) {
      const fds = Array.from({ length: count }, (_, i) => readU32(data, 4 * i) | 0);
      if (type === index) return vectors.setBlock(process, start, fds);
      const enabled = vectors.enable(index === MSIX ? 'msix' : 'msi', start + count);
      if (enabled !== 0) return enabled;
      const result = vectors.setBlock(process, start, fds);
      if (result !== 0) vectors.disable();
      return result;
    }
    if (type !== index || !vectors.covers(start, count)) return -EINVAL;
    for (let i = 0; i < count; i++) if ((flags & DATA_NONE) !== 0 || data[i] !== 0) vectors.signal(start + i);
    return 0;
  }

  /** vfio_pci_set_ctx_trigger_single() */
  #triggerSingle(
    process: Process,
    { flags, start, count, data }: IrqSet,
    current: Eventfd | undefined,
    replace: (eventfd: Eventfd | undefined) => void,
  ): number {
    if (start !== 0 || count > 1) return -EINVAL;
    if ((flags & DATA_NONE) !== 0) {
      if (current === undefined) return -EINVAL;
      if (count > 0) current.signal();
      else replace(undefined);
      return 0;
    }
    if (count === 0) return -EINVAL;
    if ((flags & DATA_BOOL) !== 0) {
      if (data[0] !== 0) current?.signal();
      return 0;
    }
    const fd = readU32(data, 0) | 0;
    if (fd < -1) return -EINVAL;
    const eventfd = fd === -1 ? undefined : eventfdOf(process, fd);
    if (typeof eventfd === 'number') return eventfd;
    replace(eventfd);
    return 0;
  }

  /** vfio_pci_memory_lock_and_enable(): the MSI-X table is reached whatever the driver did to memory decode. */
  #withMemory<T>(work: () => T): T {
    const before = this.pci.command;
    if (!this.pci.isVirtual) this.pci.setCommand(COMMAND_MEMORY, 0);
    const result = work();
    // The whole register goes back: what the core did to DisINTx in between is undone with it.
    this.pci.write(COMMAND, 2, before);
    return result;
  }
}
