// SPDX-License-Identifier: Apache-2.0
/**
 * Sessions of the corpus, reissued on a real kernel: a session of device nodes where there are only groups and the reverse,
 * and one in which twenty differences were planted.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { openTrace } from '../../traces/reader.js';
import { plantTwenty } from '../replay/planted.js';
import { guestRoot } from './guest-script.js';
import type { KernelName } from './kernels.js';
import { devices } from './machine.js';
import type { Tally } from './tally.js';

interface Job {
  readonly name: string;
  readonly what: string;
  /** In the guest. */
  readonly trace: string;
  /** Events that diverge, and no others. */
  readonly diverging: readonly number[];
  /** Containers and groups are not to be found meanwhile. */
  readonly withoutGroups?: true;
}

interface Report {
  readonly operations: number;
  readonly divergences: readonly { readonly event: number }[];
  readonly omissions: readonly { readonly reason: string }[];
}

const corpus = (session: string): string => `traces/corpus/${session}.vtape`;

export class CorpusReplays {
  readonly #jobs: readonly Job[];

  private constructor(jobs: readonly Job[]) {
    this.#jobs = jobs;
  }

  /** `out`: the directory that the guest has as /out. */
  static async make(kernel: KernelName, out: string): Promise<CorpusReplays> {
    const inGuest = (session: string): string => `${guestRoot}/${corpus(session)}`;
    if (kernel === 'vfio') {
      const what = 'a session of groups is replayed where there are only device nodes, without a divergence';
      const trace = inGuest('edu/group');
      return new CorpusReplays([
        { name: 'replay-on-nodes', what, trace, diverging: [], withoutGroups: true },
      ]);
    }
    mkdirSync(out, { recursive: true });
    const original = openTrace(readFileSync(join(packageRoot(), corpus('edu/group'))));
    const { trace: planted, events } = await plantTwenty(original, join(out, 'planted.vtape'));
    planted.close();
    return new CorpusReplays([
      {
        name: 'replay-on-groups',
        what: 'a session of device nodes is replayed where there are only groups, without a divergence',
        trace: inGuest('edu/cdev'),
        diverging: [],
      },
      {
        name: 'replay-planted',
        what: 'of twenty planted differences twenty are found on the real kernel, and none else',
        trace: '/out/planted.vtape',
        diverging: events,
      },
    ]);
  }

  /** What the guest runs, once edu is vfio-pci's. */
  get script(): string {
    return this.#jobs.map(lines).join('');
  }

  check(out: string, tally: Tally): void {
    for (const job of this.#jobs) tally.check(job.what, trouble(job, out));
  }
}

function lines({ name, trace, withoutGroups }: Job): string {
  const replay = `${process.execPath} ${guestRoot}/dist/cli/main.js replay --on hardware:${devices.edu.bdfs[0]} --allow-dma --json`;
  const job = `job ${name} 180 ${replay} ${trace}\n`;
  return withoutGroups === true
    ? `mv /dev/vfio/vfio /dev/container\n${job}mv /dev/container /dev/vfio/vfio\n`
    : job;
}

function trouble({ name, diverging }: Job, out: string): string {
  const read = (extension: string): string => readFileSync(join(out, `${name}.${extension}`), 'utf8');
  try {
    const text = read('out');
    const { operations, divergences, omissions } = JSON.parse(text.slice(text.indexOf('{'))) as Report;
    const found = divergences.map(({ event }) => event);
    const expected = read('status').trim() === (diverging.length > 0 ? '1' : '0');
    if (expected && operations > 40 && omissions.length === 0 && String(found) === String(diverging))
      return '';
    return `${text}${read('err')}\nexpected: ${diverging.join(', ') || 'none'}`;
  } catch (error) {
    return `${error}\n${read('err')}`;
  }
}
