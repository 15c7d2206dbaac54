// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';

/** One measured figure; names are stable, they are what figures of different days are compared by. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it should reach, as text: '>= 30'. Empty: only told. */
  readonly goal: string;
}

/** The benches of one area: the part of their names before the first dot. */
export interface Area {
  readonly name: string;
  run(report: (figure: Figure) => void): Promise<void>;
}

export const RUNS = 11;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** CPU time of all threads of this process, ns: collector of garbage and compiler included. */
export function processCpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** CPU time of the calling thread, ns. */
export function threadCpuNs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]);
}

/** Largest resident size of this process so far, MB. */
export function peakRssMb(): number {
  return process.resourceUsage().maxRSS / 1024;
}

/** Median over RUNS of what `once` returns, after two runs that warm up. */
export async function medianOf(once: () => number | Promise<number>): Promise<number> {
  await once();
  await once();
  const values: number[] = [];
  for (let n = 0; n < RUNS; n++) {
    values.push(await once());
  }
  return median(values);
}

/** Whether a figure reaches its goal; undefined when it has none. */
export function reaches(figure: Figure): boolean | undefined {
  const [, relation, number] = /^(<=|>=) ([0-9.]+)$/.exec(figure.goal) ?? [];
  if (relation === undefined) {
    return undefined;
  }
  return relation === '<=' ? figure.value <= Number(number) : figure.value >= Number(number);
}
