// SPDX-License-Identifier: Apache-2.0
/**
 * The machine wants to sleep (vfio_main.c: vfio_pm_suspend, vfio_pm_resume): every driver whose device is open is asked, and
 * each can refuse, by its answer or by none. Drivers hear PM_RESUME whatever came of it, as PM_POST_SUSPEND follows a refused
 * PM_SUSPEND_PREPARE. The machine does not really sleep: devices keep what they had.
 */
import { LYON_SUSPEND_REPLY_MS } from '../../../abi/lyon2010/netlink.js';
import type { LyonDevice } from './lyon-device.js';
import type { LyonNetlink } from './netlink.js';

export interface SuspendOutcome {
  readonly sleeps: boolean;
  /** In words, for whoever wanted it. */
  readonly text: string;
}

export class Suspend {
  readonly outcome: Promise<SuspendOutcome>;

  constructor(netlink: LyonNetlink, devices: () => readonly LyonDevice[]) {
    this.outcome = new Promise((resolve) => {
      const names = devices()
        .filter(({ isOpen }) => isOpen)
        .map(({ name }) => name);
      const who = names.length === 0 ? 'no driver' : `the driver of ${names.join(', ')}`;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const end = (sleeps: boolean, text: string): void => {
        clearTimeout(timer);
        netlink.onReply = undefined;
        netlink.resume();
        resolve({ sleeps, text });
      };
      if (!netlink.suspend()) {
        end(false, `${who} has not registered for PM_SUSPEND`);
        return;
      }
      const answered = (): void => {
        if (!netlink.haveAllAnswered) return;
        const { mayAllSleep } = netlink;
        end(
          mayAllSleep,
          names.length === 0 ? 'no device is open' : `${who} ${mayAllSleep ? 'agreed' : 'refused'}`,
        );
      };
      netlink.onReply = answered;
      timer = setTimeout(
        () => end(false, `${who} did not answer within ${LYON_SUSPEND_REPLY_MS / 1000} s`),
        LYON_SUSPEND_REPLY_MS,
      );
      timer.unref();
      answered();
    });
  }
}
