// SPDX-License-Identifier: Apache-2.0
import {
  attributeNumber,
  LYON_ATTRIBUTES,
  LYON_MESSAGES,
  LYON_SUSPEND_REPLY_MS,
  lyonDeviceOf,
  type NetlinkMessage,
} from '../../../abi/lyon2010/netlink.js';
import { durationText } from '../../../session/describe/time.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import { type Moment, momentOf } from '../../../session/story/moment.js';
import type { Rule, RuleCheck } from '../../check/rule.js';
import { onGone } from '../gone.js';

const { REMOVE, PM_SUSPEND, PM_RESUME, REGISTER, PM_SUSPEND_REPLY } = LYON_MESSAGES;
const WANTED = [
  ['REMOVE', REMOVE],
  ['PM_SUSPEND', PM_SUSPEND],
] as const;
/** A driver that was told to let go of its device is through with that by then. */
const LET_GO_NS = 10e9;
const SUSPEND_NS = LYON_SUSPEND_REPLY_MS * 1e6;
/** Traces of earlier versions have no sends and receives in them (FORMAT.md). */
const FIRST_MINOR = 2;

export const LYON_002: Rule = {
  id: 'LYON-002',
  title: 'A driver registers for REMOVE and PM_SUSPEND, and answers (2010)',
  severity: 'note',
  profiles: { driver: 'off', vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `The mail called hot-plug and suspend "way down the priority list"; the later versions of 2010 had them, by generic netlink. Who does not register keeps the host's removal of the device waiting for ever
(vfio_remove waits for the last close), and vetoes every suspend of the machine (vfio_pm_suspend: a driver that can't be told).`,
  sources: [
    'Lyon 2010, vfio_netlink.c: vfio_nl_user_register, vfio_nl_remove, vfio_nl_pm_suspend_reply',
    'Lyon 2010, vfio_main.c: vfio_remove, vfio_pm_suspend',
    'Lyon, June 2010: "[ Re: Hotplug and Suspend/Resume]"',
  ],
  decided: `Until the device was closed no VFIO_MSG_REGISTER for it had the bits of REMOVE and PM_SUSPEND; or REMOVE was received, and the device was open for another 10 s; or PM_SUSPEND was received, and no
PM_SUSPEND_REPLY followed within 5 s.`,
  wrongWhen:
    'The device is never removed, and the machine never sleeps. Netlink is seen on simulated machines; elsewhere the answer is unknown.',
  compliant: 'Register, close the device at REMOVE, answer PM_SUSPEND with PM_SUSPEND_REPLY within 5 s.',
  watch: (check) => {
    const heard = new Heard(check);
    return {
      on: {
        ...onGone(check.story, (device, now) => heard.ended(device, now)),
        'netlink-send': ({ event, ok, messages }) => {
          if (ok) for (const message of messages) heard.sent(message, momentOf(event));
        },
        'netlink-receive': ({ event, messages }) => {
          for (const message of messages) heard.received(message, momentOf(event));
        },
      },
      end: () => {
        for (const device of check.story.devices.values())
          if (device.closed === undefined) heard.ended(device, check.story.latest);
      },
    };
  },
};

/** What was said about each device, by its address. */
class Heard {
  readonly #check: RuleCheck;
  readonly #wanted = new Map<string, bigint>();
  readonly #removed = new Map<string, Moment>();
  readonly #asked = new Map<string, Moment>();
  readonly #late = new Map<string, { readonly asked: Moment; readonly until: Moment }>();

  constructor(check: RuleCheck) {
    this.#check = check;
  }

  sent(message: NetlinkMessage, now: Moment): void {
    const name = lyonDeviceOf(message);
    if (name === undefined) return;
    if (message.command === REGISTER) {
      const wanted = attributeNumber(message, LYON_ATTRIBUTES.MSGCAP) ?? 0n;
      this.#wanted.set(name, (this.#wanted.get(name) ?? 0n) | wanted);
    }
    if (message.command === PM_SUSPEND_REPLY) this.#settle(name, now);
  }

  received(message: NetlinkMessage, now: Moment): void {
    const name = lyonDeviceOf(message);
    if (name === undefined) return;
    if (message.command === REMOVE && !this.#removed.has(name)) this.#removed.set(name, now);
    if (message.command === PM_SUSPEND) {
      this.#settle(name, now);
      this.#asked.set(name, now);
    }
    // The kernel has given up waiting, unless it is so soon that another driver kept the machine awake.
    if (message.command === PM_RESUME) this.#settle(name, now, SUSPEND_NS / 2);
  }

  /** A suspend was answered, or will not be any more. */
  #settle(name: string, now: Moment, most = SUSPEND_NS): void {
    const asked = this.#asked.get(name);
    this.#asked.delete(name);
    if (asked !== undefined && now.time - asked.time > most && !this.#late.has(name))
      this.#late.set(name, { asked, until: now });
  }

  ended(device: DeviceLife, now: Moment): void {
    if (!device.isLyon) return;
    const { header } = this.#check.story.trace;
    if (header.modes.backend !== 'simulated' || header.versionMinor < FIRST_MINOR) {
      this.#check.unknown('what a driver says on netlink sockets was not recorded');
      return;
    }
    const name = device.definition?.bdf ?? '';
    this.#check.judged();
    const wanted = this.#wanted.get(name) ?? 0n;
    const missing = WANTED.filter(([, bit]) => (wanted & (1n << BigInt(bit))) === 0n).map(([word]) => word);
    const opened = { event: device.opened.event, note: 'opened' };
    if (missing.length > 0)
      this.#check.report({
        key: `not registered for ${missing.join(', ')}`,
        device,
        message: `the driver did not register for ${missing.join(' and ')}: ${consequence(missing)}`,
        evidence: [{ event: now.event, note: 'until here' }, opened],
      });
    const removed = this.#removed.get(name);
    if (removed !== undefined && now.time - removed.time > LET_GO_NS)
      this.#check.report({
        key: 'REMOVE ignored',
        device,
        message: `the device was open for another ${durationText(now.time - removed.time)} after REMOVE was received`,
        evidence: [
          { event: now.event, note: 'until here' },
          { event: removed.event, note: 'REMOVE' },
        ],
      });
    this.#settle(name, now);
    const late = this.#late.get(name);
    if (late !== undefined)
      this.#check.report({
        key: 'PM_SUSPEND not answered',
        device,
        message: `PM_SUSPEND had no answer within ${LYON_SUSPEND_REPLY_MS / 1000} s: the machine stays awake`,
        evidence: [
          { event: late.until.event, note: 'until here' },
          { event: late.asked.event, note: 'PM_SUSPEND' },
        ],
      });
    for (const map of [this.#removed, this.#asked, this.#late]) map.delete(name);
  }
}

function consequence(missing: readonly string[]): string {
  const [first, second] = missing;
  const waits = 'nobody can take the device away from it';
  const sleeps = 'the machine can not sleep while it runs';
  if (second !== undefined) return `${waits}, and ${sleeps}`;
  return first === 'REMOVE' ? waits : sleeps;
}
