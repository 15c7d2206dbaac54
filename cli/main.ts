#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { packageVersion } from '../abi/package-root.js';
import { UserError } from '../abi/user-error.js';
import { ExitStatus } from './exit-status.js';
import type { Verb } from './verb.js';

/** Each verb's module is read only when it is called for: start-up is what one feels of a command line. */
const VERBS: Readonly<
  Record<string, { readonly summary: string; readonly load: () => Promise<{ verb: unknown }> }>
> = {
  demo: {
    summary: 'the whole story on this machine, with no hardware',
    load: () => import('./demo.js'),
  },
  record: {
    summary: 'run a driver and record what it does to its device',
    load: () => import('./record.js'),
  },
  run: {
    summary: 'run a driver on a simulated machine, without recording',
    load: () => import('./run.js'),
  },
  info: { summary: 'what a trace holds: device, objects, counts, losses', load: () => import('./info.js') },
  dump: { summary: 'every event, decoded, one line each', load: () => import('./dump.js') },
  check: {
    summary: 'hold traces against the rules of VFIO and PCI; for a person, and for CI',
    load: () => import('./check.js'),
  },
  report: {
    summary: 'the same with charts of the session, as one HTML file',
    load: () => import('./report.js'),
  },
  rules: { summary: 'the catalogue of rules, or one rule explained', load: () => import('./rules.js') },
  stats: {
    summary: 'where the time goes: latencies, rates, queues, interrupts',
    load: () => import('./stats.js'),
  },
  export: {
    summary: 'traces for Perfetto, Chrome, Parquet, CSV, JSON lines',
    load: () => import('./export.js'),
  },
  query: { summary: 'SQL over traces', load: () => import('./query.js') },
  replay: {
    summary: 'reissue a recorded session to a device, and report every divergence',
    load: () => import('./replay.js'),
  },
  serve: { summary: 'a simulated device for vfio-user clients', load: () => import('./serve.js') },
  play: {
    summary: 'give an unmodified driver the recorded device back',
    load: () => import('./play.js'),
  },
  trim: {
    summary: 'a window of a trace, with the set-up that it needs',
    load: () => import('./trim.js'),
  },
  scrub: {
    summary: 'a trace to give away: without contents, addresses and names',
    load: () => import('./scrub.js'),
  },
  diff: {
    summary: 'what the second of two sessions of one driver does otherwise',
    load: () => import('./diff.js'),
  },
  recover: { summary: 'seal what a killed recorder left behind', load: () => import('./recover.js') },
  doctor: { summary: 'can this machine record, and if not, what to do', load: () => import('./doctor.js') },
};

const HELP = `vfiotape records what an unmodified userspace VFIO driver does to its PCI device, and shows it.

Usage: vfiotape VERB [OPTIONS] …

${Object.entries(VERBS)
  .map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`)
  .join('\n')}

  vfiotape VERB --help   the options of one verb
  vfiotape --version

First steps:
  vfiotape demo
  vfiotape doctor
  vfiotape record -o my.vtape -- ./my-driver 0000:01:00.0
  vfiotape info my.vtape
  vfiotape dump my.vtape | less
  vfiotape check my.vtape
  vfiotape report my.vtape -o report.html
`;

export async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(HELP);
    return ExitStatus.OK;
  }
  if (name === '--version') {
    process.stdout.write(`vfiotape ${packageVersion()}\n`);
    return ExitStatus.OK;
  }
  const entry = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (entry === undefined) {
    const what = name.startsWith('-') ? `unknown option '${name}'` : `unknown verb '${name}'`;
    throw new UserError(`${what}; the verbs are ${Object.keys(VERBS).join(', ')}; see vfiotape --help`);
  }
  const { parseVerb } = await import('./parse.js');
  // A module's verb is checked against Verb<O> where it is defined; which O it was no longer matters here.
  const verb = (await entry.load()).verb as Verb;
  const args = await parseVerb(name, verb, rest);
  return args === undefined ? ExitStatus.OK : await verb.run(args);
}

function report(error: unknown): number {
  if (error instanceof UserError) {
    process.stderr.write(`vfiotape: ${error.message}\n`);
    return ExitStatus.USAGE;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(
    `${text}\nvfiotape: this is a bug in vfiotape ${packageVersion()}; please report it with the lines above\n`,
  );
  return ExitStatus.BUG;
}

function isProgram(): boolean {
  const script = process.argv[1];
  return script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url);
}

if (isProgram()) {
  // `vfiotape dump t.vtape | head`: the reader has seen enough, and that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(ExitStatus.OK);
    throw error;
  });
  process.stderr.on('error', () => undefined);
  main(process.argv.slice(2)).then(
    (status) => {
      process.exitCode = status;
    },
    (error: unknown) => {
      process.exitCode = report(error);
    },
  );
}
