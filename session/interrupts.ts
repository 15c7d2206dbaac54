// SPDX-License-Identifier: Apache-2.0
import { irqIndexName } from '../abi/vfio/irqs.js';

/** What an eventfd stands for. */
export interface InterruptRoute {
  /** The device's object. */
  readonly device: number;
  readonly index: number;
  readonly vector: number;
  /** The device signals it, or the driver does, to unmask (the INTx resample eventfd). */
  readonly role: 'trigger' | 'unmask';
}

/** `MSIX[3]`, `INTX[0] unmask` */
export function routeName(route: InterruptRoute): string {
  return `${irqIndexName(route.index)}[${route.vector}]${route.role === 'unmask' ? ' unmask' : ''}`;
}

function key(device: number, index: number, vector: number, role: InterruptRoute['role']): string {
  return `${device}:${index}:${vector}:${role}`;
}

/** Eventfds by the interrupt they are attached to, and back. */
export class InterruptRoutes {
  readonly #byEventfd = new Map<number, InterruptRoute>();
  readonly #byVector = new Map<string, number>();
  /** Eventfds that KVM listens to: what arrives there the driver never sees. */
  readonly #inKernel = new Set<number>();

  attach(eventfd: number, route: InterruptRoute): void {
    this.detach(route.device, route.index, route.vector, route.role);
    this.#byEventfd.set(eventfd, route);
    this.#byVector.set(key(route.device, route.index, route.vector, route.role), eventfd);
  }

  detach(device: number, index: number, vector: number, role: InterruptRoute['role']): void {
    const name = key(device, index, vector, role);
    const eventfd = this.#byVector.get(name);
    if (eventfd === undefined) return;
    this.#byVector.delete(name);
    const route = this.#byEventfd.get(eventfd);
    if (route !== undefined && key(route.device, route.index, route.vector, route.role) === name) {
      this.#byEventfd.delete(eventfd);
    }
  }

  /** Every vector of an index: what count 0 with DATA_NONE asks for. */
  detachAll(device: number, index: number): void {
    for (const route of [...this.#byEventfd.values()]) {
      if (route.device === device && route.index === index) {
        this.detach(device, index, route.vector, route.role);
      }
    }
  }

  of(eventfd: number): InterruptRoute | undefined {
    return this.#byEventfd.get(eventfd);
  }

  eventfd(device: number, index: number, vector: number): number | undefined {
    return this.#byVector.get(key(device, index, vector, 'trigger'));
  }

  setInKernel(eventfd: number, inKernel: boolean): void {
    if (inKernel) this.#inKernel.add(eventfd);
    else this.#inKernel.delete(eventfd);
  }

  /** Routes whose eventfd KVM listens to. */
  kernelRoutes(): readonly InterruptRoute[] {
    return [...this.#inKernel].flatMap((eventfd) => this.#byEventfd.get(eventfd) ?? []);
  }

  isInKernel(eventfd: number): boolean {
    return this.#inKernel.has(eventfd);
  }
}
