// SPDX-License-Identifier: Apache-2.0
import { HWPT_ALLOC } from '../../abi/iommufd/hwpt.js';
import { decode } from '../../abi/layout.js';
import { IOMMUFD, LYON_DEVICE } from '../../abi/object-kinds.js';
import { ATTACH_IOMMUFD_PT, BIND_IOMMUFD } from '../../abi/vfio/device.js';
import { SET_CONTAINER } from '../../abi/vfio/group.js';
import type { Session } from '../state.js';
import type { SeenIoctl } from './seen.js';

/** Where IOVAs are translated: a container, or an IOAS of an iommufd; `ioas` is 0 for a container. */
export interface DmaSpace {
  readonly object: number;
  readonly ioas: number;
}

const NOIOMMU = 8;

/** Which address space each device is in. */
export class AddressSpaces {
  readonly #session: Session;
  /** Group to container. */
  readonly #containers = new Map<number, number>();
  /** Container to its IOMMU type. */
  readonly #types = new Map<number, number>();
  /** Device to the iommufd it is bound to. */
  readonly #bound = new Map<number, number>();
  /** Device to the space it is attached to. */
  readonly #attached = new Map<number, DmaSpace>();
  /** iommufd/page table to IOAS. */
  readonly #pageTables = new Map<string, number>();
  readonly #spaces = new Map<string, DmaSpace>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** The same object for the same space. */
  space(object: number, ioas: number): DmaSpace {
    const key = `${object}/${ioas}`;
    let space = this.#spaces.get(key);
    if (space === undefined) {
      space = { object, ioas };
      this.#spaces.set(key, space);
    }
    return space;
  }

  all(): Iterable<DmaSpace> {
    return this.#spaces.values();
  }

  /** Undefined: in none, or the recording does not tell. */
  of(device: number): DmaSpace | undefined {
    const attached = this.#attached.get(device);
    if (attached !== undefined) return attached;
    if (this.#session.names.kind(device) === LYON_DEVICE) return this.space(device, 0);
    const container = this.#containers.get(this.group(device));
    return container === undefined ? undefined : this.space(container, 0);
  }

  /** The group that the device was opened through, 0 when it was not. */
  group(device: number): number {
    return this.#session.definitions.objects.get(device)?.parent ?? 0;
  }

  container(group: number): number | undefined {
    return this.#containers.get(group);
  }

  groups(container: number): readonly number[] {
    return [...this.#containers].filter(([, held]) => held === container).map(([group]) => group);
  }

  /** VFIO_SET_IOMMU's argument; undefined when it was not set. */
  iommuType(container: number): number | undefined {
    return this.#types.get(container);
  }

  iommufd(device: number): number | undefined {
    return this.#bound.get(device);
  }

  /** Without an IOMMU: IOVAs are physical addresses. */
  isNoIommu(space: DmaSpace): boolean {
    return this.#types.get(space.object) === NOIOMMU;
  }

  apply(step: SeenIoctl): void {
    if (!step.ok) return;
    const session = this.#session;
    switch (step.name) {
      case 'VFIO_GROUP_SET_CONTAINER': {
        const container = session.descriptors.get(step.process, decode(SET_CONTAINER, step.before).fd ?? -1);
        if (container !== undefined) this.#containers.set(step.object, container);
        break;
      }
      case 'VFIO_GROUP_UNSET_CONTAINER':
        this.#containers.delete(step.object);
        break;
      case 'VFIO_SET_IOMMU':
        this.#types.set(step.object, Number(BigInt.asIntN(32, step.event.value)));
        break;
      case 'VFIO_DEVICE_BIND_IOMMUFD': {
        const fd = decode(BIND_IOMMUFD, step.before).iommufd ?? -1;
        const iommufd = session.descriptors.get(step.process, fd);
        if (iommufd !== undefined) this.#bound.set(step.object, iommufd);
        break;
      }
      case 'VFIO_DEVICE_ATTACH_IOMMUFD_PT': {
        const iommufd = this.#bound.get(step.object);
        const table = decode(ATTACH_IOMMUFD_PT, step.before).pt_id;
        if (iommufd === undefined || table === undefined) break;
        const ioas = this.#pageTables.get(`${iommufd}/${table}`) ?? table;
        this.#attached.set(step.object, this.space(iommufd, ioas));
        break;
      }
      case 'VFIO_DEVICE_DETACH_IOMMUFD_PT':
        this.#attached.delete(step.object);
        break;
      case 'IOMMU_HWPT_ALLOC': {
        if (step.objectKind !== IOMMUFD) break;
        const { pt_id } = decode(HWPT_ALLOC, step.before);
        const { out_hwpt_id } = decode(HWPT_ALLOC, step.after);
        if (pt_id !== undefined && out_hwpt_id !== undefined) {
          const ioas = this.#pageTables.get(`${step.object}/${pt_id}`) ?? pt_id;
          this.#pageTables.set(`${step.object}/${out_hwpt_id}`, ioas);
        }
        break;
      }
      default:
        break;
    }
  }
}
