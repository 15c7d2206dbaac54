// SPDX-License-Identifier: Apache-2.0
/** An opened device of vfio-pci (struct vfio_pci_core_device): what open, close and the device ioctls do. */
import { DEVICE_FLAGS, DEVICE_INFO } from '../../../abi/vfio/device-info.js';
import { COMMAND, COMMAND_INTX_DISABLE } from '../../devices/pci/config-space.js';
import { VirtualConfig } from '../config/virtual-config.js';
import { EAGAIN, EFAULT, EINVAL } from '../errno.js';
import type { PciBus } from '../pci/bus.js';
import type { InterruptLine } from '../pci/interrupt-line.js';
import type { Messages } from '../pci/messages.js';
import { D0, type PciDevice } from '../pci/pci-device.js';
import { resetFunctionLocked, tryResetFunction } from '../pci/reset.js';
import { restoreState, type SavedState, saveState } from '../pci/saved-state.js';
import type { Call } from '../process.js';
import { endOf, structIn, structOut } from '../user-memory.js';
import type { KernelVersion } from '../variant.js';
import { Interrupts } from './interrupts.js';
import { Ioeventfds } from './ioeventfds.js';
import { Power } from './power.js';
import { REGIONS, Regions } from './regions.js';

const IRQ_INDEXES = 5;
const INTEL = 0x8086;

/** vfio_pci_nointx(): X710 and X550 claim to interrupt by INTx, but never say that it was them. */
function hasBrokenIntx({ vendor, device }: PciDevice): boolean {
  if (vendor !== INTEL) return false;
  const within = (low: number, high: number) => device >= low && device <= high;
  return (
    [0x1572, 0x1574, 0x1563].includes(device) ||
    within(0x1580, 0x1581) ||
    within(0x1583, 0x158b) ||
    within(0x37d0, 0x37d2)
  );
}

export class VfioPci {
  readonly power: Power;
  /** The kernel reset the device when it was opened, and could do so again. */
  resetWorks = false;
  /** It was in use and could not be reset since (vdev->needs_reset). */
  needsReset = false;
  readonly #interrupts: Interrupts;
  #config: VirtualConfig;
  #regions: Regions;
  #ioeventfds: Ioeventfds;
  #saved: SavedState | undefined;

  constructor(
    readonly pci: PciDevice,
    readonly bus: PciBus,
    readonly messages: Messages,
    line: InterruptLine,
    readonly version: KernelVersion,
  ) {
    this.power = new Power(pci, messages);
    const dynamicMsix = version !== '6.1';
    const maskable = pci.intxMaskable && !hasBrokenIntx(pci);
    this.#interrupts = new Interrupts(
      pci,
      line,
      messages,
      maskable,
      dynamicMsix,
      () => this.#config.interruptPin,
    );
    [this.#config, this.#regions, this.#ioeventfds] = this.#views();
  }

  get interrupts(): Interrupts {
    return this.#interrupts;
  }
  get config(): VirtualConfig {
    return this.#config;
  }
  get regions(): Regions {
    return this.#regions;
  }
  get ioeventfds(): Ioeventfds {
    return this.#ioeventfds;
  }

  #views(): [VirtualConfig, Regions, Ioeventfds] {
    const interrupts = this.#interrupts;
    const config = new VirtualConfig(this.pci, hasBrokenIntx(this.pci), {
      intxDisabled: (disabled) => interrupts.intx.disabledByConfig(disabled),
      get msiIsEnabled() {
        return interrupts.msiIsEnabled;
      },
      get msiQueueMax() {
        return interrupts.vectors.queueMax;
      },
      setPowerState: (state) => this.power.setState(state),
      resetFunction: () => {
        tryResetFunction(this.pci, this.bus, this.messages);
      },
    });
    const regions = new Regions(this.pci, config, this.power, this.version === '6.1' ? 4 : 8);
    return [config, regions, new Ioeventfds(this.pci, regions)];
  }

  /** vfio_pci_core_enable(): bus mastering off, reset, then a fresh view of config space. */
  enable(): number {
    const { pci } = this;
    pci.clearMaster();
    pci.enable();
    const result = tryResetFunction(pci, this.bus, this.messages);
    if (result === -EAGAIN) return result;
    this.resetWorks = result === 0;
    this.#saved = saveState(pci);
    const hidden = hasBrokenIntx(pci);
    if (hidden) pci.intx(false);
    else if (pci.intxMaskable) pci.setCommand(0, COMMAND_INTX_DISABLE);
    this.#interrupts.vectors.queueMax = 0;
    [this.#config, this.#regions, this.#ioeventfds] = this.#views();
    return 0;
  }

  /** vfio_pci_core_disable() and vfio_pci_core_close_device(). */
  disable(): void {
    const { pci } = this;
    this.power.exit();
    this.wake();
    this.power.setState(D0);
    pci.clearMaster();
    this.#interrupts.release();
    this.#ioeventfds.release();
    this.needsReset = true;
    pci.write(COMMAND, 2, COMMAND_INTX_DISABLE);
    if (this.resetWorks && resetFunctionLocked(pci, this.bus) === 0) this.needsReset = false;
    if (this.#saved !== undefined) restoreState(pci, this.#saved, () => this.messages.restore());
    this.#saved = undefined;
    pci.clearMaster();
  }

  /** Every access wakes a device in low power mode, and lets it go back to sleep. */
  wake(): void {
    this.power.wake(this.#sleeping);
  }

  idle(): void {
    this.power.idle(this.#sleeping);
  }

  readonly #sleeping = {
    maskIntx: () => this.#interrupts.intx.enabled && this.#interrupts.intx.mask(),
    unmaskIntx: () => this.#interrupts.intx.unmask(),
  };

  /** vfio_pci_ioctl_get_info(); the atomics capability is that of root ports that complete them, which ours do not. */
  info(call: Call): number {
    const size = endOf(DEVICE_INFO, 'num_irqs');
    const given = structIn(call, DEVICE_INFO, size);
    if (given === undefined) return -EFAULT;
    if (given.argsz < size) return -EINVAL;
    const longest = this.version === '6.1' ? endOf(DEVICE_INFO, 'cap_offset') : DEVICE_INFO.size;
    const { PCI, RESET } = DEVICE_FLAGS.bits;
    const values = {
      argsz: given.argsz,
      flags: PCI | (this.resetWorks ? RESET : 0),
      num_regions: REGIONS,
      num_irqs: IRQ_INDEXES,
    };
    return structOut(call, DEVICE_INFO, values, Math.min(given.argsz, longest)) ? 0 : -EFAULT;
  }

  /** vfio_pci_ioctl_reset() */
  reset(): number {
    if (!this.resetWorks) return -EINVAL;
    this.power.setState(D0);
    const result = tryResetFunction(this.pci, this.bus, this.messages);
    if (result === 0) this.pci.fn.device.driver?.reset();
    return result;
  }
}
