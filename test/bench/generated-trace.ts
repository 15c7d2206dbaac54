// SPDX-License-Identifier: Apache-2.0
import { CHUNK_EVENTS, EventBatch } from '../../traces/columns.js';
import { TraceWriter } from '../../traces/writer.js';
import { Generator } from './generate.js';
import { GENERATED_HEADER, GENERATED_SUMMARY, generatedDefinitions } from './generated-definitions.js';
import { processCpuNs, threadCpuNs } from './harness.js';

/** Writes the generated trace; generation is not in the returned CPU time, ns. */
export async function writeGenerated(
  path: string,
  events: number,
  codec: 'deflate' | 'none',
): Promise<number> {
  const writer = await TraceWriter.create(path, GENERATED_HEADER, { codec });
  const generator = new Generator();
  const batch = new EventBatch();
  let generating = 0;
  const start = processCpuNs();
  await writer.writeDefinitions(generatedDefinitions());
  for (let left = events; left > 0; left -= batch.length) {
    const before = threadCpuNs();
    generator.fill(batch, Math.min(left, CHUNK_EVENTS));
    generating += threadCpuNs() - before;
    await writer.ready();
    writer.writeChunk(batch, []).catch((error: unknown) => {
      throw error;
    });
  }
  await writer.seal(GENERATED_SUMMARY);
  return processCpuNs() - start - generating;
}
