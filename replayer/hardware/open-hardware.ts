// SPDX-License-Identifier: Apache-2.0
/** Looks whether a session may be reissued on a device of this machine, before anything of it is touched. */
import { ConfigSpace } from '../../abi/pci/config-space.js';
import { hexWidth } from '../../abi/text.js';
import { UserError } from '../../abi/user-error.js';
import type { DeviceDefinition } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { Guard } from '../replay/guard.js';
import type { Masks } from '../replay/masks.js';
import type { Target } from '../replay/target.js';
import { DryRunTarget } from './dry-run.js';
import { findHardware, type HardwareDevice } from './find-device.js';
import { HardwareTarget, STANDARD_CONFIG_BYTES } from './hardware-target.js';

export interface HardwareOptions {
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
export function openHardware(trace: Trace, name: string, options: HardwareOptions): OpenedHardware {
  const device = findHardware(name);
  const [recorded] = trace.definitions.devices.values();
  const remarks = recorded === undefined ? [] : compareIds(recorded, device, options.force);
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
  return { target, guard: new Guard(options.allowDma, options.masks, config), remarks };
}

type Ids = Pick<HardwareDevice, 'vendor' | 'device' | 'classCode'>;

function compareIds(recorded: DeviceDefinition, here: HardwareDevice, force: boolean): readonly string[] {
  const text = ({ vendor, device, classCode }: Ids) =>
    `${hexWidth(BigInt(vendor), 2).slice(2)}:${hexWidth(BigInt(device), 2).slice(2)}, class ${hexWidth(BigInt(classCode), 3)}`;
  const differ = (a: number, b: number) => a !== b;
  if (
    differ(recorded.vendor, here.vendor) ||
    differ(recorded.device, here.device) ||
    differ(recorded.classCode, here.classCode)
  ) {
    const what = `${here.bdf} is ${text(here)}; the recorded device was ${text(recorded)}`;
    if (!force) throw new UserError(`${what}; --force reissues the session all the same`);
    return [what];
  }
  const other = (['subsystemVendor', 'subsystemDevice', 'revision'] as const).filter((field) =>
    differ(recorded[field], here[field]),
  );
  const names = {
    subsystemVendor: 'subsystem vendor',
    subsystemDevice: 'subsystem id',
    revision: 'revision',
  };
  return other.map(
    (field) =>
      `the ${names[field]} is 0x${here[field].toString(16)}, and was 0x${recorded[field].toString(16)}`,
  );
}
