// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

export const LYON_002: Rule = {
  id: 'LYON-002',
  title: 'A driver registers for REMOVE and PM_SUSPEND, and answers (2010)',
  severity: 'note',
  profiles: { driver: 'off', vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'guessed',
  why: `The mail called hot-plug and suspend "way down the priority list"; the later versions of 2010 had them, by generic netlink. Who does not register keeps the host's removal of the device waiting for ever
(vfio_remove waits for the last close), and vetoes every suspend of the machine (vfio_pm_suspend: a driver that can't be told).`,
  sources: [
    'Lyon 2010, vfio_netlink.c: vfio_nl_user_register, vfio_nl_remove',
    'Lyon 2010, vfio_main.c: vfio_remove, vfio_pm_suspend',
    'Lyon, June 2010: "[ Re: Hotplug and Suspend/Resume]"',
  ],
  decided: 'By reading the driver: VFIO_MSG_REGISTER with 1 << VFIO_MSG_REMOVE and 1 << VFIO_MSG_PM_SUSPEND.',
  wrongWhen: 'The device is never removed, and the machine never sleeps.',
  compliant: 'Register, close the device at REMOVE, answer PM_SUSPEND with PM_SUSPEND_REPLY within 5 s.',
  watch: 'what a driver says on netlink sockets is not recorded',
};
