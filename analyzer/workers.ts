// SPDX-License-Identifier: Apache-2.0
/** The same work on many traces, on all cores. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

interface Reply<R> {
  readonly result?: R;
  readonly failure?: { readonly name: string; readonly message: string; readonly stack: string };
}

/** An error of another thread, told apart by the name of its class there. */
export class WorkerError extends Error {
  override readonly name: string;
  constructor(name: string, message: string, stack: string) {
    super(message);
    this.name = name;
    this.stack = stack;
  }
}

/** Of a module that calls `serve`; the results come in the order of the tasks. */
export async function onAllCores<T, R>(module: URL, tasks: readonly T[]): Promise<readonly R[]> {
  const results = new Array<R>(tasks.length);
  let next = 0;
  const run = async (): Promise<void> => {
    const worker = new Worker(module);
    try {
      for (let n = next++; n < tasks.length; n = next++) results[n] = await ask<T, R>(worker, tasks[n] as T);
    } finally {
      await worker.terminate();
    }
  };
  const count = Math.max(1, Math.min(tasks.length, availableParallelism()));
  await Promise.all(Array.from({ length: count }, run));
  return results;
}

/** One task beside what this thread does; a failure is told by `result` only. */
export function inAnotherThread<T, R>(
  module: URL,
  task: T,
): { readonly result: Promise<R>; readonly stop: () => void } {
  const worker = new Worker(module);
  const result = ask<T, R>(worker, task);
  result.catch(() => undefined);
  return { result, stop: () => void worker.terminate() };
}

function ask<T, R>(worker: Worker, task: T): Promise<R> {
  return new Promise<R>((resolve, reject) => {
    const stop = (): void => {
      worker.removeAllListeners('message');
      worker.removeAllListeners('error');
    };
    worker.once('message', ({ result, failure }: Reply<R>) => {
      stop();
      if (failure === undefined) resolve(result as R);
      else reject(new WorkerError(failure.name, failure.message, failure.stack));
    });
    worker.once('error', (error: Error) => {
      stop();
      reject(error);
    });
    worker.postMessage(task);
  });
}
