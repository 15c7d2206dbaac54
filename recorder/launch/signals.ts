// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
/** A witness that neither dies nor answers in this time is no help: the driver gets the signal. */
const WITNESS_MS = 1000;

/**
 * A signal that was sent to the whole process group (Ctrl-C, timeout(1), a closed terminal) has reached the driver,
 * too; one that was sent to the recorder alone has not. A signal handler in Node isn't told which it was, so a third
 * member of the group is asked: cat, which such a signal ends, and which otherwise answers with what it is given. The
 * kernel makes a signal pending for all of a group before any of them can have handled it and asked.
 */
class Witness {
  private child: ChildProcess | undefined;

  start(): void {
    // Without a core dump of its own, and gone when we are: its standard input closes.
    const child = spawn('/bin/sh', ['-c', 'ulimit -c 0; exec cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
    for (const part of [child, child.stdin, child.stdout]) part?.on('error', () => undefined);
    child.unref();
    for (const stream of [child.stdin, child.stdout]) (stream as Socket | null)?.unref();
    this.child = child;
  }

  stop(): void {
    this.child?.kill('SIGKILL');
    this.child = undefined;
  }

  /** Whether this signal went to the whole group. */
  async saw(signal: NodeJS.Signals): Promise<boolean> {
    const child = this.child;
    if (child === undefined || child.pid === undefined) return false;
    const died = await new Promise<boolean>((resolve) => {
      if (child.signalCode !== null || child.exitCode !== null) {
        resolve(child.signalCode === signal);
        return;
      }
      const timer = setTimeout(() => resolve(false), WITNESS_MS);
      child.once('exit', (_code, by) => {
        clearTimeout(timer);
        resolve(by === signal);
      });
      child.stdout?.once('data', () => {
        clearTimeout(timer);
        resolve(false);
      });
      child.stdin?.write('?');
    });
    if (child.signalCode !== null && this.child === child) this.start();
    return died;
  }
}

export interface SignalRelay {
  /** Called for each signal once the driver is gone. */
  onSignalAfterDriver: () => void;
  close(): void;
}

/** From now on signals to the recorder don't end it; the driver gets those that did not reach it already. */
export function relaySignals(driver: () => ChildProcess | undefined): SignalRelay {
  const witness = new Witness();
  witness.start();
  const relay: SignalRelay = {
    onSignalAfterDriver: () => undefined,
    close: () => {
      for (const signal of SIGNALS) process.removeListener(signal, handle);
      witness.stop();
    },
  };
  const handle = (signal: NodeJS.Signals): void => {
    void witness.saw(signal).then((group) => {
      const child = driver();
      if (child === undefined || child.exitCode !== null || child.signalCode !== null)
        relay.onSignalAfterDriver();
      else if (!group) child.kill(signal);
    });
  };
  for (const signal of SIGNALS) process.on(signal, handle);
  return relay;
}
