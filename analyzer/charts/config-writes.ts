// SPDX-License-Identifier: Apache-2.0
/** Which registers of configuration space the driver wrote, how often, and which of these writes changed something. */
import { hexWidth } from '../../abi/text.js';
import type { DeviceLife } from '../../session/story/device-life.js';
import type { ConfigStep } from '../../session/story/steps.js';
import type { Chart, ChartMaker } from './chart.js';
import { devicePrefix } from './device-prefix.js';
import { bars, barsHeight } from './frame/bars.js';
import { legend } from './frame/legend.js';
import { countText } from './frame/units.js';

interface Register {
  readonly device: DeviceLife;
  readonly offset: number;
  readonly name: string;
  /** The value that it was known to hold was another one, or was not known. */
  changing: number;
  /** What it was known to hold already. */
  same: number;
  failed: number;
}

const CHANGED = 'changed something';
const SAME = 'wrote what it held';
const FAILED = 'failed';

const ROWS = 40;
const LEGEND = 26;

export const configWrites: ChartMaker = (story) => {
  const registers = new Map<string, Register>();
  const write = (step: ConfigStep) => {
    const { device, offset, length, bytes, held, ok } = step;
    const { config } = device.state;
    // A write of four bytes to Command is one of Status, too.
    for (let at = offset; at < offset + Math.max(1, length); ) {
      const placed = config.lookup(at);
      const start = placed?.start ?? at;
      const next = Math.min(placed === undefined ? at + 1 : start + placed.register.width, offset + length);
      const key = `${story.session.names.device(device.id)?.bdf ?? device.id} ${start}`;
      let register = registers.get(key);
      if (register === undefined) {
        const name = placed?.name ?? 'not described';
        register = { device, offset: start, name, changing: 0, same: 0, failed: 0 };
        registers.set(key, register);
      }
      let same = true;
      for (let i = at - offset; i < next - offset; i++) if (held[i] !== bytes[i]) same = false;
      if (!ok) register.failed++;
      else if (same) register.same++;
      else register.changing++;
      if (placed === undefined) break;
      at = Math.max(at + 1, next);
    }
  };
  return {
    on: { 'config-write': write },
    charts: () =>
      registers.size === 0 ? [] : [draw([...registers.values()], ({ id }) => devicePrefix(story, id))],
  };
};

/** `prefix`: of names, where there are several devices. */
function draw(registers: readonly Register[], prefix: (device: DeviceLife) => string): Chart {
  const total = ({ changing, same, failed }: Register) => changing + same + failed;
  const writes = registers.reduce((sum, one) => sum + total(one), 0);
  const shown = [...registers]
    .sort((a, b) => total(b) - total(a))
    .slice(0, ROWS)
    .sort((a, b) => a.device.id - b.device.id || a.offset - b.offset);
  const nameOf = ({ device, offset, name }: Register) =>
    `${prefix(device)}${hexWidth(offset, offset > 0xff ? 2 : 1)} ${name}`;
  const most = shown.reduce((a, b) => (total(b) > total(a) ? b : a));
  const left = registers.length - shown.length;
  return {
    id: 'config-writes',
    title: 'Writes to configuration space, by register',
    summary: `${countText(writes, 'write')} to ${countText(registers.length, 'register')}; most to ${nameOf(most)} (${countText(total(most))}). A write to several registers counts for each.`,
    table: {
      columns: [
        { name: 'register' },
        { name: CHANGED, numeric: true },
        { name: SAME, numeric: true },
        { name: FAILED, numeric: true },
      ],
      rows: shown.map((one) => [
        nameOf(one),
        ...[one.changing, one.same, one.failed].map((count) => countText(count)),
      ]),
      ...(left > 0 && { rest: `${countText(left, 'more register')} with fewer writes` }),
    },
    height: barsHeight(shown.length, LEGEND),
    draw(canvas) {
      legend(
        canvas,
        [
          { mark: 'c1', text: CHANGED, count: (one: Register) => one.changing },
          { mark: 'c8', text: SAME, count: (one: Register) => one.same },
          { mark: 'bad', text: FAILED, count: (one: Register) => one.failed },
        ].filter(({ count }) => shown.some((one) => count(one) > 0)),
        8,
        4,
      );
      bars(
        canvas,
        shown.map((one) => ({
          name: nameOf(one),
          parts: [
            { value: one.changing, mark: 'c1', name: CHANGED },
            { value: one.same, mark: 'c8', name: SAME },
            { value: one.failed, mark: 'bad', name: FAILED },
          ],
        })),
        LEGEND,
      );
    },
  };
}
