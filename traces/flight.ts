// SPDX-License-Identifier: Apache-2.0
/**
 * A flight recording keeps its last chunks in files beside the trace, t.vtape.part.1, .2, …, so that the oldest can be
 * given up by removing a file: nothing else gives disk space back in the middle of a recording. Header and definitions
 * are in the trace itself and survive. Sealing moves the parts behind them, one at a time.
 */
import { constants } from 'node:fs';
import { open, readdir, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TraceFile } from './trace-file.js';

/** Given up in steps of this share of the limit. */
const PARTS = 8;

export interface PartChunk {
  readonly firstEvent: number;
  readonly events: number;
  readonly size: number;
}

interface Part {
  readonly file: TraceFile;
  readonly chunks: PartChunk[];
}

/** The parts that lie beside a trace, oldest first. */
export async function partsOf(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.part.`;
  const names = await readdir(dirname(path));
  return names
    .filter((name) => name.startsWith(prefix) && /^[1-9][0-9]*$/.test(name.slice(prefix.length)))
    .sort((a, b) => Number(a.slice(prefix.length)) - Number(b.slice(prefix.length)))
    .map((name) => join(dirname(path), name));
}

export class FlightRecorder {
  droppedChunks = 0;
  droppedEvents = 0;
  private readonly parts: Part[] = [];
  private made = 0;

  constructor(
    private readonly path: string,
    private readonly limit: number,
  ) {}

  get bytes(): number {
    return this.parts.reduce((sum, part) => sum + part.file.size, 0);
  }

  /** Appends a chunk's packet, `others` being the bytes that are in use beside the parts. */
  async append(
    pieces: readonly Uint8Array[],
    chunk: PartChunk,
    others: number,
  ): Promise<readonly PartChunk[]> {
    const given: PartChunk[] = [];
    while (this.parts.length > 0 && others + this.bytes + chunk.size > this.limit) {
      given.push(...(await this.giveUpOldest()));
    }
    let last = this.parts.at(-1);
    if (last === undefined || last.file.size + chunk.size > this.limit / PARTS) {
      last = { file: await this.newPart(), chunks: [] };
      this.parts.push(last);
    }
    await last.file.append(pieces, chunk.events);
    last.chunks.push(chunk);
    return given;
  }

  /** Moves the parts behind the packets of the trace; `moved` is told of each chunk and where it now begins. */
  async moveTo(file: TraceFile, moved: (chunk: PartChunk, offset: number) => void): Promise<void> {
    for (let part = this.parts[0]; part !== undefined; part = this.parts[0]) {
      let from = 0;
      for (const chunk of part.chunks) {
        const packet = new Uint8Array(chunk.size);
        await part.file.read(packet, from);
        moved(chunk, await file.append([packet], chunk.events));
        from += chunk.size;
      }
      await this.removeOldest();
    }
  }

  async close(): Promise<void> {
    for (const part of this.parts) {
      await part.file.close();
    }
  }

  private async newPart(): Promise<TraceFile> {
    this.made++;
    const path = `${this.path}.part.${this.made}`;
    const handle = await open(
      path,
      constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    await handle.close();
    return TraceFile.reopen(path, 0);
  }

  private async giveUpOldest(): Promise<readonly PartChunk[]> {
    const chunks = this.parts[0]?.chunks ?? [];
    await this.removeOldest();
    this.droppedChunks += chunks.length;
    this.droppedEvents += chunks.reduce((sum, chunk) => sum + chunk.events, 0);
    return chunks;
  }

  private async removeOldest(): Promise<void> {
    const oldest = this.parts.shift();
    if (oldest !== undefined) {
      await oldest.file.close();
      await unlink(oldest.file.path);
    }
  }
}
