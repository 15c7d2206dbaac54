// SPDX-License-Identifier: Apache-2.0
/** A JSON object a line, with the columns of the Parquet table (docs/parquet.md); numbers of 64 bits are strings, what is empty is left out. */
import { isDmaCall } from '../../session/groups/dma-arguments.js';
import type { ExportFormat } from './format.js';
import { OutputFile } from './output.js';
import { type GroupText, Walk } from './walk.js';

interface Line {
  readonly text: GroupText;
  readonly rest: string;
  readonly dma: boolean;
}

export const jsonl: ExportFormat = {
  extension: 'jsonl',
  findings: false,
  async write({ trace, path, callSites, progress }) {
    const file = new OutputFile(path);
    const walk = new Walk(trace, callSites);
    const range = { iova: 0n, size: 0n };
    const rows = walk.run<Line>(
      (text) => ({ text, rest: common(text), dma: isDmaCall(text.operation) }),
      ({ text, rest, dma }, batch, row) => {
        const mapped = dma && walk.dma(text.operation, batch, row, range);
        const ranges = mapped ? `,"iova":"${range.iova}","size":"${range.size}"` : '';
        file.text(
          `{"event":${batch.firstEvent + row},"time_ns":${walk.time},"duration_ns":${walk.duration},"value":"${batch.value[row]}"${ranges},${rest}\n`,
        );
      },
    );
    for (const events of rows) progress?.(events);
    file.close();
  },
};

/** The object's end, closing brace included. */
function common(text: GroupText): string {
  const { name: _name, threadId: _threadId, offset, result, width, fd, ...words } = text;
  const filled = Object.entries(words).filter(([, value]) => value !== '');
  const object = {
    ...Object.fromEntries(filled),
    offset: String(offset),
    result: String(result),
    ...(fd >= 0 && { fd }),
    ...(width > 0 && { width }),
  };
  return JSON.stringify(object).slice(1);
}
