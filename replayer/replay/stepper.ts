// SPDX-License-Identifier: Apache-2.0
/** A replay under somebody's hand: one operation at a time, with a look at the device and at what is open in between. */
import type { PlacedRegister } from '../../abi/register-access.js';
import { touchedText } from '../../abi/register-access.js';
import { escapeText, hex, hexWidth } from '../../abi/text.js';
import { UserError } from '../../abi/user-error.js';
import { CONFIG_REGION, regionName } from '../../abi/vfio/regions.js';
import type { DeviceState } from '../../session/device.js';
import { compileFilter, type Filter } from '../../session/filter/compile.js';
import type { OpenDevice } from './counterparts.js';
import type { ReplayReport } from './divergence.js';
import type { Progress, Replay } from './replay.js';
import type { AccessWidth } from './target.js';

export const STEP_HELP = `  next [N]          the next operation, or N of them (n, or an empty line)
  continue [EXPR]   until something diverges, or an event fits EXPR (c)
  register NAME     read a register of the device now: CSTS, config Command, BAR0+0x1c (r)
  state             what is open, mapped and routed here (s)
  quit              stop here; the device is reset (q)
`;

const REGISTER = /^(?:(BAR[0-5]|ROM|VGA|config)(?:\+(0x[0-9a-f]+|\d+))?)?\s*(\S*)$/i;
const NAMED_BYTES = 0x4000;
const WIDTHS: ReadonlySet<number> = new Set([1, 2, 4, 8]);

export class Stepper {
  readonly #replay: Replay;
  readonly #running: Generator<Progress, ReplayReport, undefined>;
  #report: ReplayReport | undefined;

  /** The replay must be one that narrates. */
  constructor(replay: Replay) {
    this.#replay = replay;
    this.#running = replay.run();
  }

  /** Once the session is at its end, or was left. */
  get report(): ReplayReport | undefined {
    return this.#report;
  }

  /** What there is to say to a command line. Mistakes are said, too, and change nothing. */
  command(line: string): string {
    const [word = '', ...rest] = line.trim().split(/\s+/);
    const argument = rest.join(' ');
    try {
      switch (word) {
        case '':
        case 'n':
        case 'next':
          return this.#next(argument);
        case 'c':
        case 'continue':
          return this.#continue(argument);
        case 'r':
        case 'register':
          return this.#register(argument);
        case 's':
        case 'state':
          return this.#state();
        case 'q':
        case 'quit':
          this.leave();
          return '';
        case 'h':
        case '?':
        case 'help':
          return STEP_HELP;
        default:
          return `there is no command '${escapeText(word)}'; help lists them\n`;
      }
    } catch (error) {
      if (error instanceof UserError) return `${error.message}\n`;
      throw error;
    }
  }

  /** No further: the report is of what was done. */
  leave(): void {
    this.#replay.stop(`by the user, after event ${this.#replay.account.event}`);
    while (this.#report === undefined) this.#advance();
  }

  #advance(): boolean {
    const step = this.#running.next();
    if (step.done === true) {
      this.#report = step.value;
      return false;
    }
    return step.value.idleNs === 0;
  }

  #shown(): string {
    const { narrator, account } = this.#replay;
    return `${narrator?.line ?? ''}\n${account.notes.map((note) => `         ${escapeText(note)}\n`).join('')}`;
  }

  #next(argument: string): string {
    const count = argument === '' ? 1 : Number(argument);
    if (!(Number.isSafeInteger(count) && count > 0)) throw new UserError('next takes a number of operations');
    let text = '';
    for (let done = 0; done < count && this.#report === undefined; ) {
      if (!this.#advance()) continue;
      text += this.#shown();
      done++;
    }
    return text;
  }

  #continue(argument: string): string {
    const filter: Filter | undefined = argument === '' ? undefined : compileFilter(argument);
    const { account, narrator } = this.#replay;
    const before = account.found;
    while (this.#report === undefined) {
      if (!this.#advance()) continue;
      const wanted = filter === undefined ? account.found > before : narrator?.matches(filter) === true;
      if (wanted) return this.#shown();
    }
    return '';
  }

  #openDevice(): { readonly device: OpenDevice; readonly state: DeviceState } {
    for (const [object, device] of this.#replay.counterparts.devices) {
      const state = this.#replay.session.device(object);
      if (state !== undefined && this.#replay.counterparts.fds.has(object)) return { device, state };
    }
    throw new UserError('no device is open now');
  }

  #register(argument: string): string {
    const [, where, at, name = ''] = REGISTER.exec(argument) ?? [];
    if (where === undefined && name === '')
      throw new UserError('register takes a name, like CSTS or BAR0+0x1c');
    const { device, state } = this.#openDevice();
    const regions = [...Array(6).keys(), CONFIG_REGION].filter(
      (region) => where === undefined || regionName(region).toLowerCase() === where.toLowerCase(),
    );
    for (const region of regions) {
      const placed = at === undefined ? named(state, region, name) : state.lookup(region)(Number(at));
      if (placed === undefined && at === undefined) continue;
      const offset = at === undefined ? (placed?.start ?? 0) : Number(at);
      const width = placed !== undefined && WIDTHS.has(placed.register.width) ? placed.register.width : 4;
      const { mapping, start } = device.place(region, offset, width);
      const value = mapping.load(offset - start, width as AccessWidth);
      const place = `${regionName(region)}+${hex(offset)}`;
      if (value === undefined) return `${place}: the device does not answer\n`;
      const text = touchedText(state.lookup(region), offset, width, value);
      return `${place}${text === '' ? ` = ${hexWidth(value, width)}` : text}\n`;
    }
    throw new UserError(
      `no register is named '${escapeText(argument)}'; write REGION+OFFSET, like BAR0+0x1c`,
    );
  }

  #state(): string {
    const { account, counterparts, session } = this.#replay;
    const lines = [
      `after event ${account.event}: ${account.operations} operations, ${account.found} divergences`,
    ];
    for (const [object, fd] of counterparts.fds) lines.push(`  ${session.names.label(object)}: fd ${fd}`);
    for (const [object, { mappings }] of counterparts.devices)
      for (const [region, list] of mappings.entries())
        for (const { start, end } of list ?? [])
          lines.push(
            `  ${session.names.name(object)} ${regionName(region)}+${hex(start)} to ${hex(end)}: mapped`,
          );
    for (const [object] of counterparts.eventfds) {
      const route = session.interrupts.of(object);
      if (route !== undefined)
        lines.push(
          `  ${session.names.name(object)}: ${session.names.name(route.device)} irq ${route.index}[${route.vector}]`,
        );
    }
    lines.push(`  ${counterparts.mapped} mappings for DMA`);
    return `${lines.join('\n')}\n`;
  }
}

function named(state: DeviceState, region: number, name: string): PlacedRegister | undefined {
  const lookup = state.lookup(region);
  const wanted = name.toLowerCase();
  for (let offset = 0; offset < NAMED_BYTES; offset++) {
    const placed = lookup(offset);
    if (placed?.name.toLowerCase() === wanted) return placed;
  }
  return undefined;
}
