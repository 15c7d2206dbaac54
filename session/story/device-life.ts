// SPDX-License-Identifier: Apache-2.0
/** One open of a device, from its descriptor's birth to its last close: what is known of its condition. */
import { decode, readU32 } from '../../abi/layout.js';
import { LYON_FD, lyonDescriptors } from '../../abi/lyon2010/ioctls.js';
import { LYON_DEVICE } from '../../abi/object-kinds.js';
import { DEVICE_INFO } from '../../abi/vfio/device-info.js';
import { DEVICE_FEATURE } from '../../abi/vfio/feature.js';
import { IRQ_INFO, IRQ_SET, IRQ_SET_ACTION_TRIGGER, IRQ_SET_DATA_EVENTFD } from '../../abi/vfio/irqs.js';
import type { DeviceDefinition } from '../../traces/model.js';
import type { DeviceState } from '../device.js';
import type { Moment } from './moment.js';
import { momentOf } from './moment.js';
import type { SeenConfig, SeenIoctl } from './seen.js';

export const COMMAND = 0x04;
export const COMMAND_MEMORY = 0x0002;
export const COMMAND_MASTER = 0x0004;
export const COMMAND_INTX_DISABLE = 0x0400;

export const INFO_RESET = 1;

const CAP_PM = 0x01;
const CAP_EXPRESS = 0x10;
const CAP_AF = 0x13;

const INTERRUPT_INDEXES = ['intx', 'msi', 'msix'] as const;
export type InterruptType = (typeof INTERRUPT_INDEXES)[number] | 'none';

const LOW_POWER_ENTRY = 3;
const LOW_POWER_ENTRY_WITH_WAKEUP = 4;
const LOW_POWER_EXIT = 5;
const FEATURE_SET = 1 << 17;
const FEATURE_PROBE = 1 << 18;

export interface DeviceInfo extends Moment {
  readonly flags: number;
  readonly regions: number;
  readonly irqs: number;
}

export interface IrqInfo extends Moment {
  readonly flags: number;
  readonly count: number;
}

/** How the device came to a known state. */
export interface Reset extends Moment {
  readonly how: 'at open' | 'VFIO_DEVICE_RESET' | 'hot reset' | 'FLR' | 'D3hot' | 'controller';
}

/** Where and how its memory was accessed. */
export interface Access {
  readonly direction: 'load' | 'store' | 'update';
  readonly region: number;
  readonly offset: number;
}

export class DeviceLife {
  readonly state: DeviceState;
  readonly definition: DeviceDefinition | undefined;
  /** The recorder saw its descriptor being born: nothing of its life is missing at the start. */
  readonly fromStart: boolean;
  readonly opened: Moment;
  closed: Moment | undefined;
  info: DeviceInfo | undefined;
  readonly irqInfo = new Map<number, IrqInfo>();
  interrupts: InterruptType = 'none';
  /** When the present kind of interrupts was switched on. */
  interruptsSince: Moment | undefined;
  /** When INTx was last given a trigger. */
  intxSince: Moment | undefined;
  /** The Command register as the driver last read or wrote it; undefined: it never did. */
  command: number | undefined;
  /** vfio-pci clears it at open (vfio_pci_core_enable: pci_clear_master). */
  busMaster = false;
  /** The first and the latest time that the driver switched bus mastering on. */
  firstMaster: Moment | undefined;
  masterSince: Moment | undefined;
  /** vfio-pci enables the device at open (pci_enable_device). */
  memory = true;
  /** PMCSR's PowerState, 0 to 3. */
  powerState = 0;
  powerSince: Moment | undefined;
  /** Between LOW_POWER_ENTRY and LOW_POWER_EXIT. */
  lowPower: Moment | undefined;
  readonly resets: Reset[] = [];
  /** Of the controller: undefined when its class is not known, or its enable bit was never seen. */
  controllerEnabled: boolean | undefined;
  /** The latest load or store of its memory: number of the event (-1: none), and ticks. */
  accessEvent = -1;
  accessTicks = 0;
  lastAccess: Access | undefined;
  /**
   * Grows whenever something changes that decides what an access means (Command, power, interrupts, resets, mappings,
   * its address space, closing): who wants to see accesses is asked anew then.
   */
  epoch = 0;

  constructor(
    state: DeviceState,
    definition: DeviceDefinition | undefined,
    fromStart: boolean,
    opened: Moment,
  ) {
    this.state = state;
    this.definition = definition;
    this.fromStart = fromStart;
    this.opened = opened;
  }

  /** Of its object. */
  get id(): number {
    return this.state.id;
  }

  get isLyon(): boolean {
    return this.state.kind === LYON_DEVICE;
  }

  /** Whether the device was brought to a known state since it was opened; undefined: the recording does not tell. */
  get knownState(): boolean | undefined {
    if (this.resets.length > 0) return true;
    if (this.info === undefined) return undefined;
    return false;
  }

  reset(how: Reset['how'], moment: Moment): void {
    this.resets.push({ how, event: moment.event, time: moment.time });
    this.epoch++;
  }

  applyIoctl(step: SeenIoctl): void {
    // Also one that failed: it decides how what follows is judged.
    if (step.name === 'VFIO_DEVICE_RESET' || step.name === 'VFIO_DEVICE_PCI_HOT_RESET') this.epoch++;
    if (!step.ok) return;
    const moment = momentOf(step.event);
    switch (step.name) {
      case 'VFIO_DEVICE_GET_INFO': {
        const { flags = 0, num_regions = 0, num_irqs = 0 } = decode(DEVICE_INFO, step.after);
        // The flag is clear when the reset at open failed (vfio_pci_core_enable: reset_works).
        if (this.info === undefined && (flags & INFO_RESET) !== 0) this.reset('at open', moment);
        this.info ??= { flags, regions: num_regions, irqs: num_irqs, ...moment };
        break;
      }
      case 'VFIO_DEVICE_GET_IRQ_INFO': {
        const { index, flags = 0, count = 0 } = decode(IRQ_INFO, step.after);
        if (index !== undefined) this.irqInfo.set(index, { flags, count, ...moment });
        break;
      }
      case 'VFIO_DEVICE_SET_IRQS':
        this.#setIrqs(step.before, moment);
        break;
      case 'VFIO_DEVICE_RESET':
        this.reset('VFIO_DEVICE_RESET', moment);
        break;
      case 'VFIO_DEVICE_PCI_HOT_RESET':
        this.reset('hot reset', moment);
        break;
      case 'VFIO_DEVICE_ATTACH_IOMMUFD_PT':
      case 'VFIO_DEVICE_DETACH_IOMMUFD_PT':
        this.epoch++;
        break;
      case 'VFIO_DEVICE_FEATURE':
        this.#feature(step.before, moment);
        break;
      case 'VFIO_EVENTFD_IRQ':
        this.#switchInterrupts('intx', (decode(LYON_FD, step.before).fd ?? -1) >= 0, moment);
        break;
      case 'VFIO_EVENTFDS_MSI':
        this.#switchInterrupts('msi', lyonDescriptors(step.before).length > 0, moment);
        break;
      case 'VFIO_EVENTFDS_MSIX':
        this.#switchInterrupts('msix', lyonDescriptors(step.before).length > 0, moment);
        break;
      default:
        break;
    }
  }

  #setIrqs(bytes: Uint8Array, moment: Moment): void {
    const { flags = 0, index = 0, count = 0 } = decode(IRQ_SET, bytes);
    const type = INTERRUPT_INDEXES[index];
    if (type === undefined || (flags & IRQ_SET_ACTION_TRIGGER) === 0) return;
    if (count === 0) this.#switchInterrupts(type, false, moment);
    else if ((flags & IRQ_SET_DATA_EVENTFD) !== 0) this.#switchInterrupts(type, true, moment);
  }

  #switchInterrupts(type: (typeof INTERRUPT_INDEXES)[number], on: boolean, moment: Moment): void {
    if (on === (this.interrupts === type)) return;
    if (on) {
      this.interrupts = type;
      this.interruptsSince = moment;
      if (type === 'intx') this.intxSince = moment;
    } else {
      this.interrupts = 'none';
      this.interruptsSince = undefined;
    }
    this.epoch++;
  }

  #feature(bytes: Uint8Array, moment: Moment): void {
    const { flags = 0 } = decode(DEVICE_FEATURE, bytes);
    if ((flags & FEATURE_SET) === 0 || (flags & FEATURE_PROBE) !== 0) return;
    const feature = flags & 0xffff;
    if (feature === LOW_POWER_ENTRY || feature === LOW_POWER_ENTRY_WITH_WAKEUP) this.lowPower = moment;
    else if (feature === LOW_POWER_EXIT) this.lowPower = undefined;
    else return;
    this.epoch++;
  }

  applyConfig(step: SeenConfig): void {
    if (!step.ok || step.bytes.length === 0) return;
    const moment = momentOf(step.event);
    const written = step.type === 'config-write';
    const command = covered(step, COMMAND, 2, this.command);
    if (command !== undefined) this.#command(command, moment);
    if (!written) return;
    const { config } = this.state;
    const power = config.capability(CAP_PM);
    const pmcsr = power === undefined ? undefined : covered(step, power.offset + 4, 2, 0);
    if (pmcsr !== undefined) this.#power(pmcsr & 3, config.read((power?.offset ?? 0) + 4, 2) ?? 0, moment);
    const express = config.capability(CAP_EXPRESS);
    // vfio_exp_config_write: BCR_FLR, where DEVCAP says that there is one, resets the function.
    const control = express === undefined ? undefined : covered(step, express.offset + 8, 2, 0);
    if (control !== undefined && (control & 0x8000) !== 0) this.reset('FLR', moment);
    const af = config.capability(CAP_AF);
    const afControl = af === undefined ? undefined : covered(step, af.offset + 4, 1, 0);
    if (afControl !== undefined && (afControl & 1) !== 0) this.reset('FLR', moment);
  }

  /** Whether `applyConfig` may have something to say of a write there, as far as it is known where the capabilities lie. */
  isToldByWrite(offset: number, width: number): boolean {
    const { config } = this.state;
    const overlaps = (register: number, bytes: number): boolean =>
      offset < register + bytes && offset + width > register;
    const lies = (id: number, within: number, bytes: number): boolean => {
      const capability = config.capability(id);
      return capability !== undefined && overlaps(capability.offset + within, bytes);
    };
    return overlaps(COMMAND, 2) || lies(CAP_PM, 4, 2) || lies(CAP_EXPRESS, 8, 2) || lies(CAP_AF, 4, 1);
  }

  #command(value: number, moment: Moment): void {
    this.command = value;
    const master = (value & COMMAND_MASTER) !== 0;
    const memory = (value & COMMAND_MEMORY) !== 0;
    if (master && !this.busMaster) {
      this.firstMaster ??= moment;
      this.masterSince = moment;
    }
    if (master !== this.busMaster || memory !== this.memory) this.epoch++;
    this.busMaster = master;
    this.memory = memory;
  }

  #power(state: number, held: number, moment: Moment): void {
    if (state === this.powerState) return;
    // Without NoSoftRst the way back from D3hot resets the function (PCI PM 1.2 §5.4.1).
    if (this.powerState === 3 && state === 0 && (held & 8) === 0) this.reset('D3hot', moment);
    this.powerState = state;
    this.powerSince = moment;
    this.epoch++;
  }
}

/** What a register holds after the access; bytes that it did not touch are taken from `otherwise`. */
export function covered(
  step: SeenConfig,
  register: number,
  width: 1 | 2 | 4,
  otherwise: number | undefined,
): number | undefined {
  const { offset, bytes } = step;
  if (offset >= register + width || offset + bytes.length <= register) return undefined;
  const whole = new Uint8Array(4);
  for (let i = 0; i < width; i++) {
    const at = register + i - offset;
    whole[i] = at >= 0 && at < bytes.length ? (bytes[at] as number) : ((otherwise ?? 0) >>> (8 * i)) & 0xff;
  }
  return readU32(whole, 0);
}
