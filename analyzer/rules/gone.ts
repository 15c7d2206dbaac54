// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../session/story/device-life.js';
import { type Moment, momentOf } from '../../session/story/moment.js';
import type { CloseStep, ExitStep } from '../../session/story/steps.js';
import type { Story } from '../../session/story/story.js';

/** For RuleWatch.on: each device whose last descriptor was closed, or went with its process. */
export function onGone(
  story: Story,
  look: (device: DeviceLife, moment: Moment, how: 'close' | 'exit') => void,
): { readonly close: (step: CloseStep) => void; readonly exit: (step: ExitStep) => void } {
  const each = ({ gone, event, type }: CloseStep | ExitStep): void => {
    for (const object of gone) {
      const device = story.devices.get(object);
      if (device !== undefined) look(device, momentOf(event), type);
    }
  };
  return { close: each, exit: each };
}
