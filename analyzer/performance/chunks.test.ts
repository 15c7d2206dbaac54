// SPDX-License-Identifier: Apache-2.0
/** Statistics do not depend on how a recording is cut into chunks, though what was made of one chunk's groups serves the next. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { EventCopier } from '../../session/copy-events.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { TraceWriter } from '../../traces/writer.js';
import { statistics } from './statistics.js';

const CORPUS = join(packageRoot(), 'traces/corpus');
const directory = mkdtempSync(join(tmpdir(), 'vfiotape-chunks-'));
after(() => rmSync(directory, { recursive: true }));

/** So many events to a chunk. */
async function cut(trace: Trace, events: number, path: string): Promise<void> {
  const { definitions, summary } = trace;
  assert.ok(summary !== undefined);
  const writer = await TraceWriter.create(path, trace.header);
  await writer.writeDefinitions({
    processes: [...definitions.processes.values()],
    threads: [...definitions.threads.values()],
    objects: [...definitions.objects.values()],
    modules: [...definitions.modules.values()],
    sites: [...definitions.sites.values()],
    devices: [...definitions.devices.values()],
    mmioSites: [...definitions.mmioSites.values()],
  });
  const copier = new EventCopier(writer);
  for (const batch of trace.batches()) {
    for (let row = batch.begin; row < batch.end; row++) {
      await copier.copy(batch, row);
      if ((batch.firstEvent + row + 1) % events === 0) await copier.flush();
    }
  }
  await copier.flush();
  await writer.seal(summary);
}

function told(trace: Trace): unknown {
  const { trace: about, perturbation, ...rest } = statistics(trace);
  trace.close();
  return { ...rest, about: { ...about, file: '' }, losses: perturbation.lost_events };
}

for (const name of readdirSync(CORPUS, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.vtape'),
)) {
  for (const events of [1, 53]) {
    test(`${name} in chunks of ${events}`, async () => {
      const whole = openTrace(join(CORPUS, name));
      const path = join(directory, 'cut.vtape');
      await cut(whole, events, path);
      assert.deepEqual(told(openTrace(path)), told(whole));
    });
  }
}
