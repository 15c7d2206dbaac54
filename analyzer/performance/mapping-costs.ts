// SPDX-License-Identifier: Apache-2.0
/** What mapping memory for DMA, and unmapping it, costs. */
import { IOAS_MAP, IOAS_UNMAP } from '../../abi/iommufd/ioas.js';
import { LYON_DMA_MAP } from '../../abi/lyon2010/ioctls.js';
import { DMA_MAP, DMA_UNMAP } from '../../abi/vfio/type1.js';
import type { EventName } from '../../session/groups/event-name.js';
import { PayloadCursor } from '../../session/groups/follow.js';
import type { EventBatch } from '../../traces/columns.js';
import { PayloadRole } from '../../traces/model.js';

interface FieldPlace {
  readonly at: number;
  readonly role: number;
}

/** Where the length of a mapping is in an ioctl's argument. */
const LENGTHS: Readonly<Record<string, FieldPlace>> = {
  VFIO_IOMMU_MAP_DMA: { at: DMA_MAP.fields.size.offset, role: PayloadRole.IN },
  VFIO_IOMMU_UNMAP_DMA: { at: DMA_UNMAP.fields.size.offset, role: PayloadRole.OUT },
  IOMMU_IOAS_MAP: { at: IOAS_MAP.fields.length.offset, role: PayloadRole.IN },
  IOMMU_IOAS_UNMAP: { at: IOAS_UNMAP.fields.length.offset, role: PayloadRole.OUT },
  VFIO_DMA_MAP_IOVA: { at: LYON_DMA_MAP.fields.size.offset, role: PayloadRole.IN },
  VFIO_DMA_MAP_ANYWHERE: { at: LYON_DMA_MAP.fields.size.offset, role: PayloadRole.IN },
  VFIO_DMA_UNMAP: { at: LYON_DMA_MAP.fields.size.offset, role: PayloadRole.IN },
};

export interface MappingCost {
  readonly object: number;
  readonly operation: string;
  readonly length: FieldPlace;
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
    const length = LENGTHS[operation];
    if (length === undefined) return undefined;
    const key = `${object} ${operation}`;
    let cost = this.#costs.get(key);
    if (cost === undefined) {
      cost = { object, operation, length, calls: 0, failed: 0, bytes: 0, total: 0 };
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
    cost.bytes += this.#payloads.number(batch, row, cost.length.at, cost.length.role) ?? 0;
    cost.total += duration;
  }
}
