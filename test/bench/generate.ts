// SPDX-License-Identifier: Apache-2.0
/**
 * The trace of the bench: fixed seed, all event fields, and the habits of the real drivers, on four threads of one
 * process (ticks are those of a 3 GHz TSC), after a network card and an NVMe drive were set up. The shares are counted in the first 655,360 events:
 *
 *   share  thread     what, after which driver
 *   60 %   2 pollers  DPDK's e1000e: descriptor-tail stores in bursts, loads of head and status, seldom of interrupt
 *                     cause; one stamp each (duration 0), as the patched accesses are recorded
 *   25 %   1 queue    QEMU's NVMe: doorbell store, wake-up, eventfd read, completion doorbell; a MAP_DMA and an
 *                     UNMAP_DMA with their arguments for every fourth request, buffers as they come from the heap
 *   15 %   1 control  config-space preads of 1, 2, 4 bytes and some pwrites; sweeps over statistics registers whose
 *                     counters grow; region, interrupt and device ioctls with arguments; 1 call in 500 fails
 *
 * Gaps and durations are sums of uniforms with a tail ten times as long for 1 in 64. By kind, in per cent, beside the
 * 15,982 events of traces/corpus (its ten files together, kinds counted over openTrace(file).batches()):
 *
 *              LOAD  STORE  WRITE  IOCTL  SITE  READ  WAKE  CLOCK  others
 *   corpus     42.7   36.6    5.8    4.3   4.1   2.9   1.6    0.7     1.3
 *   generated  31.3   48.9    0.3    2.7     0  11.0   5.8      0     0.1
 *
 * Of the corpus 12,676 events are one driver's short run (e1000e), which is why its shares are not simply taken over.
 */
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import type { EventBatch } from '../../traces/columns.js';
import { EventKind, PayloadRole } from '../../traces/model.js';
import { CONTAINER, EVENTFD, NIC, NIC_CONFIG, NVME } from './generated-definitions.js';
import { access, Row, type Segment } from './generated-row.js';
import { type SetUpRow, setUpRows } from './generated-set-up.js';

/** The pollers and the control thread do other things most of the time. */
const SPARE = 2;

const CONFIG = BigInt(CONFIG_REGION) << 40n;
const VFIO_IOMMU_MAP_DMA = 0x3b71;
const VFIO_IOMMU_UNMAP_DMA = 0x3b72;
const VFIO_DEVICE_GET_REGION_INFO = 0x3b6c;
const VFIO_DEVICE_SET_IRQS = 0x3b6e;
/** VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK */
const UNMASK = 17n;
const EINVAL = 22;
const POLLIN = 1n;

/** George Marsaglia's xorshift32. */
class Random {
  constructor(private state: number) {}

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state;
  }

  below(limit: number): number {
    return this.next() % limit;
  }

  /** Around `middle`, within a third of it, seldom up to ten times as long. */
  jittered(middle: number): number {
    const bits = this.next();
    const spread = ((bits & 0xff) + ((bits >>> 8) & 0xff) + ((bits >>> 16) & 0xff)) / 765 - 0.5;
    const around = middle * (1 + spread * 0.66);
    return Math.floor(bits >>> 26 === 0 ? around * (2 + this.below(8)) : around);
  }
}

/** One recorded thread. */
abstract class Actor {
  readonly row = new Row();
  /** When its last event completed. */
  protected time: number;

  constructor(
    readonly thread: number,
    protected readonly random: Random,
  ) {
    this.time = SET_UP_TICKS + 1000 * thread;
  }

  /** Makes the next event: completed after its duration, and the gap that step returns. */
  advance(): void {
    const { row } = this;
    row.fd = -1;
    row.duration = 0;
    row.result = 0n;
    row.errno = 0;
    row.segments = NO_SEGMENTS;
    const gap = this.step(row);
    this.time += gap + row.duration;
    row.time = this.time;
  }

  protected abstract step(row: Row): number;
}

const NO_SEGMENTS: readonly Segment[] = [];
/** When setting up is over: 40 ms. */
const SET_UP_TICKS = 120e6;

/** What comes first, in the thread that is the control thread later. */
class SetUp extends Actor {
  readonly #rows: Iterator<SetUpRow> = setUpRows()[Symbol.iterator]();

  constructor(thread: number, random: Random) {
    super(thread, random);
    this.time = 0;
  }

  protected step(row: Row): number {
    const next = this.#rows.next();
    if (next.done === true) {
      this.time = Number.POSITIVE_INFINITY;
      return 0;
    }
    Object.assign(row, NO_ROW, next.value);
    return this.random.jittered(1.2e6);
  }
}

const NO_ROW = { object: 0, op: 0, offset: 0n, value: 0n, site: 0 };

class Poller extends Actor {
  private tail = 0;
  private received = 0;

  constructor(
    thread: number,
    random: Random,
    private readonly queue: number,
  ) {
    super(thread, random);
  }

  protected step(row: Row): number {
    const { random } = this;
    const choice = random.below(100);
    row.object = NIC.object;
    row.op = access(0, 4);
    if (choice < 62) {
      const burst = 1 + random.below(32);
      const receive = choice < 36;
      row.kind = EventKind.STORE;
      row.site = receive ? 10 : 11;
      row.offset = BigInt((receive ? 0x2818 : 0x3818) + this.queue * 0x100);
      this.tail = (this.tail + burst) % 1024;
      row.value = BigInt(this.tail);
      return random.jittered(900 * SPARE);
    }
    if (choice < 92) {
      row.kind = EventKind.LOAD;
      row.site = choice < 80 ? 12 : 13;
      row.offset = BigInt((choice < 80 ? 0x2810 : 0x3810) + this.queue * 0x100);
      this.received = (this.received + random.below(16)) % 1024;
      row.value = BigInt(this.received);
      return random.jittered(3200 * SPARE);
    }
    row.kind = EventKind.LOAD;
    row.site = 14;
    row.offset = choice < 96 ? 0x8n : 0xc0n;
    row.value = choice < 96 ? 0x80080783n : BigInt(1 << random.below(8));
    return random.jittered(3400 * SPARE);
  }
}

class Queue extends Actor {
  private phase = 0;
  private submitted = 0;
  private completed = 0;
  private iova = 0x1_0000_0000n;
  private mapped = 0n;
  private length = 0n;

  protected step(row: Row): number {
    const { phase } = this;
    this.phase = phase + 1;
    // What was mapped for a request is unmapped after it.
    if (phase === 5 || (phase === 4 && this.length === 0n)) this.phase = this.random.below(4) === 0 ? 0 : 1;
    return this.request(row, phase);
  }

  private request(row: Row, phase: number): number {
    const { random } = this;
    row.object = NVME.object;
    switch (phase) {
      case 0:
        return this.map(row);
      case 1:
        row.kind = EventKind.STORE;
        row.op = access(0, 4);
        row.site = 20;
        row.offset = 0x1008n;
        this.submitted = (this.submitted + 1) % 128;
        row.value = BigInt(this.submitted);
        return random.jittered(1800);
      case 2:
        row.kind = EventKind.WAKE;
        row.object = EVENTFD.object;
        row.fd = EVENTFD.fd;
        row.op = 1;
        row.site = 21;
        row.offset = 0n;
        row.value = POLLIN;
        row.result = 1n;
        row.duration = random.jittered(9000);
        return random.jittered(600);
      case 3:
        row.kind = EventKind.READ;
        row.object = EVENTFD.object;
        row.fd = EVENTFD.fd;
        row.op = 512;
        row.site = 22;
        row.offset = 0n;
        row.value = random.below(20) === 0 ? 2n : 1n;
        row.result = 8n;
        row.duration = random.jittered(1100);
        return random.jittered(500);
      case 4:
        row.kind = EventKind.STORE;
        row.op = access(0, 4);
        row.site = 23;
        row.offset = 0x100cn;
        this.completed = (this.completed + 1) % 128;
        row.value = BigInt(this.completed);
        return random.jittered(1500);
      default:
        return this.unmap(row);
    }
  }

  private map(row: Row): number {
    const { random } = this;
    const length = BigInt(1 + random.below(16)) * 4096n;
    const address = 0x7f3c_8000_0000n + BigInt(random.below(1 << 18)) * 4096n;
    row.kind = EventKind.IOCTL;
    row.object = CONTAINER.object;
    row.fd = CONTAINER.fd;
    row.op = VFIO_IOMMU_MAP_DMA;
    row.site = 24;
    row.offset = 0n;
    row.value = 0x7ffd_1234_5670n;
    row.duration = random.jittered(9000);
    this.mapped = this.iova;
    this.length = length;
    row.segments = [{ role: PayloadRole.IN, words: [32n | (3n << 32n), address, this.iova, length] }];
    this.iova += length;
    return random.jittered(700);
  }

  private unmap(row: Row): number {
    const { random } = this;
    row.kind = EventKind.IOCTL;
    row.object = CONTAINER.object;
    row.fd = CONTAINER.fd;
    row.op = VFIO_IOMMU_UNMAP_DMA;
    row.site = 25;
    row.offset = 0n;
    row.value = 0x7ffd_1234_5690n;
    row.duration = random.jittered(14000);
    const words = [24n, this.mapped, this.length];
    this.length = 0n;
    row.segments = [
      { role: PayloadRole.IN, words },
      { role: PayloadRole.OUT, words },
    ];
    return random.jittered(700);
  }
}

class Control extends Actor {
  private readonly counters = new Float64Array(64);
  private sweep = 0;

  protected step(row: Row): number {
    const { random } = this;
    row.object = NIC.object;
    row.fd = NIC.fd;
    if (this.sweep > 0) {
      this.sweep--;
      this.counters[this.sweep] = (this.counters[this.sweep] as number) + random.below(5000);
      row.kind = EventKind.LOAD;
      row.fd = -1;
      row.op = access(0, 4);
      row.site = 40 + this.sweep;
      row.offset = BigInt(0x4000 + 4 * this.sweep);
      row.value = BigInt(this.counters[this.sweep] as number);
      return random.jittered(3300);
    }
    const choice = random.below(100);
    const register = random.below(48);
    if (choice < 84) {
      const size = register % 5 === 0 ? 4 : register % 3 === 0 ? 1 : 2;
      const write = choice >= 80;
      row.kind = write ? EventKind.WRITE : EventKind.READ;
      row.op = size;
      row.site = write ? 33 : 30 + (size >> 1);
      row.offset = CONFIG + BigInt(register * 4);
      row.value = BigInt(NIC_CONFIG.readUIntLE(register * 4, size));
      row.result = BigInt(size);
      row.duration = random.jittered(1500);
    } else if (choice < 98) {
      row.kind = EventKind.IOCTL;
      row.op = choice < 95 ? VFIO_DEVICE_GET_REGION_INFO : VFIO_DEVICE_SET_IRQS;
      row.site = choice < 95 ? 34 : 35;
      row.offset = 0n;
      row.value = 0x7ffd_1234_4440n;
      row.result = 0n;
      row.duration = random.jittered(choice < 95 ? 1200 : 30000);
      if (random.below(60) === 0) {
        row.result = -1n;
        row.errno = EINVAL;
      }
      const index = BigInt(random.below(9));
      row.segments =
        choice < 95
          ? [
              { role: PayloadRole.IN, words: [32n, index, 0n, 0n] },
              { role: PayloadRole.OUT, words: [32n | (7n << 32n), index, 0x20000n, index << 40n] },
            ]
          : [{ role: PayloadRole.IN, words: [20n | (UNMASK << 32n), 0n, 1n] }];
    } else {
      this.sweep = 64;
      row.kind = EventKind.LSEEK;
      row.op = 0;
      row.site = 36;
      row.offset = CONFIG;
      row.value = 0n;
      row.result = CONFIG;
      row.duration = random.jittered(600);
    }
    return random.jittered(5000 * SPARE);
  }
}

function payload(
  batch: EventBatch,
  at: number,
  role: number,
  address: bigint,
  words: readonly bigint[],
): void {
  const start = batch.payloads.add(at, role, 0, 0, address, words.length * 8);
  const view = new DataView(batch.payloads.bytes.buffer, start);
  for (const [n, word] of words.entries()) {
    view.setBigUint64(8 * n, word, true);
  }
}

/** Fills one batch after the other with the next events of the same recording. */
export class Generator {
  private readonly actors: readonly Actor[];
  constructor(seed = 0x5eed1) {
    this.actors = [
      new SetUp(1, new Random(seed + 4)),
      new Control(1, new Random(seed)),
      new Poller(2, new Random(seed + 1), 0),
      new Poller(3, new Random(seed + 2), 1),
      new Queue(4, new Random(seed + 3)),
    ];
    for (const actor of this.actors) {
      actor.advance();
    }
  }

  fill(batch: EventBatch, events: number): void {
    batch.clear();
    for (let i = 0; i < events; i++) {
      let actor = this.actors[0] as Actor;
      for (const other of this.actors) {
        if (other.row.time < actor.row.time) {
          actor = other;
        }
      }
      const { row } = actor;
      batch.kind[i] = row.kind;
      batch.flags[i] = 0;
      batch.thread[i] = actor.thread;
      batch.object[i] = row.object;
      batch.fd[i] = row.fd;
      batch.op[i] = row.op;
      batch.timeWords[2 * i] = row.time;
      batch.timeWords[2 * i + 1] = Math.floor(row.time / 4294967296);
      batch.durationWords[2 * i] = row.duration;
      batch.durationWords[2 * i + 1] = 0;
      batch.offset[i] = row.offset;
      batch.value[i] = row.value;
      batch.result[i] = row.result;
      batch.errno[i] = row.errno;
      batch.site[i] = row.site;
      for (const { role, words } of row.segments) {
        payload(batch, i, role, row.value, words);
      }
      actor.advance();
    }
    batch.length = events;
  }
}
