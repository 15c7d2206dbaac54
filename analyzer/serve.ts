// SPDX-License-Identifier: Apache-2.0
import { isMainThread, parentPort } from 'node:worker_threads';

/** In a thread that `onAllCores` started: does what it is asked, one task after the other. */
export function serve<T, R>(work: (task: T) => Promise<R>): void {
  const port = parentPort;
  if (isMainThread || port === null) return;
  port.on('message', (task: T) => {
    work(task).then(
      (result) => port.postMessage({ result }),
      (error: unknown) => {
        const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
        port.postMessage({ failure: { name, message, stack } });
      },
    );
  });
}
