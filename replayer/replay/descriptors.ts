// SPDX-License-Identifier: Apache-2.0
/** Files that are opened and closed: of the device that is replayed, and what leads to it. */
import * as kinds from '../../abi/object-kinds.js';
import { SIM_NETLINK } from '../../abi/wire/sim.js';
import { payloadBytes } from '../../session/payloads.js';
import { type Event, PayloadRole } from '../../traces/model.js';
import type { ReplayContext } from './context.js';
import { OpenDevice } from './counterparts.js';

export class Descriptors {
  readonly #context: ReplayContext;
  /** The device that is replayed: the first one of the recording. */
  #chosen: string | undefined;

  constructor(context: ReplayContext) {
    this.#context = context;
  }

  /** Whether something was done. */
  open(event: Event): boolean {
    const { session, pace, account, target, compare, counterparts } = this.#context;
    session.apply(event);
    const kind = session.names.kind(event.object);
    const path = this.#pathFor(event, kind);
    if (path === undefined) return false;
    pace.wait(event.time);
    account.operations++;
    const fd = target.open(path);
    compare.errno(event, `open ${path}`, fd < 0 ? -fd : 0);
    if (fd < 0 || event.object === 0) return true;
    counterparts.fds.set(event.object, fd);
    if (kinds.isDevice(kind))
      counterparts.devices.set(event.object, new OpenDevice(target, fd, kind === kinds.LYON_DEVICE));
    return true;
  }

  /** VFIO_GROUP_GET_DEVICE_FD on the target's group. */
  getDevice(event: Event, fd: number): boolean {
    const { pace, account, target, compare, counterparts } = this.#context;
    const bytes = payloadBytes(event, PayloadRole.KIND);
    const object =
      bytes === undefined || bytes.length < 8
        ? 0
        : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
    if (object !== 0 && !this.#isChosen(object)) {
      account.omit('another device');
      return false;
    }
    pace.wait(event.time);
    account.operations++;
    const name = new TextEncoder().encode(`${target.bdf}\0`);
    const result = target.ioctl(fd, event.op, name);
    compare.errno(event, 'VFIO_GROUP_GET_DEVICE_FD', result < 0 ? -result : 0);
    if (result < 0 || object === 0) return true;
    counterparts.fds.set(object, result);
    counterparts.devices.set(object, new OpenDevice(target, result));
    return true;
  }

  close(event: Event): boolean {
    const { session, pace, account, target, counterparts } = this.#context;
    const process = session.processOf(event);
    const last = event.op === 1 ? Number(BigInt.asUintN(32, event.offset)) : event.fd;
    const objects = event.errno === 0 ? session.descriptors.between(process, event.fd, last) : [];
    session.apply(event);
    let done = false;
    for (const object of objects) {
      const fd = counterparts.fds.get(object);
      if (fd === undefined || session.descriptors.holds(object)) continue;
      pace.wait(event.time);
      target.close(fd);
      counterparts.fds.delete(object);
      account.operations++;
      done = true;
    }
    return done;
  }

  /** The same kind of file on the target; undefined for what is no business of VFIO's. */
  #pathFor(event: Event, kind: number): string | undefined {
    const { account, target } = this.#context;
    const orOmit = (path: string | undefined, what: string): string | undefined => {
      if (path === undefined) account.omit(`${what}, which the target does not have`);
      return path;
    };
    switch (kind) {
      case kinds.CONTAINER:
        return '/dev/vfio/vfio';
      case kinds.IOMMUFD:
        return '/dev/iommu';
      case kinds.GROUP:
      case kinds.NOIOMMU_GROUP:
        if (this.#isChosenGroup(event.object)) return orOmit(target.groupPath, 'a group');
        account.omit('a group of another device');
        return undefined;
      case kinds.CDEV:
        if (this.#isChosen(event.object)) return orOmit(target.cdevPath, 'a device node');
        account.omit('another device');
        return undefined;
      case kinds.LYON_DEVICE:
        if (this.#isChosen(event.object)) return orOmit(target.lyonPath, 'the interface of 2010');
        account.omit('another device');
        return undefined;
      case kinds.UIOMMU:
        return orOmit(target.lyonPath === undefined ? undefined : '/dev/uiommu', 'the interface of 2010');
      case kinds.LYON_NETLINK:
        return target.read === undefined || target.lyonPath === undefined
          ? orOmit(undefined, 'netlink')
          : SIM_NETLINK;
      default:
        return undefined;
    }
  }

  /** Only one device of a recording can be the target's. */
  #isChosen(object: number): boolean {
    const bdf = this.#context.session.names.device(object)?.bdf;
    if (bdf === undefined) return true;
    this.#chosen ??= bdf;
    return bdf === this.#chosen;
  }

  /** A group leads to the device, or to nothing that is in the recording. */
  #isChosenGroup(group: number): boolean {
    const objects = [...this.#context.trace.definitions.objects.values()];
    const devices = objects.filter(({ parent }) => parent === group);
    return devices.length === 0 || devices.some(({ id }) => this.#isChosen(id));
  }
}
