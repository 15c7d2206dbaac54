// SPDX-License-Identifier: Apache-2.0
/** The admin command set: queues, identify, features, logs, events, abort (NVMe 1.4 chapter 5). */
import type { Features } from './features.js';
import {
  EVENT_LIMIT,
  type Identity,
  identifyController,
  identifyNamespace,
  NAMESPACE_ID,
  namespaceDescriptors,
  namespaceList,
} from './identify.js';
import type { IoCommands } from './io-commands.js';
import type { LogPages } from './log-pages.js';
import type { Prps } from './prp.js';
import type { Command } from './queues.js';
import {
  ABORTED,
  EVENT_LIMIT_EXCEEDED,
  INVALID_FIELD,
  INVALID_LOG_PAGE,
  INVALID_NAMESPACE,
  INVALID_OPCODE,
  SUCCESS,
} from './status.js';

const DELETE_SUBMISSION_QUEUE = 0x00;
const CREATE_SUBMISSION_QUEUE = 0x01;
const GET_LOG_PAGE = 0x02;
const DELETE_COMPLETION_QUEUE = 0x04;
const CREATE_COMPLETION_QUEUE = 0x05;
const IDENTIFY = 0x06;
const ABORT = 0x08;
const SET_FEATURES = 0x09;
const GET_FEATURES = 0x0a;
const ASYNCHRONOUS_EVENT_REQUEST = 0x0c;

const ALL_NAMESPACES = 0xffff_ffff;
const LOG_BYTES_MAX = 512 * 1024;

/** Queue commands are the controller's own. */
export interface QueueCommands {
  readonly hasIoQueues: boolean;
  createSubmissionQueue(command: Command): number;
  createCompletionQueue(command: Command): number;
  deleteSubmissionQueue(id: number): number;
  deleteCompletionQueue(id: number): number;
}

export interface Outcome {
  readonly status: number;
  readonly result: number;
}

/** What an event says: type, information, log page to read. */
export interface AsyncEvent {
  readonly type: number;
  readonly information: number;
  readonly logPage: number;
}

const done = (status: number, result = 0): Outcome => ({ status, result });

export class AdminCommands {
  /** Command ids of event requests that wait. */
  #waiting: number[] = [];
  #events: AsyncEvent[] = [];
  /** Types that are held back until their log page has been read. */
  readonly #masked = new Set<number>();

  constructor(
    readonly identity: Identity,
    readonly io: IoCommands,
    readonly features: Features,
    readonly log: LogPages,
    readonly queues: QueueCommands,
    readonly complete: (commandId: number, outcome: Outcome) => void,
  ) {}

  reset(): void {
    this.#waiting = [];
    this.#events = [];
    this.#masked.clear();
  }

  /** undefined: it completes later. */
  execute(command: Command, prps: Prps): Outcome | undefined {
    const opcode = command.getUint8(0);
    const dword10 = command.getUint32(40, true);
    const dword11 = command.getUint32(44, true);
    if ((command.getUint8(1) & 3) !== 0) return done(INVALID_FIELD);
    switch (opcode) {
      case DELETE_SUBMISSION_QUEUE:
        return done(this.queues.deleteSubmissionQueue(dword10 & 0xffff));
      case CREATE_SUBMISSION_QUEUE:
        return done(this.queues.createSubmissionQueue(command));
      case DELETE_COMPLETION_QUEUE:
        return done(this.queues.deleteCompletionQueue(dword10 & 0xffff));
      case CREATE_COMPLETION_QUEUE:
        return done(this.queues.createCompletionQueue(command));
      case GET_LOG_PAGE:
        return done(this.#getLogPage(command, prps));
      case IDENTIFY:
        return done(this.#identify(command, prps));
      case ABORT:
        return this.#abort(dword10);
      case SET_FEATURES:
        return this.features.set(dword10, dword11, this.queues.hasIoQueues);
      case GET_FEATURES:
        return this.features.get(dword10, dword11);
      case ASYNCHRONOUS_EVENT_REQUEST:
        return this.#requestEvent(command.getUint16(2, true));
      default:
        return done(INVALID_OPCODE);
    }
  }

  /** Something went wrong that no command stands for. */
  raise(event: AsyncEvent): void {
    const queued = this.#events.some(
      ({ type, information }) => type === event.type && information === event.information,
    );
    if (!queued) this.#events.push(event);
    this.#deliver();
  }

  #deliver(): void {
    while (this.#waiting.length > 0) {
      const at = this.#events.findIndex(({ type }) => !this.#masked.has(type));
      const [event] = at < 0 ? [] : this.#events.splice(at, 1);
      if (event === undefined) return;
      const { type, information, logPage } = event;
      this.#masked.add(type);
      const commandId = this.#waiting.shift() as number;
      this.complete(commandId, done(SUCCESS, type | (information << 8) | (logPage << 16)));
    }
  }

  #requestEvent(commandId: number): Outcome | undefined {
    if (this.#waiting.length > EVENT_LIMIT) return done(EVENT_LIMIT_EXCEEDED);
    this.#waiting.push(commandId);
    this.#deliver();
    return undefined;
  }

  /** Commands are done as they are fetched: only an event request can still be there to be aborted. */
  #abort(dword10: number): Outcome {
    const commandId = dword10 >>> 16;
    const at = (dword10 & 0xffff) === 0 ? this.#waiting.indexOf(commandId) : -1;
    if (at < 0) return done(SUCCESS, 1);
    this.#waiting.splice(at, 1);
    this.complete(commandId, done(ABORTED));
    return done(SUCCESS, 0);
  }

  #identify(command: Command, prps: Prps): number {
    const namespace = command.getUint32(4, true);
    const structure = command.getUint8(40);
    const { serial } = this.identity;
    switch (structure) {
      case 0x00:
        if (namespace !== NAMESPACE_ID) return INVALID_NAMESPACE;
        return prps.write(
          command,
          identifyNamespace({ blocks: this.io.blocks, blockShift: this.io.blockShift, serial }),
        );
      case 0x01:
        return prps.write(command, identifyController(this.identity));
      case 0x02:
        if (namespace >= ALL_NAMESPACES - 1) return INVALID_NAMESPACE;
        return prps.write(command, namespaceList(namespace));
      case 0x03:
        if (namespace !== NAMESPACE_ID) return INVALID_NAMESPACE;
        return prps.write(command, namespaceDescriptors(serial));
      default:
        return INVALID_FIELD;
    }
  }

  #getLogPage(command: Command, prps: Prps): number {
    const dword10 = command.getUint32(40, true);
    const dword11 = command.getUint32(44, true);
    const offset = command.getBigUint64(48, true);
    const namespace = command.getUint32(4, true);
    const id = dword10 & 0xff;
    const page = this.log.page(id);
    if (page === undefined) return INVALID_LOG_PAGE;
    if (namespace !== 0 && namespace !== ALL_NAMESPACES)
      return namespace === NAMESPACE_ID ? INVALID_FIELD : INVALID_NAMESPACE;
    const length = ((dword11 & 0xffff) * 0x1_0000 + (dword10 >>> 16) + 1) * 4;
    if (offset % 4n !== 0n || offset > BigInt(page.length) || length > LOG_BYTES_MAX) return INVALID_FIELD;
    const bytes = new Uint8Array(length);
    bytes.set(page.subarray(Number(offset), Number(offset) + length));
    const status = prps.write(command, bytes);
    const retain = (dword10 & 0x8000) !== 0;
    if (status === SUCCESS && !retain) this.#unmask(id);
    return status;
  }

  /** The host has seen the page: the next event of its type may come. */
  #unmask(logPage: number): void {
    // Error events name the error page, type 0; health events the health page, type 1.
    const type = logPage - 1;
    if (this.#masked.delete(type)) this.#deliver();
  }
}
