// SPDX-License-Identifier: Apache-2.0
/** Whether a session's device and the one that it is reissued on are of a kind. */
import { hexWidth } from '../../abi/text.js';
import type { DeviceDefinition } from '../../traces/model.js';

export type DeviceIds = Pick<
  DeviceDefinition,
  'vendor' | 'device' | 'classCode' | 'subsystemVendor' | 'subsystemDevice' | 'revision'
>;

/** 24 bits. */
const CLASS = 0xff_ffff;

const NAMES = {
  subsystemVendor: 'subsystem vendor',
  subsystemDevice: 'subsystem id',
  revision: 'revision',
} as const;

function text({ vendor, device, classCode }: DeviceIds): string {
  const ids = [vendor, device].map((id) => hexWidth(BigInt(id), 2).slice(2)).join(':');
  return `${ids}, class ${hexWidth(BigInt(classCode & CLASS), 3)}`;
}

/** In words: `another` when it is another device, `remarks` for what differs within a kind. */
export function compareDevices(
  recorded: DeviceDefinition,
  here: DeviceIds,
  name: string,
): { readonly another: string | undefined; readonly remarks: readonly string[] } {
  // Whoever recorded where sysfs was out of reach does not know.
  if (recorded.vendor === 0) return { another: undefined, remarks: [] };
  const isAnother =
    recorded.vendor !== here.vendor ||
    recorded.device !== here.device ||
    (recorded.classCode & CLASS) !== (here.classCode & CLASS);
  if (isAnother)
    return { another: `${name} is ${text(here)}; the recorded device was ${text(recorded)}`, remarks: [] };
  const others = (['subsystemVendor', 'subsystemDevice', 'revision'] as const).filter(
    (field) => recorded[field] !== here[field],
  );
  const hex = (number: number): string => `0x${number.toString(16)}`;
  return {
    another: undefined,
    remarks: others.map(
      (field) => `the ${NAMES[field]} is ${hex(here[field])}, and was ${hex(recorded[field])}`,
    ),
  };
}
