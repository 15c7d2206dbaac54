// SPDX-License-Identifier: Apache-2.0
import type { CallSites } from '../../session/symbols/call-sites.js';
import type { Trace } from '../../traces/reader.js';
import type { Finding } from '../check/finding.js';

export interface ExportRequest {
  readonly trace: Trace;
  /** A file; it is overwritten. */
  readonly path: string;
  /** What the rules find: asked for once, when the events are written, by the formats that have a place for it. */
  findings(): Promise<readonly Finding[]>;
  readonly callSites?: CallSites;
  /** Called now and then with the number of events that are done. */
  readonly progress?: (events: number) => void;
}

export interface ExportFormat {
  /** Of the file's name, without the dot. */
  readonly extension: string;
  /** It shows findings: the rules are to be run. */
  readonly findings: boolean;
  write(request: ExportRequest): Promise<void>;
}
