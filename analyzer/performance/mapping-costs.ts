// SPDX-License-Identifier: Apache-2.0
/** What mapping memory for DMA, and unmapping it, costs. */
import { type DmaArgument, dmaArgument } from '../../session/groups/dma-arguments.js';
import type { EventName } from '../../session/groups/event-name.js';
import { PayloadCursor } from '../../session/groups/follow.js';
import type { EventBatch } from '../../traces/columns.js';
import { PayloadRole } from '../../traces/model.js';

export interface MappingCost {
  readonly object: number;
  readonly operation: string;
  readonly argument: DmaArgument;
  calls: number;
  failed: number;
  bytes: number;
  /** ns, of those that succeeded. */
  total: number;
}

export class MappingCosts {
  readonly #costs = new Map<string, MappingCost>();
  readonly #payloads = new PayloadCursor();

  get all(): Iterable<MappingCost> {
    return this.#costs.values();
  }

  /** Undefined: it maps nothing. */
  of({ object, operation }: EventName): MappingCost | undefined {
    const argument = dmaArgument(operation);
    if (argument === undefined) return undefined;
    const key = `${object} ${operation}`;
    let cost = this.#costs.get(key);
    if (cost === undefined) {
      cost = { object, operation, argument, calls: 0, failed: 0, bytes: 0, total: 0 };
      this.#costs.set(key, cost);
    }
    return cost;
  }

  /** Rows in order. `duration`: ns. */
  add(cost: MappingCost, failed: boolean, duration: number, batch: EventBatch, row: number): void {
    cost.calls++;
    if (failed) {
      cost.failed++;
      return;
    }
    const { size, role } = cost.argument;
    const bytes =
      this.#payloads.number(batch, row, size, role) ??
      this.#payloads.number(batch, row, size, PayloadRole.IN);
    cost.bytes += bytes ?? 0;
    cost.total += duration;
  }
}
