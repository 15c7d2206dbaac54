// SPDX-License-Identifier: Apache-2.0
/** Comma-separated values, RFC 4180, with the columns of the Parquet table (docs/parquet.md). */
import { isDmaCall } from '../../session/groups/dma-arguments.js';
import { EVENT_COLUMNS } from './event-table.js';
import type { ExportFormat } from './format.js';
import { OutputFile } from './output.js';
import { type GroupText, Walk } from './walk.js';

/** A field that begins like a formula is one to a spreadsheet: it is led by an apostrophe, as OWASP advises. */
function field(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

interface Line {
  readonly text: GroupText;
  readonly before: string;
  readonly after: string;
  readonly dma: boolean;
}

export const csv: ExportFormat = {
  extension: 'csv',
  findings: false,
  async write({ trace, path, callSites, progress }) {
    const file = new OutputFile(path);
    const walk = new Walk(trace, callSites);
    const range = { iova: 0n, size: 0n };
    file.text(`${EVENT_COLUMNS.map(({ name }) => name).join(',')}\r\n`);
    const rows = walk.run<Line>(
      (text) => {
        const { kind, operation, pid, tid, thread, object, device, fd, region, offset, register, width } =
          text;
        const before = [
          kind,
          operation,
          pid,
          tid,
          thread,
          object,
          device,
          fd,
          region,
          offset,
          register,
          width,
        ];
        const after = [text.result, text.errno, text.site, text.interrupt, text.caught];
        return {
          text,
          before: before.map((one) => field(typeof one === 'string' ? one : '') || numeric(one)).join(','),
          after: after.map((one) => field(typeof one === 'string' ? one : '') || numeric(one)).join(','),
          dma: isDmaCall(operation),
        };
      },
      ({ text, before, after, dma }, batch, row) => {
        const mapped = dma && walk.dma(text.operation, batch, row, range);
        const value = String(batch.value[row]);
        file.text(
          `${batch.firstEvent + row},${walk.time},${walk.duration},${before},${value},${BigInt.asIntN(64, batch.value[row] as bigint)},${after},${
            mapped ? `${BigInt.asIntN(64, range.iova)},${BigInt.asIntN(64, range.size)}` : '0,0'
          }\r\n`,
        );
      },
    );
    for (const events of rows) progress?.(events);
    file.close();
  },
};

function numeric(one: string | number | bigint): string {
  return typeof one === 'bigint' ? String(BigInt.asIntN(64, one)) : String(one);
}
