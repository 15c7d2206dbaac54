// SPDX-License-Identifier: Apache-2.0
/** `--sim-kernel`: the variants that real kernels and machines show. */
import { UserError } from '../../abi/user-error.js';

export type KernelVersion = '6.12' | '6.1';
/** Which of VFIO's interfaces drivers find. */
export type KernelAbi = 'modern' | 'lyon2010';
export type IommuKind = 'intel' | 'amd' | 'virtio' | 'none';

export interface KernelVariant {
  readonly version: KernelVersion;
  readonly iommu: IommuKind;
  /** vfio_iommu_type1.allow_unsafe_interrupts and iommufd.allow_unsafe_interrupts */
  readonly unsafeInterrupts: boolean;
  /** vfio.enable_unsafe_noiommu_mode */
  readonly noiommu: boolean;
}

export const DEFAULT_VARIANT: KernelVariant = {
  version: '6.12',
  iommu: 'intel',
  unsafeInterrupts: false,
  noiommu: false,
};

const VERSIONS: readonly KernelVersion[] = ['6.12', '6.1'];
const IOMMUS: readonly IommuKind[] = ['intel', 'amd', 'virtio', 'none'];

/** `version=6.1,iommu=amd,unsafe-interrupts=on,noiommu=on`; what is not said is as in DEFAULT_VARIANT. */
export function parseVariant(text: string): KernelVariant {
  let variant = DEFAULT_VARIANT;
  for (const item of text.split(',').filter((part) => part !== '')) {
    const [name, value = ''] = item.split('=', 2);
    switch (name) {
      case 'version':
        variant = { ...variant, version: oneOf(item, value, VERSIONS) };
        break;
      case 'iommu':
        variant = { ...variant, iommu: oneOf(item, value, IOMMUS) };
        break;
      case 'unsafe-interrupts':
        variant = { ...variant, unsafeInterrupts: oneOf(item, value, ['on', 'off']) === 'on' };
        break;
      case 'noiommu':
        variant = { ...variant, noiommu: oneOf(item, value, ['on', 'off']) === 'on' };
        break;
      default:
        throw new UserError(
          `--sim-kernel: unknown '${item}'; known are version, iommu, unsafe-interrupts and noiommu`,
        );
    }
  }
  if (variant.iommu === 'none' && !variant.noiommu)
    throw new UserError('--sim-kernel: without an IOMMU, VFIO needs noiommu=on');
  return variant;
}

function oneOf<const T extends string>(item: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined)
    throw new UserError(`--sim-kernel: '${item}' should be one of ${allowed.join(', ')}`);
  return found;
}
