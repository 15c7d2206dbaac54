// SPDX-License-Identifier: Apache-2.0
/** edu served at a socket of its own for one test file, and clients that write bytes. */
import assert from 'node:assert/strict';
import { ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import { serve } from '../serve.js';
import { FAILED, RawClient, type RawReply, REPLY } from './raw-client.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-vfio-user-'));
export const socket = join(scratch, 'edu.sock');
/** What the server told its user. */
export const said: string[] = [];
const server = serve('edu', socket, (line) => said.push(line));
let clients: RawClient[] = [];

afterEach(() => {
  for (const client of clients) client.close();
  clients = [];
});
after(async () => {
  server.stop();
  const { bugs } = await server.ended;
  assert.deepEqual(bugs, []);
  assert.deepEqual(
    readdirSync(scratch).filter((name) => name.endsWith('.sock')),
    [],
  );
  rmSync(scratch, { recursive: true });
});

export function connect(): RawClient {
  // One client after another.
  for (const client of clients.splice(0)) client.close();
  const client = new RawClient(socket);
  clients.push(client);
  return client;
}

export function greeted(json?: string): RawClient {
  const client = connect();
  assert.equal(client.greet(json)?.flags, REPLY);
  return client;
}

/** A file of pages for the device's DMA. */
export function memory(pages: number): number {
  const fd = openSync(join(scratch, 'memory'), 'w+');
  ftruncateSync(fd, 4096 * pages);
  return fd;
}

export function succeeds(reply: RawReply | undefined, payload = ''): void {
  assert.deepEqual(reply && { flags: reply.flags, error: reply.error, payload: reply.payload }, {
    flags: REPLY,
    error: 0,
    payload: payload.replace(/\s/g, ''),
  });
}

export function fails(reply: RawReply | undefined, errno: number, title = ''): void {
  assert.deepEqual(
    reply && { flags: reply.flags, error: reply.error, payload: reply.payload },
    { flags: FAILED, error: errno, payload: '' },
    title,
  );
}
