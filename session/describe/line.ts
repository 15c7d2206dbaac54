// SPDX-License-Identifier: Apache-2.0
import { escapeText } from '../../abi/text.js';
import type { Event } from '../../traces/model.js';
import type { DefinitionMaps } from '../../traces/reader.js';
import type { ObjectNames } from '../object-names.js';
import { isRedacted } from '../payloads.js';
import type { Description } from './description.js';
import type { SiteNames } from './site.js';
import { durationText, timeText } from './time.js';

const NUMBER_WIDTH = 7;
const TIME_WIDTH = 14;
// 'device0 0000:00:04.0'
const OBJECT_WIDTH = 20;

/**
 * One event, one line:
 * `     12      34.567us  4711/4713  device0 0000:00:04.0  VFIO_DEVICE_RESET = 0 <1.203ms> @driver+0x1234`
 */
export class LineWriter {
  readonly #definitions: DefinitionMaps;
  readonly #names: ObjectNames;
  readonly #sites: SiteNames;
  readonly #threads = new Map<number, string>();
  /** Whether each line says which thread it was. */
  readonly showThread: boolean;

  constructor(definitions: DefinitionMaps, names: ObjectNames, sites: SiteNames, showThread: boolean) {
    this.#definitions = definitions;
    this.#names = names;
    this.#sites = sites;
    this.showThread = showThread;
  }

  line(event: Event, description: Description): string {
    const number = String(event.number).padStart(NUMBER_WIDTH);
    const thread = this.showThread ? `  ${this.#thread(event.thread)}` : '';
    const text = `${number}  ${timeText(event.time).padStart(TIME_WIDTH)}${thread}  ${this.content(event, description)}`;
    const site = this.#sites.name(event.site, event.kind);
    return site === undefined ? text : `${text} @${site}`;
  }

  /** Without number, time and call site. */
  content(event: Event, description: Description): string {
    let text = `${this.#names.label(event.object).padEnd(OBJECT_WIDTH)}  ${description.text}${isRedacted(event) ? ' (withheld)' : ''}`;
    if (description.result !== undefined) text += ` = ${description.result}`;
    if (event.duration > 0) text += ` <${durationText(event.duration)}>`;
    return text;
  }

  #thread(id: number): string {
    let text = this.#threads.get(id);
    if (text === undefined) {
      const thread = this.#definitions.threads.get(id);
      if (thread === undefined) return `?/${id}`;
      const pid = this.#definitions.processes.get(thread.process)?.pid ?? '?';
      text = escapeText(`${pid}/${thread.tid}`);
      this.#threads.set(id, text);
    }
    return text;
  }
}
