// SPDX-License-Identifier: Apache-2.0
/** Looks whether a session may be reissued on a device of this machine, before anything of it is touched. */
import { ConfigSpace } from '../../abi/pci/config-space.js';
import { UserError } from '../../abi/user-error.js';
import type { DeviceDefinition } from '../../traces/model.js';
import { Guard } from '../replay/guard.js';
import type { Masks } from '../replay/masks.js';
import { compareDevices } from '../replay/same-device.js';
import type { Target } from '../replay/target.js';
import { DryRunTarget } from './dry-run.js';
import { findHardware } from './find-device.js';
import { HardwareTarget, STANDARD_CONFIG_BYTES } from './hardware-target.js';

const UNKNOWN = { another: undefined, remarks: [] } as const;

export interface HardwareOptions {
  /** The device of the session; undefined where the trace does not tell. */
  readonly recorded: DeviceDefinition | undefined;
  readonly allowDma: boolean;
  /** Also when the device is another one than the recorded. */
  readonly force: boolean;
  /** Nothing is opened. */
  readonly dryRun: boolean;
  readonly masks: Masks;
}

export interface OpenedHardware {
  readonly target: Target;
  readonly guard: Guard;
  /** What the user should know and what stops nothing. */
  readonly remarks: readonly string[];
}

/** Throws UserError: no such device, another device, or DMA that nothing would contain. */
export function openHardware(name: string, options: HardwareOptions): OpenedHardware {
  const device = findHardware(name);
  const { recorded } = options;
  const { another, remarks } =
    recorded === undefined ? UNKNOWN : compareDevices(recorded, device, device.bdf);
  if (another !== undefined && !options.force)
    throw new UserError(`${another}; --force reissues the session all the same`);
  if (device.noiommu && options.allowDma)
    throw new UserError(
      `${device.bdf} has no IOMMU: --allow-dma would let it write to addresses of another machine's memory`,
    );
  const label = `hardware:${device.bdf}`;
  const target = options.dryRun ? new DryRunTarget({ ...device, label }) : new HardwareTarget(device);
  let known = device.config.length >= STANDARD_CONFIG_BYTES ? new ConfigSpace(device.config) : undefined;
  const config = () => {
    // An ordinary user may read no more than the header there.
    if (known === undefined && target instanceof HardwareTarget) {
      const bytes = target.config();
      if (bytes !== undefined) known = new ConfigSpace(bytes);
    }
    return known;
  };
  if (options.dryRun) known ??= new ConfigSpace(recorded?.config);
  const guard = new Guard(options.allowDma, options.masks, config);
  return { target, guard, remarks: another === undefined ? remarks : [another] };
}
