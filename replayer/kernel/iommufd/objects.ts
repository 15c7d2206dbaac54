// SPDX-License-Identifier: Apache-2.0
/** Objects of an iommufd and their ids (drivers/iommu/iommufd/main.c). */
import { EBUSY, ENOENT } from '../errno.js';

/** What users hold; it can be destroyed by its id when nobody does. */
export abstract class IommufdObject {
  id = 0;
  users = 0;
  destroy(): void {}
}

const IDS_MAX = 2 ** 31 - 1;

export class ObjectTable {
  readonly #objects = new Map<number, IommufdObject>();
  #lowestFree = 1;

  get isEmpty(): boolean {
    return this.#objects.size === 0;
  }

  /** xa_alloc(): the lowest id that is free. */
  add<T extends IommufdObject>(object: T): T {
    let id = this.#lowestFree;
    while (this.#objects.has(id) && id < IDS_MAX) id++;
    object.id = id;
    this.#objects.set(id, object);
    this.#lowestFree = id + 1;
    return object;
  }

  get(id: number): IommufdObject | undefined {
    return this.#objects.get(id);
  }

  /** IOMMU_DESTROY (iommufd_object_remove). */
  remove(id: number): number {
    const object = this.#objects.get(id);
    if (object === undefined) return -ENOENT;
    if (object.users > 0) return -EBUSY;
    this.#take(object);
    return 0;
  }

  /** At close: what nobody holds first, until nothing is left. */
  removeAll(): void {
    for (let progress = true; progress && this.#objects.size > 0; ) {
      progress = false;
      for (const object of [...this.#objects.values()]) {
        if (object.users > 0) continue;
        this.#take(object);
        progress = true;
      }
    }
  }

  #take(object: IommufdObject): void {
    this.#objects.delete(object.id);
    this.#lowestFree = Math.min(this.#lowestFree, object.id);
    object.destroy();
  }
}
