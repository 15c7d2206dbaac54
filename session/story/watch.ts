// SPDX-License-Identifier: Apache-2.0
/** Several who follow one session in the same pass: rules, charts, phases. */
import type { AccessHandler, AccessPoint, EventfdHandler, EventfdPoint } from './bulk.js';
import type { IoctlStep, Step, StepOf, StepType } from './steps.js';
import type { Story } from './story.js';

/** What one of them wants to be told of. */
export interface StoryWatch {
  /** By its name in C, whether it succeeded or not. */
  readonly ioctl?: Readonly<Record<string, (step: IoctlStep) => void>>;
  readonly on?: { readonly [T in StepType]?: (step: StepOf<T>) => void };
  /** Asked for each place in a device's memory, and again when the device's condition changes (DeviceLife.epoch). */
  access?(point: AccessPoint): AccessHandler | undefined;
  eventfd?(point: EventfdPoint): EventfdHandler | undefined;
  /** The recording is over. */
  end?(): void;
}

/** Follows the story from its start to its end, once for all of them. */
export function followAll(story: Story, watches: readonly StoryWatch[]): void {
  const byType = new Map<StepType, ((step: Step) => void)[]>();
  const byIoctl = new Map<string, ((step: IoctlStep) => void)[]>();
  for (const { on = {}, ioctl = {} } of watches) {
    // Each handler is called with the step of its own type only.
    for (const [type, handler] of Object.entries(on)) {
      push(byType, type as StepType, handler as (step: Step) => void);
    }
    for (const [name, handler] of Object.entries(ioctl)) push(byIoctl, name, handler);
  }
  story.follow({
    step(step) {
      for (const handler of byType.get(step.type) ?? []) handler(step);
      if (step.type === 'ioctl') for (const handler of byIoctl.get(step.name) ?? []) handler(step);
    },
    access: (point) => collected<AccessHandler>(watches, (watch) => watch.access?.(point)),
    eventfd: (point) => collected<EventfdHandler>(watches, (watch) => watch.eventfd?.(point)),
  });
  for (const watch of watches) watch.end?.();
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function collected<T>(
  watches: readonly StoryWatch[],
  ask: (watch: StoryWatch) => T | undefined,
): readonly T[] {
  const found: T[] = [];
  for (const watch of watches) {
    const handler = ask(watch);
    if (handler !== undefined) found.push(handler);
  }
  return found;
}
