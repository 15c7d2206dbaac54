// SPDX-License-Identifier: Apache-2.0
/** Resetting one function: the methods of drivers/pci/pci.c in their order, config space saved around them. */
import { AF } from '../../devices/pci/capabilities.js';
import { COMMAND, COMMAND_INTX_DISABLE } from '../../devices/pci/config-space.js';
import { EINVAL, ENOTTY } from '../errno.js';
import type { PciBus } from './bus.js';
import type { Messages } from './messages.js';
import { D0, type PciDevice } from './pci-device.js';
import { restoreState, saveState } from './saved-state.js';

export type ResetMethod = 'device_specific' | 'flr' | 'af_flr' | 'pm' | 'bus';

const DEVCAP_FLR = 0x1000_0000;
const DEVCTL_FLR = 0x8000;
const PMCSR = 4;
const NO_SOFT_RESET = 8;

/** pci_init_reset_methods() */
export function resetMethods(pci: PciDevice, bus: PciBus): readonly ResetMethod[] {
  const methods: ResetMethod[] = [];
  const { expressCap, pmCap } = pci;
  const af = pci.fn.capability(AF);
  if (pci.fn.pci.noReset === true) return [];
  if (pci.fn.pci.specificReset === true) methods.push('device_specific');
  if (expressCap !== undefined && (pci.read(expressCap + 4, 4) & DEVCAP_FLR) !== 0) methods.push('flr');
  if (af !== undefined && (pci.read(af + 3, 1) & 3) === 3) methods.push('af_flr');
  if (pmCap !== undefined && (pci.read(pmCap + PMCSR, 2) & NO_SOFT_RESET) === 0) methods.push('pm');
  if (bus.canReset && bus.members.length === 1) methods.push('bus');
  return methods;
}

/** __pci_reset_function_locked() */
export function resetFunctionLocked(pci: PciDevice, bus: PciBus): number {
  const method = resetMethods(pci, bus)[0];
  if (method === undefined) return -ENOTTY;
  switch (method) {
    case 'device_specific':
      pci.fn.reset();
      return 0;
    case 'flr': {
      const control = (pci.expressCap as number) + 8;
      pci.write(control, 2, pci.read(control, 2) | DEVCTL_FLR);
      return 0;
    }
    case 'af_flr':
      pci.write((pci.fn.capability(AF) as number) + 4, 1, 1);
      return 0;
    case 'pm': {
      if (pci.currentState !== D0) return -EINVAL;
      const control = (pci.pmCap as number) + PMCSR;
      const value = pci.read(control, 2) & ~3;
      pci.write(control, 2, value | 3);
      pci.write(control, 2, value);
      return 0;
    }
    case 'bus':
      bus.secondaryBusReset();
      return 0;
  }
}

/** pci_try_reset_function() */
export function tryResetFunction(pci: PciDevice, bus: PciBus, messages: Messages): number {
  if (resetMethods(pci, bus).length === 0) return -ENOTTY;
  pci.setPowerState(D0);
  const saved = saveState(pci);
  // No DMA and no interrupt while it resets (pci_dev_save_and_disable).
  pci.write(COMMAND, 2, COMMAND_INTX_DISABLE);
  const result = resetFunctionLocked(pci, bus);
  restoreState(pci, saved, () => messages.restore());
  return result;
}
