// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { DEFINITIONS, HEADER, SUMMARY, sourceFile } from './fixtures.js';
import { MAX_STRING_BYTES } from './limits.js';
import type { Message } from './messages.js';
import * as messages from './messages.js';

const schema = protobuf.parse(sourceFile('trace.proto'), { keepCase: true }).root;

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

test('the message tables are those of trace.proto', () => {
  const seen = new Set<string>();
  const compare = (message: Message<unknown>): void => {
    if (seen.has(message.name)) {
      return;
    }
    seen.add(message.name);
    const type = schema.lookupType(`vfiotape.${message.name}`);
    const inTable = message.fields.map(
      (field) =>
        `${snake(field.name)} = ${field.number} ${typeof field.kind === 'string' ? field.kind : field.kind.name}${field.repeated ? '[]' : ''}`,
    );
    const inSchema = type.fieldsArray.map(
      (field) => `${field.name} = ${field.id} ${field.type}${field.repeated ? '[]' : ''}`,
    );
    assert.deepEqual(inTable.sort(), inSchema.sort(), message.name);
    for (const field of message.fields) {
      if (typeof field.kind !== 'string') {
        compare(field.kind);
      }
    }
  };
  for (const message of messages.MESSAGES) {
    compare(message);
  }
  assert.equal(seen.size, 20);
});

test('messages are read back as they were written', () => {
  const header = { ...HEADER, versionMajor: 1, versionMinor: 7 };
  const summary = { ...SUMMARY, events: 5, droppedEvents: 2 ** 45, kindCounts: [0, 3, 2 ** 40] };
  assert.deepEqual(
    messages.decodeMessage(messages.HEADER, messages.encodeMessage(messages.HEADER, header)),
    header,
  );
  assert.deepEqual(
    messages.decodeMessage(messages.SUMMARY, messages.encodeMessage(messages.SUMMARY, summary)),
    summary,
  );
  assert.deepEqual(
    messages.decodeMessage(messages.DEFINITIONS, messages.encodeMessage(messages.DEFINITIONS, DEFINITIONS)),
    DEFINITIONS,
  );
});

test('fields of a newer version are passed over', () => {
  const known = messages.encodeMessage(messages.RING_POSITION, { ring: 1, records: 2n, side: 3n });
  const unknown = Uint8Array.of(
    0xf8,
    0x07,
    1,
    0xfa,
    0x07,
    2,
    9,
    9,
    0xf9,
    0x07,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    0xfd,
    0x07,
    1,
    2,
    3,
    4,
  );
  assert.deepEqual(messages.decodeMessage(messages.RING_POSITION, Buffer.concat([unknown, known, unknown])), {
    ring: 1,
    records: 2n,
    side: 3n,
  });
});

test('a length that leaves its message is an error', () => {
  const pairs = Uint8Array.of(0x3a, 4, 0x32, 100, 0x09, 1);
  assert.throws(() => messages.decodeMessage(messages.HEADER, pairs), /leaves its message/);
});

test('long strings are cut between characters, unpaired surrogates replaced', () => {
  const long = 'ä'.repeat(MAX_STRING_BYTES);
  const thread = { id: 1, process: 1, tid: 1, name: `x${long}` };
  const bytes = messages.encodeMessage(messages.DEFINITIONS, { ...DEFINITIONS, threads: [thread] });
  const name = messages.decodeMessage(messages.DEFINITIONS, bytes).threads[0]?.name ?? '';
  assert.equal(Buffer.byteLength(name), MAX_STRING_BYTES - 1);
  assert.ok(!name.includes('\ufffd'));
  const odd = messages.encodeMessage(messages.DEFINITIONS, {
    ...DEFINITIONS,
    threads: [{ ...thread, name: 'a\ud800b' }],
  });
  assert.equal(messages.decodeMessage(messages.DEFINITIONS, odd).threads[0]?.name, 'a\ufffdb');
});
