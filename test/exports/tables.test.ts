// SPDX-License-Identifier: Apache-2.0
/** The tables, read by readers that are not ours, against the trace's events. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { parquetReadObjects } from 'hyparquet';
import { asyncBufferFromFile } from 'hyparquet/src/node.js';
import { packageRoot } from '../../abi/package-root.js';
import { EVENT_COLUMNS } from '../../analyzer/exports/event-table.js';
import { exportTrace } from '../../analyzer/exports/export-trace.js';
import { openTrace } from '../../traces/reader.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-tables-'));
after(() => rmSync(directory, { recursive: true }));
const CORPUS = ['qemu/io', 'qemu/nested', 'dpdk/virtio-net', 'edu/group'];

async function exported(name: string, format: 'parquet' | 'csv' | 'jsonl'): Promise<string> {
  const source = join(packageRoot(), 'traces/corpus', `${name}.vtape`);
  const path = join(directory, `${name.replace('/', '-')}.${format}`);
  await exportTrace({ source, format, path });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  return path;
}

interface Row {
  readonly event: bigint;
  readonly time_ns: bigint;
  readonly duration_ns: bigint;
  readonly value: bigint;
  readonly value_signed: bigint;
  readonly result: bigint;
  readonly fd: number;
  readonly tid: number;
  readonly kind: string;
  readonly register: string;
  readonly errno: string;
}

async function rowsOf(path: string): Promise<readonly Row[]> {
  const file = await asyncBufferFromFile(path);
  const compressors = { GZIP: (bytes: Uint8Array) => new Uint8Array(gunzipSync(bytes)) };
  return (await parquetReadObjects({ file, compressors })) as unknown as readonly Row[];
}

for (const name of CORPUS) {
  test(`Parquet, CSV and JSON lines hold every event: ${name}`, async () => {
    const trace = openTrace(join(packageRoot(), 'traces/corpus', `${name}.vtape`));
    const rows = await rowsOf(await exported(name, 'parquet'));
    const lines = readFileSync(await exported(name, 'jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    const csv = readFileSync(await exported(name, 'csv'), 'utf8')
      .trimEnd()
      .split('\r\n');
    assert.equal(csv[0], EVENT_COLUMNS.map(({ name: column }) => column).join(','));
    assert.deepEqual([rows.length, lines.length, csv.length - 1], Array(3).fill(trace.eventCount));
    let n = 0;
    for (const event of trace.events()) {
      const row = rows[n] as Row;
      const tid = trace.definitions.threads.get(event.thread)?.tid ?? 0;
      const expected = [
        BigInt(event.number),
        BigInt(Math.round(event.time)),
        BigInt(Math.round(event.duration)),
        event.value,
        BigInt.asIntN(64, event.value),
        event.result,
        event.fd,
        tid,
      ];
      const { value, value_signed, result, fd } = row;
      assert.deepEqual(
        [row.event, row.time_ns, row.duration_ns, value, value_signed, result, fd, row.tid],
        expected,
      );
      const line = JSON.parse(lines[n] as string) as Record<string, unknown>;
      assert.deepEqual(
        [line['event'], line['value'], line['result']],
        [event.number, String(value), String(result)],
      );
      assert.equal(line['kind'], row.kind);
      const cells = (csv[n + 1] as string).split(',');
      assert.deepEqual([cells[0], cells[1], cells[3]], [String(event.number), String(row.time_ns), row.kind]);
      n++;
    }
    trace.close();
  });
}

test('registers and mappings are in the table by name', async () => {
  const rows = (await rowsOf(await exported('qemu/io', 'parquet'))) as readonly (Row & {
    readonly operation: string;
    readonly iova: bigint;
    readonly size: bigint;
  })[];
  assert.equal(rows.filter(({ register }) => register === 'SQ1TDBL').length, 11);
  const maps = rows.filter(({ operation, size }) => operation === 'VFIO_IOMMU_MAP_DMA' && size > 0n);
  assert.equal(maps.length, 17);
  assert.equal(rows.find(({ operation }) => operation === 'VFIO_DEVICE_RESET')?.errno, 'EINVAL');
});
