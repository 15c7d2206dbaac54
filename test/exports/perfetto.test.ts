// SPDX-License-Identifier: Apache-2.0
/** Exports decoded by protobufjs with the published field numbers (analyzer/exports/perfetto.proto), and held to Perfetto's rules. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import protobuf from 'protobufjs';
import { packageRoot } from '../../abi/package-root.js';
import { exportTrace } from '../../analyzer/exports/export-trace.js';
import { findingsOf } from '../../analyzer/exports/findings.js';
import { openTrace } from '../../traces/reader.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-exports-'));
after(() => rmSync(directory, { recursive: true }));

const CORPUS = ['qemu/io', 'qemu/nested', 'dpdk/e1000e', 'edu/cdev'];

interface Interned {
  readonly iid: string;
  readonly str: string;
}
interface Annotation {
  readonly nameIid: string;
  readonly stringValueIid?: string;
  readonly pointerValue?: string;
}
interface TrackEvent {
  readonly type: number;
  readonly trackUuid: string;
  readonly nameIid?: string;
  readonly name?: string;
  readonly categoryIids?: readonly string[];
  readonly debugAnnotations?: readonly Annotation[];
  readonly flowIds?: readonly string[];
  readonly terminatingFlowIds?: readonly string[];
  readonly counterValue?: string;
}
interface Packet {
  readonly timestamp?: string;
  readonly trustedPacketSequenceId?: number;
  readonly sequenceFlags?: number;
  readonly trackDescriptor?: { readonly uuid: string; readonly parentUuid?: string; readonly name?: string };
  readonly trackEvent?: TrackEvent;
  readonly internedData?: Readonly<Record<string, readonly Interned[]>>;
}

function decoded(path: string): readonly Packet[] {
  const root = protobuf.parse(
    readFileSync(join(packageRoot(), 'analyzer/exports/perfetto.proto'), 'utf8'),
  ).root;
  const type = root.lookupType('Trace');
  const trace = type.toObject(type.decode(readFileSync(path)), { longs: String, bytes: String });
  return trace['packet'] as readonly Packet[];
}

for (const name of CORPUS) {
  test(`Perfetto's rules are kept: ${name}`, async () => {
    const source = join(packageRoot(), 'traces/corpus', `${name}.vtape`);
    const path = join(directory, `${name.replace('/', '-')}.perfetto-trace`);
    await exportTrace({ source, format: 'perfetto', path });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const packets = decoded(path);
    const trace = openTrace(source);
    const [first] = packets;
    assert.equal(first?.sequenceFlags, 1, 'the first packet clears the incremental state');
    const tracks = new Map<string, { readonly name: string; readonly parent: string | undefined }>();
    const interned = new Map<string, Set<string>>();
    const depth = new Map<string, number>();
    const begun = new Map<string, bigint[]>();
    const flows = new Map<string, bigint>();
    const ends = new Map<string, bigint>();
    let ofThreads = 0;
    let found = 0;
    for (const {
      timestamp,
      trackDescriptor,
      trackEvent,
      internedData,
      trustedPacketSequenceId,
      sequenceFlags,
    } of packets) {
      assert.equal(trustedPacketSequenceId, 1);
      if (trackDescriptor !== undefined) {
        const { uuid, parentUuid } = trackDescriptor;
        assert.ok(!tracks.has(uuid), `track ${uuid} is described once`);
        assert.notEqual(uuid, '0');
        if (parentUuid !== undefined) assert.ok(tracks.has(parentUuid), 'a parent comes before its children');
        tracks.set(uuid, { name: trackDescriptor.name ?? '', parent: parentUuid });
      }
      for (const [pool, entries] of Object.entries(internedData ?? {})) {
        const held = interned.get(pool) ?? new Set();
        interned.set(pool, held);
        for (const { iid } of entries) {
          assert.ok(iid !== '0' && !held.has(iid), `${pool} ${iid} is given once`);
          held.add(iid);
        }
      }
      if (trackEvent === undefined) continue;
      const { type, trackUuid, nameIid, name: own, categoryIids = [], debugAnnotations = [] } = trackEvent;
      assert.equal(sequenceFlags, 2);
      assert.ok(tracks.has(trackUuid), `track ${trackUuid} is described before its events`);
      const at = BigInt(timestamp ?? '-1');
      assert.ok(at >= 0n);
      for (const iid of categoryIids) assert.ok(interned.get('eventCategories')?.has(iid));
      if (nameIid !== undefined) assert.ok(interned.get('eventNames')?.has(nameIid));
      for (const annotation of debugAnnotations) {
        assert.ok(interned.get('debugAnnotationNames')?.has(annotation.nameIid));
        if (annotation.stringValueIid !== undefined)
          assert.ok(interned.get('debugAnnotationStringValues')?.has(annotation.stringValueIid));
      }
      for (const id of trackEvent.flowIds ?? []) {
        assert.ok(!flows.has(id), `flow ${id} begins once`);
        flows.set(id, at);
      }
      for (const id of trackEvent.terminatingFlowIds ?? []) {
        assert.ok(!ends.has(id), `flow ${id} ends once`);
        ends.set(id, at);
      }
      if (type === 4) assert.ok(BigInt(trackEvent.counterValue ?? '-1') >= 0n);
      else if (type === 2) {
        const from = begun.get(trackUuid)?.pop();
        assert.ok(from !== undefined && from <= at, 'a slice ends after it began');
        depth.set(trackUuid, (depth.get(trackUuid) ?? 0) - 1);
      } else {
        assert.ok(nameIid !== undefined || own !== undefined, 'an event has a name');
        if (type === 1) {
          const stack = begun.get(trackUuid) ?? [];
          stack.push(at);
          begun.set(trackUuid, stack);
          depth.set(trackUuid, (depth.get(trackUuid) ?? 0) + 1);
        }
        const { parent, name: title } = tracks.get(trackUuid) ?? {};
        if (parent === undefined && title === '') ofThreads++;
        if (parent !== undefined && tracks.get(parent)?.name === 'findings') found++;
      }
    }
    for (const [track, open] of depth) assert.equal(open, 0, `the slices of track ${track} are closed`);
    assert.deepEqual([...flows.keys()].sort(), [...ends.keys()].sort(), 'each arrow has both ends');
    for (const [id, from] of flows)
      assert.ok(from <= (ends.get(id) as bigint), 'an interrupt follows its doorbell');
    const unthreaded = [...trace.events()].filter(
      ({ thread }) => !trace.definitions.threads.has(thread),
    ).length;
    assert.equal(ofThreads, trace.eventCount - unthreaded);
    assert.equal(
      found,
      findingsOf(source).length,
      'each finding is shown, though several have the same event',
    );
    if (name === 'qemu/io') {
      assert.equal(flows.size, 7, 'as many as completions that an interrupt led to');
      const names = new Set([...tracks.values()].map(({ name: title }) => title));
      for (const title of ['queue 1', 'MSIX[0]', 'lane 0', 'findings', 'mapped for DMA in container0'])
        assert.ok(names.has(title), title);
    }
    trace.close();
  });

  test(`Chrome's JSON is whole: ${name}`, async () => {
    const source = join(packageRoot(), 'traces/corpus', `${name}.vtape`);
    const path = join(directory, `${name.replace('/', '-')}.json`);
    await exportTrace({ source, format: 'chrome', path });
    const { traceEvents } = JSON.parse(readFileSync(path, 'utf8')) as {
      traceEvents: readonly {
        readonly ph: string;
        readonly ts?: number;
        readonly dur?: number;
        readonly pid: number;
        readonly tid: number;
        readonly id?: number;
        readonly cat?: string;
        readonly args?: { readonly event?: number };
      }[];
    };
    const trace = openTrace(source);
    const own = traceEvents.filter(({ args }) => args?.event !== undefined);
    assert.equal(own.length, trace.eventCount);
    for (const { ph, ts = 0, dur = 0 } of traceEvents) {
      assert.ok(['M', 'X', 'i', 's', 'f'].includes(ph));
      assert.ok(ts >= 0 && dur >= 0);
    }
    const starts = traceEvents.filter(({ ph }) => ph === 's').map(({ id }) => id);
    const ends = traceEvents.filter(({ ph }) => ph === 'f').map(({ id }) => id);
    assert.deepEqual([...starts].sort(), [...ends].sort());
    assert.equal(traceEvents.filter(({ cat }) => cat === 'finding').length, findingsOf(source).length);
    const time = own.find(({ args }) => args?.event === 40);
    assert.equal(Math.round((time?.ts ?? 0) * 1000), Math.round(trace.event(40)?.time ?? -1));
    trace.close();
  });
}
