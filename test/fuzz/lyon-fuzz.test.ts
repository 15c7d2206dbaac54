// SPDX-License-Identifier: Apache-2.0
/** A driver of 2010 that does anything: every call is answered, and nothing is left when it has gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LYON_IOCTLS, LYON_V2_IOCTLS } from '../../abi/lyon2010/ioctls.js';
import { attribute, encodeNetlink, LYON_ATTRIBUTES } from '../../abi/lyon2010/netlink.js';
import { SIM_NETLINK } from '../../abi/wire/sim.js';
import { Edu } from '../../replayer/devices/edu/edu.js';
import { Nvme } from '../../replayer/devices/nvme/nvme.js';
import { MemoryStorage } from '../../replayer/devices/nvme/storage.js';
import { SimulatedKernel } from '../../replayer/kernel/kernel.js';
import { LocalProcess } from '../../replayer/kernel/local-process.js';
import { type Mapping, OpenFile } from '../../replayer/kernel/process.js';
import { Random } from './random.js';

const CALLS = 40_000;
const ERRNO_MOST = 4095;
const PAGE = 4096;
const REQUESTS = [...LYON_IOCTLS, ...LYON_V2_IOCTLS].map(({ request }) => request);
/** Addresses, lengths and offsets with a meaning, beside those without. */
const NUMBERS = [
  0n,
  1n,
  4096n,
  8192n,
  0x10_0000n,
  1n << 30n,
  (1n << 30n) + 4096n,
  1n << 48n,
  (1n << 64n) - 4096n,
];

class LyonFuzz {
  readonly kernel: SimulatedKernel;
  readonly process = new LocalProcess({ memlock: 64n * 4096n });
  readonly random: Random;
  readonly memory: { readonly address: bigint; readonly bytes: Uint8Array };
  readonly areas: { address: bigint; gone: boolean }[] = [];
  readonly fds: number[] = [-1, 0, 99];
  readonly mappings: Mapping[] = [];
  succeeded = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.kernel = new SimulatedKernel({
      abi: 'lyon2010',
      devices: [
        { device: new Nvme({ storage: new MemoryStorage(1 << 20) }) },
        { device: new Edu({ specificReset: true }) },
      ],
      schedule: () => {},
    });
    this.memory = this.process.map(PAGE);
    for (let i = 0; i < 8; i++) this.fds.push(this.process.eventfd().fd);
    this.#allocate();
  }

  #allocate(): void {
    this.areas.push({ address: this.process.map(4 * PAGE).address, gone: false });
  }

  #file(): OpenFile | undefined {
    const file = this.process.file(this.random.pick(this.fds));
    return file instanceof OpenFile ? file : undefined;
  }

  #number(): bigint {
    const { random } = this;
    switch (random.below(4)) {
      case 0:
        return random.pick(NUMBERS);
      case 1:
        return random.pick(this.areas).address + BigInt(random.below(4)) * 4096n;
      case 2:
        return BigInt(random.below(64));
      default:
        return BigInt(random.below(2 ** 31)) * BigInt(random.below(2 ** 31));
    }
  }

  #offset(): bigint {
    const space = BigInt(this.random.pick([0, 0, 2, 4, 6, 7, 15, 15, this.random.below(64)]));
    const register = this.random.chance(0.8) ? this.random.below(0x4000) : this.random.below(2 ** 31);
    return (space << 32n) + BigInt(register);
  }

  #ioctl(): number {
    const { random, memory } = this;
    const file = this.#file();
    if (file === undefined) return 0;
    const request = random.chance(0.95) ? random.pick(REQUESTS) : random.below(2 ** 31);
    const view = new DataView(memory.bytes.buffer);
    for (let at = 0; at < 32; at += 8) view.setBigUint64(at, this.#number(), true);
    if (random.chance(0.6)) {
      view.setInt32(0, random.below(6), true);
      for (let at = 4; at < 40; at += 4) view.setInt32(at, random.pick(this.fds), true);
    }
    if (random.chance(0.3)) view.setInt32(0, random.pick(this.fds), true);
    return this.kernel.ioctl(
      this.process,
      file,
      request,
      random.chance(0.97) ? memory.address : this.#number(),
    );
  }

  /** Generic netlink that is nearly right, or cut off. */
  #datagram(): Uint8Array {
    const { random } = this;
    const attributes = Object.values(LYON_ATTRIBUTES).map(({ type, bytes }) =>
      attribute(
        type,
        random.chance(0.9) ? bytes : random.below(12),
        random.chance(0.5) ? 4n : this.#number(),
      ),
    );
    const whole = encodeNetlink({
      type: random.pick([0x10, 0x19, 0x19, 2, random.below(65536)]),
      flags: random.pick([1, 5, 0x301, random.below(65536)]),
      sequence: random.below(1000),
      command: random.pick([3, 9, 11, random.below(256)]),
      attributes: attributes.filter(() => random.chance(0.9)),
    });
    return random.chance(0.8) ? whole : whole.subarray(0, random.below(whole.length));
  }

  #step(): number {
    const { random } = this;
    switch (random.below(14)) {
      case 0: {
        const path = random.pick([
          '/dev/vfio0',
          '/dev/vfio1',
          '/dev/uiommu',
          '/dev/vfio7',
          '/dev/vfio/vfio',
          SIM_NETLINK,
        ]);
        const file = this.kernel.open(this.process, path);
        if (typeof file === 'number') return file;
        const fd = this.process.install(file);
        if (fd < 0) this.kernel.close(file);
        else this.fds.push(fd);
        return fd;
      }
      case 1: {
        if (!random.chance(0.3)) return 0;
        const fd = random.pick(this.fds);
        this.process.close(fd);
        return 0;
      }
      case 2: {
        const offset = random.chance(0.9) ? this.#offset() & ~0xfffn : this.#offset();
        const length = random.pick([0n, 1n, 4096n, 8192n, 0x4000n, 0x10_0000n, 1n << 40n]);
        const file = this.#file();
        if (file === undefined) return 0;
        const mapping = this.kernel.mmap(file, {
          offset,
          length,
          shared: random.chance(0.9),
          writable: random.chance(0.7),
        });
        if (typeof mapping === 'number') return mapping;
        this.mappings.push(mapping);
        return 0;
      }
      case 3: {
        const area = random.pick(this.areas);
        if (area.gone || !random.chance(0.2)) return 0;
        area.gone = true;
        this.process.unmap(area.address);
        if (random.chance(0.5)) this.kernel.memoryGone(this.process, area.address, area.address + 4n * 4096n);
        this.#allocate();
        return 0;
      }
      case 4:
      case 5: {
        const mapping = this.mappings[random.below(Math.max(1, this.mappings.length))];
        if (mapping === undefined) return 0;
        const width = random.pick([1, 2, 4, 8] as const);
        const at = random.below(Math.max(1, mapping.length - width + 1));
        if (random.chance(0.5)) mapping.load(at, width);
        else mapping.store(at, width, this.#number());
        return 0;
      }
      case 6:
        return this.#file()?.pread(new Uint8Array(random.below(12)), this.#offset()) ?? 0;
      case 7:
        return this.#file()?.pwrite(random.bytes(random.below(12)), this.#offset()) ?? 0;
      case 8: {
        this.kernel.settle();
        if (random.chance(0.01)) this.kernel.forked(this.process);
        if (random.chance(0.01)) void this.kernel.administration.suspend();
        return 0;
      }
      case 9: {
        const datagram = random.chance(0.5) ? random.bytes(random.below(120)) : this.#datagram();
        return this.#file()?.write(datagram) ?? 0;
      }
      case 10:
        return this.#file()?.read(new Uint8Array(random.below(200))) ?? 0;
      default:
        return this.#ioctl();
    }
  }

  run(calls: number): void {
    for (let i = 0; i < calls; i++) {
      const result = this.#step();
      assert.ok(Number.isInteger(result) && result >= -ERRNO_MOST, `call ${i}: ${result}`);
      if (result >= 0) this.succeeded++;
    }
  }
}

test('the simulated kernel of 2010 survives a driver that does anything', (context) => {
  const seed = Number(process.env['VFIOTAPE_FUZZ_SEED'] ?? 20100611);
  const fuzz = new LyonFuzz(seed);
  fuzz.run(CALLS);
  context.diagnostic(`seed ${seed}: ${fuzz.succeeded} of ${CALLS} calls succeeded`);
  for (const mapping of fuzz.mappings) mapping.unmap();
  fuzz.process.exit();
  for (const device of fuzz.kernel.lyon?.devices ?? assert.fail()) {
    assert.equal(device.isOpen, false);
    assert.equal(device.lockedPages, 0n);
    assert.equal(device.domain, undefined);
    assert.equal(device.host.group.domain, undefined);
    assert.equal(device.host.messages.kind, 'none');
    assert.equal(device.host.pci.command & 4, 0, 'bus mastering is off');
  }
  assert.equal(fuzz.kernel.locked.of(fuzz.process), 0n);
});
