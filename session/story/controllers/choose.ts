// SPDX-License-Identifier: Apache-2.0
import { registerMapFor } from '../../../abi/registers/choose.js';
import { isVirtio } from '../../../abi/registers/virtio.js';
import type { DeviceDefinition } from '../../../traces/model.js';
import type { Controller } from './controller.js';
import { ethernet } from './ethernet.js';
import { nvme } from './nvme.js';
import { virtio } from './virtio.js';

export function controllerOf(definition: DeviceDefinition | undefined): Controller | undefined {
  const { vendor = 0, device = 0, classCode = 0 } = definition ?? {};
  const identity = { vendor, device, classCode };
  if (isVirtio(identity)) return virtio();
  switch (registerMapFor(identity)?.name) {
    case 'nvme':
      return nvme();
    case 'e1000':
    case 'e1000e':
    case 'igb':
      return ethernet();
    default:
      return undefined;
  }
}
