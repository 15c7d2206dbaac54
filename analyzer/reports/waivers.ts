// SPDX-License-Identifier: Apache-2.0
/**
 * Findings that somebody answers for: `{ "waivers": [{ "rule": "RST-001", "device": "0000:00:04.0", "reason": "…",
 * "expires": "2027-01-31" }] }`. A waiver fits by rule, and by device and fingerprint where it names them.
 */
import { UserError } from '../../abi/user-error.js';
import type { Finding } from '../check/finding.js';
import { findRule } from '../rules/rules.js';
import { isObject, parseJsonFile } from './json-file.js';

interface Waiver {
  readonly rule: string;
  readonly device: string | undefined;
  readonly fingerprint: string | undefined;
  readonly reason: string;
  /** The last day on which it holds, `2027-01-31`. */
  readonly expires: string;
}

const KEYS: ReadonlySet<string> = new Set(['rule', 'device', 'fingerprint', 'reason', 'expires']);
/** One that is in the calendar: V8 takes the 31st of February for the 3rd of March. */
function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const time = Date.parse(text);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

export class Waivers {
  readonly #waivers: readonly Waiver[];
  readonly #used = new Set<Waiver>();
  readonly #today: string;

  constructor(waivers: readonly Waiver[], today: string) {
    this.#waivers = waivers;
    this.#today = today;
  }

  /** The reason, when one fits and has not expired. */
  reasonFor({ rule, bdf, fingerprint }: Pick<Finding, 'rule' | 'bdf' | 'fingerprint'>): string | undefined {
    let reason: string | undefined;
    for (const waiver of this.#waivers) {
      if (waiver.rule !== rule) continue;
      if (waiver.device !== undefined && waiver.device !== bdf) continue;
      if (waiver.fingerprint !== undefined && waiver.fingerprint !== fingerprint) continue;
      this.#used.add(waiver);
      if (waiver.expires >= this.#today) reason ??= waiver.reason;
    }
    return reason;
  }

  remarks(): readonly string[] {
    return this.#waivers.flatMap((waiver) => {
      const { rule, device, expires } = waiver;
      const what = `the waiver of ${rule}${device === undefined ? '' : ` for ${device}`}`;
      if (!this.#used.has(waiver)) return [`${what} fits no finding`];
      return expires < this.#today ? [`${what} expired on ${expires}`] : [];
    });
  }
}

/** `today`: as a waiver writes it. Throws UserError with the waiver's place in the file. */
export function parseWaivers(text: string, file: string, today: string): Waivers {
  const whole = parseJsonFile(text, file, 'docs/check.md shows a file of waivers');
  const list = isObject(whole) ? whole['waivers'] : undefined;
  if (!Array.isArray(list)) throw new UserError(`${file}: "waivers" must be a list; docs/check.md shows one`);
  return new Waivers(
    list.map((entry: unknown, i) => parseWaiver(entry, `${file}: waiver ${i + 1}`)),
    today,
  );
}

function parseWaiver(entry: unknown, where: string): Waiver {
  if (!isObject(entry)) throw new UserError(`${where} must be an object with rule, reason and expires`);
  for (const key of Object.keys(entry)) {
    if (!KEYS.has(key))
      throw new UserError(`${where}: unknown key '${key}'; known are ${[...KEYS].join(', ')}`);
  }
  const text = (key: string): string | undefined => {
    const value = entry[key];
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value.trim() === '')
      throw new UserError(`${where}: '${key}' must be a text`);
    return value;
  };
  const needed = (key: string): string => {
    const value = text(key);
    if (value === undefined) throw new UserError(`${where} lacks '${key}'`);
    return value;
  };
  const rule = needed('rule');
  if (findRule(rule) === undefined)
    throw new UserError(`${where}: no rule '${rule}'; vfiotape rules lists them`);
  const expires = needed('expires');
  if (!isDay(expires))
    throw new UserError(`${where}: 'expires' must be a day like 2027-01-31, not '${expires}'`);
  return {
    rule,
    expires,
    reason: needed('reason'),
    device: text('device'),
    fingerprint: text('fingerprint'),
  };
}
