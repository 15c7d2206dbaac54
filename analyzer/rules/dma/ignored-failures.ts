// SPDX-License-Identifier: Apache-2.0
/**
 * Requests to map that were refused. A driver may try on purpose, and try otherwise then: only one that goes on as if
 * nothing had been, with the device in that address space in use, has ignored the failure.
 */
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { RuleCheck, RuleWatch } from '../../check/rule.js';
import { type MapRequest, onMap } from './requests.js';

export interface IgnoredFailure {
  readonly request: MapRequest;
  readonly event: number;
  readonly errno: number;
  /** A later event in which the device was used. */
  readonly used: number;
}

/** So many refused requests are remembered in all. */
const REMEMBERED = 4096;

/**
 * `wanted`: whether a refused request is the rule's business; `tell`: for each that was ignored. Memory that was
 * mapped later by another request (another IOVA, or after room was made) was not.
 */
export function watchIgnored(
  check: RuleCheck,
  wanted: (request: MapRequest, errno: number) => boolean,
  tell: (failure: IgnoredFailure) => void,
): RuleWatch {
  interface Failure {
    readonly request: MapRequest;
    readonly event: number;
    readonly errno: number;
  }
  const failures = new Map<DmaSpace, Failure[]>();
  let held = 0;
  /** Which devices of the space were used after the failure; those that are closed by now, too. */
  const usedAfter = (space: DmaSpace, event: number): number | undefined => {
    for (const device of check.story.devices.values())
      if (check.story.spaces.of(device.id) === space && device.accessEvent > event) return device.accessEvent;
    return undefined;
  };
  const settle = (space: DmaSpace): void => {
    for (const failure of failures.get(space) ?? []) {
      const used = usedAfter(space, failure.event);
      if (used !== undefined) tell({ ...failure, used });
    }
    held -= failures.get(space)?.length ?? 0;
    failures.delete(space);
  };
  const gone = (objects: readonly number[]): void => {
    for (const object of failures.size === 0 ? [] : objects) {
      // While a device is closed it is still in its space; a group that left its container is not.
      const left = check.story.devices.has(object) ? check.story.spaces.of(object) : undefined;
      for (const space of [...failures.keys()]) if (space.object === object || space === left) settle(space);
    }
  };
  return {
    ioctl: onMap(check.story, (request, { ok, event }) => {
      check.judged();
      const { space } = request;
      const before = failures.get(space);
      if (ok) {
        if (before === undefined) return;
        const left = before.filter((failure) => failure.request.vaddr !== request.vaddr);
        held -= before.length - left.length;
        if (left.length > 0) failures.set(space, left);
        else failures.delete(space);
        return;
      }
      if (!wanted(request, event.errno) || held >= REMEMBERED) return;
      held++;
      const failure = { request, event: event.number, errno: event.errno };
      if (before === undefined) failures.set(space, [failure]);
      else before.push(failure);
    }),
    on: {
      close: (step) => gone(step.gone),
      exit: (step) => gone(step.gone),
    },
    end: () => {
      for (const space of [...failures.keys()]) settle(space);
    },
  };
}
