// SPDX-License-Identifier: Apache-2.0
import type { Event } from '../traces/model.js';
import type { Descriptors } from './descriptors.js';
import type { DeviceState } from './device.js';
import type { DmaMapping, DmaMaps } from './dma.js';
import type { InterruptRoutes } from './interrupts.js';
import type { MappedRegion } from './mappings.js';

interface DmaChange {
  readonly object: number;
  /** 0 for a container. */
  readonly ioas: number;
  readonly start: bigint;
  readonly length: bigint;
}

/** What an event did to the state, for whoever follows along. */
export type Change =
  | { readonly type: 'region'; readonly device: DeviceState; readonly index: number }
  | { readonly type: 'interrupt'; readonly device: number; readonly index: number }
  | ({ readonly type: 'dma-map'; readonly mapping: DmaMapping } & DmaChange)
  /** `mappings`: what was mapped there, whole even where only a part of it went. */
  | ({ readonly type: 'dma-unmap'; readonly mappings: readonly DmaMapping[] } & DmaChange)
  | { readonly type: 'mapped'; readonly mapping: MappedRegion }
  | { readonly type: 'unmapped'; readonly mappings: readonly MappedRegion[] };

export type ChangeListener = (change: Change, event: Event) => void;

/** What the effects of a call may touch. */
export interface SessionContext {
  readonly descriptors: Descriptors;
  readonly interrupts: InterruptRoutes;
  readonly dma: DmaMaps;
  device(object: number): DeviceState | undefined;
  processOf(event: Event): number;
  notify(change: Change, event: Event): void;
}
