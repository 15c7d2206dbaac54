// SPDX-License-Identifier: Apache-2.0
/** IOMMU_FAULT_QUEUE_ALLOC: I/O page faults, which no device here makes: the queue stays empty. */
import { EINVAL, ESPIPE } from '../errno.js';
import { OpenFile } from '../process.js';
import type { Iommufd } from './iommufd.js';
import { IommufdObject } from './objects.js';

export class FaultQueue extends IommufdObject {}

const KIND_FAULT_QUEUE = 10;
/** sizeof(struct iommu_hwpt_page_response) */
const RESPONSE = 8;

export class FaultQueueFile extends OpenFile {
  readonly kind = KIND_FAULT_QUEUE;

  constructor(
    readonly iommufd: Iommufd,
    readonly queue: FaultQueue,
  ) {
    super();
    queue.users++;
    iommufd.hold();
  }

  override pread(): number {
    return -ESPIPE;
  }

  override pwrite(): number {
    return -ESPIPE;
  }

  override read(): number {
    return 0;
  }

  /** A response to a fault that never was. */
  override write(from: Uint8Array): number {
    return from.length % RESPONSE !== 0 || from.length > 0 ? -EINVAL : 0;
  }

  protected override released(): void {
    this.queue.users--;
    this.iommufd.drop();
  }
}
