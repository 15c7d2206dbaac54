// SPDX-License-Identifier: Apache-2.0
/** Many traces as one data set: the directories that Hive, Spark, DuckDB and others know as partitions. */
import { basename, join } from 'node:path';

/** Names of sessions for files, each once, fit for the name of a directory. */
export function sessionNames(paths: readonly string[]): readonly string[] {
  const taken = new Set<string>();
  return paths.map((path) => {
    const stem = basename(path === '-' ? 'stdin' : path).replace(/\.vtape$/, '');
    const safe = stem.replace(/[^A-Za-z0-9._-]/g, '_') || 'session';
    let name = safe;
    for (let n = 2; taken.has(name); n++) name = `${safe}-${n}`;
    taken.add(name);
    return name;
  });
}

export function partition(
  directory: string,
  session: string,
): { readonly events: string; readonly findings: string } {
  const file = (table: string): string => join(directory, table, `session=${session}`, 'part-0.parquet');
  return { events: file('events'), findings: file('findings') };
}
