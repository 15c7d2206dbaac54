// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { SIM_SERVICE_BYTES, SimServiceField, SimServiceType } from '../../abi/wire/sim.js';
import { OpenFiles } from './open-files.js';
import { Processes } from './processes.js';
import type { RemoteProcess } from './remote-process.js';

/** A service connection of which only the writing end exists. */
class Ear {
  readonly tokens: bigint[] = [];
  readonly socket = {
    write: (message: Buffer) => this.tokens.push(message.readBigUInt64LE(SimServiceField.token)) > 0,
  } as unknown as Socket;
}

function heard(token: bigint): Buffer {
  const message = Buffer.alloc(SIM_SERVICE_BYTES);
  message.writeUInt32LE(SimServiceType.HEARD, SimServiceField.type);
  message.writeBigUInt64LE(token, SimServiceField.token);
  return message;
}

const PARENT = process.pid;
const CHILD = PARENT + 1;

function family() {
  const processes = new Processes(new OpenFiles());
  const { service } = processes.get(PARENT) as RemoteProcess;
  const [parent, child] = [new Ear(), new Ear()];
  processes.addService(PARENT, parent.socket);
  processes.suggestParent(CHILD, PARENT);
  return { processes, service, parent, child };
}

test('an interrupt that a process has not answered for when it ends is given to its child', () => {
  const { processes, service, parent, child } = family();
  processes.addService(CHILD, child.socket);
  for (const token of [1n, 2n]) service.signal(token);
  processes.heard(parent.socket, heard(1n));
  processes.removeService(PARENT, parent.socket);
  assert.deepEqual([parent.tokens, child.tokens], [[1n, 2n], [2n]]);
  service.signal(3n);
  assert.deepEqual(child.tokens, [2n, 3n]);
});

test('a child that comes up later still gets it, and once', () => {
  const { processes, service, parent, child } = family();
  service.signal(1n);
  processes.removeService(PARENT, parent.socket);
  const stranger = new Ear();
  processes.addService(CHILD + 1, stranger.socket);
  processes.addService(CHILD, child.socket);
  processes.addService(CHILD + 2, stranger.socket);
  assert.deepEqual([stranger.tokens, child.tokens], [[], [1n]]);
});
