// SPDX-License-Identifier: Apache-2.0
/** An NVMe 1.4 controller with one namespace: registers, doorbells, queues, interrupts. */
import type { Device, Host, Width } from '../device.js';
import type { PciDescription } from '../pci/description.js';
import { AdminCommands, type Outcome, type QueueCommands } from './admin-commands.js';
import { Features } from './features.js';
import { VERSION_1_4 } from './identify.js';
import { IoCommands } from './io-commands.js';
import { ERROR_LOG, LogPages } from './log-pages.js';
import { NVME_PCI, NVME_VECTORS } from './nvme-pci.js';
import { Prps } from './prp.js';
import { type Command, CompletionQueue, SubmissionQueue } from './queues.js';
import {
  COMPLETION_QUEUE_INVALID,
  INVALID_FIELD,
  INVALID_INTERRUPT_VECTOR,
  INVALID_QUEUE_DELETION,
  INVALID_QUEUE_ID,
  INVALID_QUEUE_SIZE,
  PRP_OFFSET_INVALID,
  SUCCESS,
} from './status.js';
import type { Storage } from './storage.js';

const IO_QUEUES = 64;
const ENTRIES_MAX = 2048;
/** MQES, contiguous queues required, 7.5 s to become ready; NVM command set, pages of 4 KiB to 64 KiB. */
const CAPABILITIES = 0x0040_0020_0f01_07ffn;
const PAGE_SHIFT_MAX = 4;

const CAP = 0x00;
const VS = 0x08;
const INTMS = 0x0c;
const INTMC = 0x10;
const CC = 0x14;
const CSTS = 0x1c;
const AQA = 0x24;
const ASQ = 0x28;
const ACQ = 0x30;
const REGISTERS_END = 0x1000;
const DOORBELLS = 0x1000;

const CC_ENABLE = 0x1;
const CSTS_READY = 0x1;
const CSTS_FATAL = 0x2;
const CSTS_SHUTDOWN_DONE = 0x8;

/** Commands that one queue does before others get their turn. */
const TURN = 64;

const ERROR_EVENT = 0;
const INVALID_DOORBELL_REGISTER = 0;
const INVALID_DOORBELL_VALUE = 1;

export interface NvmeOptions {
  readonly storage: Storage;
  readonly serial?: string;
  /** log2 of the block size; 9 is 512 bytes. */
  readonly blockShift?: 9 | 12;
  readonly pci?: Partial<PciDescription>;
}

export class Nvme implements Device, QueueCommands {
  readonly pci: PciDescription;
  readonly #storage: Storage;
  readonly #features = new Features(IO_QUEUES, NVME_VECTORS);
  readonly #io: IoCommands;
  readonly #admin: AdminCommands;
  readonly #submissions = new Map<number, SubmissionQueue>();
  readonly #completions = new Map<number, CompletionQueue>();
  /** Queues that have work and wait for their turn. */
  readonly #scheduled = new Set<number>();
  #host!: Host;
  #prps!: Prps;
  #masked = 0;
  #configuration = 0;
  #status = 0;
  #adminSizes = 0;
  #adminSubmission = 0n;
  #adminCompletion = 0n;
  /** Vectors with completions that nobody has taken; for the pin and for MSI. */
  readonly #pending = new Set<number>();

  constructor({ storage, serial = 'vfiotape-0001', blockShift = 9, pci = {} }: NvmeOptions) {
    this.pci = { ...NVME_PCI, ...pci };
    this.#storage = storage;
    const firmware = '1.0';
    const log = new LogPages(firmware);
    this.#io = new IoCommands(storage, blockShift, log, () => this.#features.writeCache);
    const { vendor, subsystemVendor = 0 } = this.pci;
    const identity = { serial, model: 'vfiotape simulated NVMe', firmware, vendor, subsystemVendor };
    this.#admin = new AdminCommands(identity, this.#io, this.#features, log, this, (commandId, outcome) => {
      const admin = this.#submissions.get(0);
      if (admin !== undefined) this.#post(admin, commandId, outcome);
    });
  }

  attach(host: Host): void {
    this.#host = host;
    this.#prps = new Prps(host, 4096);
  }

  close(): void {
    this.#storage.close();
  }

  /** Function level reset: the controller is disabled and forgets its admin queue too. */
  reset(): void {
    this.#disable();
    this.#adminSizes = 0;
    this.#adminSubmission = 0n;
    this.#adminCompletion = 0n;
    this.#configuration = 0;
  }

  // ---- registers ----

  read(_bar: number, offset: number, width: Width): bigint {
    if (offset >= REGISTERS_END) return 0n;
    const aligned = offset & ~7;
    const both = this.#register(aligned) | (this.#register(aligned + 4) << 32n);
    return BigInt.asUintN(8 * width, both >> BigInt(8 * (offset - aligned)));
  }

  #register(offset: number): bigint {
    switch (offset) {
      case CAP:
        return CAPABILITIES & 0xffff_ffffn;
      case CAP + 4:
        return CAPABILITIES >> 32n;
      case VS:
        return BigInt(VERSION_1_4);
      case INTMS:
      case INTMC:
        return BigInt(this.#masked >>> 0);
      case CC:
        return BigInt(this.#configuration >>> 0);
      case CSTS:
        return BigInt(this.#status);
      case AQA:
        return BigInt(this.#adminSizes >>> 0);
      case ASQ:
        return this.#adminSubmission & 0xffff_ffffn;
      case ASQ + 4:
        return this.#adminSubmission >> 32n;
      case ACQ:
        return this.#adminCompletion & 0xffff_ffffn;
      case ACQ + 4:
        return this.#adminCompletion >> 32n;
      default:
        return 0n;
    }
  }

  write(_bar: number, offset: number, width: Width, value: bigint): void {
    // Registers are accessed by dwords, or a 64-bit one at once (chapter 3.1).
    if (width < 4) return;
    if (offset >= DOORBELLS) {
      if (width === 4) this.#doorbell(offset - DOORBELLS, Number(value));
      return;
    }
    this.#writeDword(offset, Number(value & 0xffff_ffffn));
    if (width === 8) this.#writeDword(offset + 4, Number(value >> 32n));
  }

  #writeDword(offset: number, value: number): void {
    const low = (held: bigint) => ((held >> 32n) << 32n) | BigInt((value & ~0xfff) >>> 0);
    const high = (held: bigint) => (held & 0xffff_ffffn) | (BigInt(value) << 32n);
    switch (offset) {
      case INTMS:
        this.#masked |= value;
        this.#driveInterrupts();
        return;
      case INTMC:
        this.#masked &= ~value;
        this.#driveInterrupts();
        return;
      case CC:
        this.#configure(value);
        return;
      case AQA:
        this.#adminSizes = value & 0x0fff_0fff;
        return;
      case ASQ:
        this.#adminSubmission = low(this.#adminSubmission);
        return;
      case ASQ + 4:
        this.#adminSubmission = high(this.#adminSubmission);
        return;
      case ACQ:
        this.#adminCompletion = low(this.#adminCompletion);
        return;
      case ACQ + 4:
        this.#adminCompletion = high(this.#adminCompletion);
        return;
      default:
        return;
    }
  }

  // ---- enable, disable, shut down ----

  #configure(value: number): void {
    const before = this.#configuration;
    this.#configuration = value & 0x00ff_fff1;
    const enabled = (value & CC_ENABLE) !== 0;
    if (enabled && (before & CC_ENABLE) === 0) this.#host.defer(() => this.#enable());
    if (!enabled && (before & CC_ENABLE) !== 0) this.#disable();
    const shutdown = (value >>> 14) & 3;
    if (shutdown !== 0 && ((before >>> 14) & 3) === 0) {
      this.#storage.flush();
      this.#status |= CSTS_SHUTDOWN_DONE;
    } else if (shutdown === 0) this.#status &= ~CSTS_SHUTDOWN_DONE;
  }

  /** Ready, or the fatal status when what it was given can't work. */
  #enable(): void {
    if ((this.#configuration & CC_ENABLE) === 0 || this.#status !== 0) return;
    const commandSet = (this.#configuration >>> 4) & 7;
    const pageShift = (this.#configuration >>> 7) & 0xf;
    const arbitration = (this.#configuration >>> 11) & 7;
    const submissions = (this.#adminSizes & 0xfff) + 1;
    const completions = ((this.#adminSizes >>> 16) & 0xfff) + 1;
    const pageSize = 4096 << pageShift;
    const misplaced = (this.#adminSubmission | this.#adminCompletion) & BigInt(pageSize - 1);
    const wrong =
      commandSet !== 0 ||
      pageShift > PAGE_SHIFT_MAX ||
      arbitration !== 0 ||
      submissions < 2 ||
      completions < 2;
    if (wrong || misplaced !== 0n) {
      this.#status |= CSTS_FATAL;
      return;
    }
    this.#prps = new Prps(this.#host, pageSize);
    const admin = new CompletionQueue(this.#host, 0, this.#adminCompletion, completions, 0, true);
    admin.users = 1;
    this.#completions.set(0, admin);
    this.#submissions.set(0, new SubmissionQueue(this.#host, 0, this.#adminSubmission, submissions, admin));
    this.#status |= CSTS_READY;
  }

  #disable(): void {
    this.#submissions.clear();
    this.#completions.clear();
    this.#scheduled.clear();
    this.#pending.clear();
    this.#admin.reset();
    this.#features.reset();
    this.#status = 0;
    this.#masked = 0;
    this.#host.intx(false);
  }

  // ---- doorbells and commands ----

  #doorbell(offset: number, value: number): void {
    if ((this.#status & CSTS_READY) === 0 || (this.#status & CSTS_FATAL) !== 0) return;
    const id = offset >>> 3;
    if ((offset & 7) === 0) this.#submissionDoorbell(id, value);
    else if ((offset & 7) === 4) this.#completionDoorbell(id, value);
  }

  #submissionDoorbell(id: number, tail: number): void {
    const queue = this.#submissions.get(id);
    if (queue === undefined) this.#badDoorbell(INVALID_DOORBELL_REGISTER);
    else if (tail >= queue.size) this.#badDoorbell(INVALID_DOORBELL_VALUE);
    else {
      queue.tail = tail;
      this.#schedule(queue);
    }
  }

  #completionDoorbell(id: number, head: number): void {
    const queue = this.#completions.get(id);
    if (queue === undefined) this.#badDoorbell(INVALID_DOORBELL_REGISTER);
    else if (!queue.consumes(head)) this.#badDoorbell(INVALID_DOORBELL_VALUE);
    else this.#consumed(queue, head);
  }

  #badDoorbell(information: number): void {
    this.#admin.raise({ type: ERROR_EVENT, information, logPage: ERROR_LOG });
  }

  #consumed(queue: CompletionQueue, head: number): void {
    const wasFull = queue.isFull;
    queue.head = head;
    if (
      queue.isEmpty &&
      ![...this.#completions.values()].some((one) => one.vector === queue.vector && !one.isEmpty)
    )
      this.#pending.delete(queue.vector);
    this.#driveInterrupts();
    if (!wasFull) return;
    for (const submission of this.#submissions.values())
      if (submission.completions === queue) this.#schedule(submission);
  }

  #schedule(queue: SubmissionQueue): void {
    if (queue.isEmpty || this.#scheduled.has(queue.id)) return;
    this.#scheduled.add(queue.id);
    this.#host.defer(() => this.#process(queue));
  }

  #process(queue: SubmissionQueue): void {
    this.#scheduled.delete(queue.id);
    // Deleted, or the controller was reset, since it was scheduled.
    if (this.#submissions.get(queue.id) !== queue) return;
    for (let done = 0; done < TURN && !queue.isEmpty; done++) {
      if (queue.completions.isFull) return;
      const command = queue.fetch();
      if (command === undefined) {
        // A queue that can't be read is the end (chapter 9.5).
        this.#status |= CSTS_FATAL;
        return;
      }
      this.#execute(queue, command);
      if (this.#submissions.get(queue.id) !== queue) return;
    }
    this.#schedule(queue);
  }

  #execute(queue: SubmissionQueue, command: Command): void {
    const commandId = command.getUint16(2, true);
    const outcome: Outcome | undefined =
      queue.id === 0
        ? this.#admin.execute(command, this.#prps)
        : { status: this.#io.execute(command, this.#prps), result: 0 };
    if (outcome === undefined) return;
    if (outcome.status !== SUCCESS)
      this.#admin.log.addError(
        queue.id,
        commandId,
        outcome.status,
        queue.id === 0 ? 0n : this.#io.blockOf(command),
      );
    this.#post(queue, commandId, outcome);
  }

  #post(queue: SubmissionQueue, commandId: number, { status, result }: Outcome): void {
    const { completions } = queue;
    // An event may find the admin queue full: it is lost, as the driver does not listen.
    if (completions.isFull) return;
    if (!completions.post(queue, commandId, status, result)) {
      this.#status |= CSTS_FATAL;
      return;
    }
    if (!completions.interrupts) return;
    if (this.#host.messages === 'msix') {
      this.#host.message(completions.vector);
      return;
    }
    this.#pending.add(completions.vector);
    if (this.#host.messages === 'msi' && !this.#isMasked(completions.vector))
      this.#host.message(completions.vector);
    this.#driveInterrupts();
  }

  #isMasked(vector: number): boolean {
    return vector < 32 && ((this.#masked >>> vector) & 1) !== 0;
  }

  /** The pin is up while any completion that is not masked waits. */
  #driveInterrupts(): void {
    const waiting = [...this.#pending].some((vector) => !this.#isMasked(vector));
    this.#host.intx(waiting && this.#host.messages === 'none');
  }

  // ---- queue commands ----

  get hasIoQueues(): boolean {
    return this.#completions.size > 1 || this.#submissions.size > 1;
  }

  createCompletionQueue(command: Command): number {
    const id = command.getUint16(40, true);
    const size = command.getUint16(42, true) + 1;
    const flags = command.getUint16(44, true);
    const vector = command.getUint16(46, true);
    const base = command.getBigUint64(24, true);
    if (id === 0 || id > IO_QUEUES || this.#completions.has(id)) return INVALID_QUEUE_ID;
    if (size < 2 || size > ENTRIES_MAX || this.#configuration >>> 20 !== 4) return INVALID_QUEUE_SIZE;
    if ((flags & 1) === 0) return INVALID_FIELD;
    if (base % BigInt(this.#prps.pageSize) !== 0n) return PRP_OFFSET_INVALID;
    const vectors = this.#host.messages === 'msix' ? NVME_VECTORS : 32;
    if (vector >= vectors) return INVALID_INTERRUPT_VECTOR;
    this.#completions.set(id, new CompletionQueue(this.#host, id, base, size, vector, (flags & 2) !== 0));
    return SUCCESS;
  }

  createSubmissionQueue(command: Command): number {
    const id = command.getUint16(40, true);
    const size = command.getUint16(42, true) + 1;
    const flags = command.getUint16(44, true);
    const base = command.getBigUint64(24, true);
    const completions = this.#completions.get(command.getUint16(46, true));
    if (completions === undefined || completions.id === 0) return COMPLETION_QUEUE_INVALID;
    if (id === 0 || id > IO_QUEUES || this.#submissions.has(id)) return INVALID_QUEUE_ID;
    if (size < 2 || size > ENTRIES_MAX || ((this.#configuration >>> 16) & 0xf) !== 6)
      return INVALID_QUEUE_SIZE;
    if ((flags & 1) === 0) return INVALID_FIELD;
    if (base % BigInt(this.#prps.pageSize) !== 0n) return PRP_OFFSET_INVALID;
    completions.users++;
    this.#submissions.set(id, new SubmissionQueue(this.#host, id, base, size, completions));
    return SUCCESS;
  }

  deleteSubmissionQueue(id: number): number {
    const queue = id === 0 ? undefined : this.#submissions.get(id);
    if (queue === undefined) return INVALID_QUEUE_ID;
    queue.completions.users--;
    this.#submissions.delete(id);
    return SUCCESS;
  }

  deleteCompletionQueue(id: number): number {
    const queue = id === 0 ? undefined : this.#completions.get(id);
    if (queue === undefined) return INVALID_QUEUE_ID;
    if (queue.users > 0) return INVALID_QUEUE_DELETION;
    this.#completions.delete(id);
    return SUCCESS;
  }
}
