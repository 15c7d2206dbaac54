// SPDX-License-Identifier: Apache-2.0
/**
 * Replay on hardware:BDF, whose kernel is the simulated one: our own replay is a driver like any other, by way of the shim.
 * The sessions of the corpus are of a real kernel's.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ConfigSpace } from '../../abi/pci/config-space.js';
import { Guard } from '../../replayer/replay/guard.js';
import { Masks } from '../../replayer/replay/masks.js';
import { RecordedSession } from '../../session/fixtures.js';
import {
  command,
  type Outcome,
  processesOf,
  root,
  run,
  scratchDirectory,
  vfiotape,
} from '../end-to-end/harness.js';
import { BDF, LIMIT } from '../end-to-end/simulated.js';

const scratch = scratchDirectory();
const corpus = (name: string): string => join(root, 'traces/corpus', `${name}.vtape`);
const replay = (trace: string, ...options: readonly string[]): readonly string[] => [
  ...[process.execPath, command, 'replay', '--on', `hardware:${BDF}`, ...options, trace],
];
/** Replayed on the simulated machine's device. */
const replayed = (device: string, trace: string, ...options: readonly string[]): Outcome =>
  vfiotape('run', '--sim', device, '--', ...replay(trace, ...options));
/** The same, recorded: the lines of what was done to the device. */
function recorded(device: string, trace: string, ...options: readonly string[]) {
  const file = join(scratch, `again-${options.join('')}.vtape`);
  const outcome = vfiotape('record', '-o', file, '--sim', device, '--', ...replay(trace, ...options));
  return { ...outcome, lines: vfiotape('dump', file).stdout };
}

const withInput = (input: string, ...args: readonly string[]): Outcome =>
  run(process.execPath, [command, ...args], { input, stdio: ['pipe', 'pipe', 'pipe'] });

/** By SIGHUP, which node itself leaves alone: the replay has its device, or will have it before it looks at signals. */
function catchesSignals(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  return (BigInt(`0x${caught}`) & 1n) !== 0n;
}

describe('replay on hardware', LIMIT, () => {
  for (const name of ['edu/group', 'edu/cdev']) {
    test(`${name}: no divergence`, () => {
      const { stdout, stderr, status } = replayed('edu', corpus(name), '--allow-dma');
      assert.match(stdout, /on hardware:0000:00:04\.0: no divergence\n {2}\d\d operations/, stderr);
      assert.doesNotMatch(stdout, /left out/);
      assert.equal(status, 0);
    });
  }

  test('a session of device nodes is reissued where there are only groups', () => {
    const { stdout, stderr, status } = vfiotape(
      ...['run', '--sim', 'edu', '--sim-kernel', 'version=6.1', '--'],
      ...replay(corpus('edu/cdev'), '--allow-dma'),
    );
    assert.match(stdout, /: no divergence/, stderr);
    assert.equal(status, 0);
  });

  test('a replay can be recorded, and does not master the bus unless it is allowed to', () => {
    const { stdout, lines } = recorded('edu', corpus('edu/group'));
    assert.match(stdout, /left out: 1 × bus mastering, which --allow-dma allows/);
    assert.match(stdout, /left out: \d × interrupts, which are messages and need bus mastering/);
    assert.match(lines, /write config\+0x4 Command = 0x0103 /);
    assert.doesNotMatch(lines, /write config\+0x4 .*MASTER=1/);
    assert.match(lines, /load BAR0\+0x4 LIVENESS = 0xedcba987 @libvfiotape-access\.so/);
  });

  test('a device that is open at the end is reset', () => {
    const s = new RecordedSession();
    const { device } = s.openNvme();
    s.configRead(device, 0, 4, 0x00101b36);
    const trace = join(scratch, 'open.vtape');
    return s.write(trace).then(() => {
      const { lines, stderr } = recorded('nvme', trace);
      const calls = lines.split('\n').filter((line) => /device0/.test(line));
      assert.match(calls.at(-2) ?? '', /VFIO_DEVICE_RESET = 0/, stderr);
      assert.match(calls.at(-1) ?? '', /close/);
    });
  });

  test('Ctrl-C ends it, and the device is reset', async () => {
    const s = new RecordedSession();
    const { device } = s.openNvme();
    s.after(3600e9);
    s.configRead(device, 0, 4, 0x00101b36);
    const trace = join(scratch, 'long.vtape');
    await s.write(trace);
    const file = join(scratch, 'stopped.vtape');
    const stopped = spawn(
      process.execPath,
      [...[command, 'record', '-o', file, '--sim', 'nvme', '--'], ...replay(trace, '--pace', 'recorded')],
      { detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let text = '';
    stopped.stdout.on('data', (data) => {
      text += data;
    });
    while (!processesOf(process.execPath, trace).some((pid) => pid !== stopped.pid && catchesSignals(pid)))
      await new Promise((resolve) => setTimeout(resolve, 50));
    process.kill(-(stopped.pid as number), 'SIGINT');
    const [status] = (await once(stopped, 'close')) as [number | null];
    assert.match(text, /stopped by SIGINT, after event \d+/);
    assert.equal(status, 130);
    assert.match(vfiotape('dump', file).stdout, /VFIO_DEVICE_RESET = 0/);
  });

  test('another device is refused, unless it is forced', () => {
    const { stderr, status } = replayed('nvme', corpus('edu/group'));
    assert.match(
      stderr,
      /^vfiotape: 0000:00:04\.0 is 1b36:0010, class 0x010802; the recorded device was 1234:11e8, class 0x00ff00; --force/,
    );
    assert.equal(status, 2);
    const forced = replayed('nvme', corpus('edu/group'), '--force');
    assert.match(forced.stdout, /\d+ divergences/);
    assert.equal(forced.status, 1);
  });

  test('what is no device of VFIO’s is said in one line', () => {
    const on = (name: string) => vfiotape('replay', '--on', name, corpus('edu/group'));
    for (const [name, line] of [
      ['hardware:nonsense', /^vfiotape: 'nonsense' is no PCI address; write one like 0000:01:00\.0/],
      ['hardware:ffff:ff:1f.7', /^vfiotape: there is no PCI device ffff:ff:1f\.7/],
      ['hardware:', /^vfiotape: replay: --on 'hardware:' is not understood/],
      [
        'elsewhere:x',
        /^vfiotape: replay: --on 'elsewhere:x' is not understood; write hardware:BDF or sim:DEVICE/,
      ],
    ] as const) {
      const { stderr, status } = on(name);
      assert.match(stderr, line);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
      assert.equal(status, 2);
    }
    const options = vfiotape('replay', '--on', 'sim:edu', '--allow-dma', corpus('edu/group'));
    assert.match(options.stderr, /--allow-dma goes with --on hardware:BDF/);
  });

  test('a dry run says what would be done, and does none of it', () => {
    const file = join(scratch, 'dry.vtape');
    const { stdout, status } = vfiotape(
      ...['record', '-o', file, '--sim', 'edu', '--'],
      ...replay(corpus('edu/cdev'), '--dry-run'),
    );
    assert.equal(status, 0);
    assert.match(
      stdout,
      /write config\+0x4 Command = 0x0\d07 .*\n {9}left out: bus mastering, which --allow-dma allows\n/,
    );
    assert.match(stdout, /a dry run, nothing was done\n {2}\d\d operations would be done\n/);
    assert.doesNotMatch(vfiotape('dump', file).stdout, /\/dev\/vfio|VFIO_/);
  });
});

test('commands step through a replay', () => {
  const commands = 'n 3\nc op=mmap\nr ID\nr BAR0+0x4\nr config Command\nr nothing\ns\nbogus\nhelp\nn x\nc\n';
  const { stdout, status } = withInput(commands, 'replay', '--on', 'sim:edu', '--step', corpus('edu/group'));
  const wanted = [
    /^ +\d+ .*open \/dev\/vfio\/vfio/,
    /mmap BAR0\+0x0 1M/,
    /^BAR0\+0x0 ID = 0x010000ed MAJOR=1$/m,
    /^BAR0\+0x4 LIVENESS = 0x00000000$/m,
    /^config\+0x4 Command = 0x0/m,
    /^no register is named 'nothing'/m,
    /^ {2}device0 BAR0\+0x0 to 0x100000: mapped$/m,
    /^there is no command 'bogus'/m,
    /^ {2}next \[N\]/m,
    /^next takes a number of operations$/m,
    /on sim:edu: no divergence$/m,
  ];
  for (const line of wanted) assert.match(stdout, line);
  assert.equal(status, 0);
});

test('the end of the commands is the end of the replay', () => {
  const { stdout } = withInput('n\nn\n', 'replay', '--on', 'sim:edu', '--step', corpus('edu/group'));
  assert.match(stdout, /stopped by the user, after event \d+/);
});

test('--until ends at an event that fits', () => {
  const { stdout, status } = vfiotape(
    ...['replay', '--on', 'sim:edu', '--until', 'register=FACTORIAL', corpus('edu/group')],
  );
  assert.match(stdout, /stopped where --until says, event \d+/);
  assert.equal(status, 0);
});

describe('Guard', () => {
  /** An NVMe drive's: MSI-X at 0x40, its table at BAR0+0x2000. */
  function drive(): ConfigSpace {
    const bytes = new Uint8Array(256);
    bytes.set([0x10, 0], 0x06);
    bytes[0x34] = 0x40;
    bytes.set([0x11, 0, 0x40, 0, 0x00, 0x20, 0, 0, 0x00, 0x30, 0, 0], 0x40);
    return new ConfigSpace(bytes);
  }

  test('withholds the MSI-X table, and nothing beside it', () => {
    const guard = new Guard(true, new Masks(), drive);
    const end = 0x2000 + 65 * 16;
    assert.equal(guard.isTable(0, 0x2000, 4), true);
    assert.equal(guard.isTable(0, end - 1, 1), true);
    assert.equal(guard.isTable(0, 0x1ffc, 8), true);
    assert.equal(guard.isTable(0, 0x1ffc, 4), false);
    assert.equal(guard.isTable(0, end, 4), false);
    assert.equal(guard.isTable(1, 0x2000, 4), false);
    assert.equal(guard.write(0, 0x2000, new Uint8Array(4))?.whole, true);
    assert.equal(guard.write(0, 0x14, new Uint8Array(4)), undefined);
  });

  test('takes the bus master bit out of writes of any width', () => {
    for (const [offset, bytes] of [
      [4, [6]],
      [4, [6, 1]],
      [0, [0, 0, 0, 0, 6, 1]],
      [3, [9, 6]],
    ] as const) {
      const masks = new Masks();
      const guard = new Guard(false, masks, () => undefined);
      const given = Uint8Array.from(bytes);
      assert.equal(guard.write(7, offset, given)?.whole, false);
      assert.equal(given[4 - offset], 2);
      assert.equal(guard.mayInterrupt, false);
      assert.equal(masks.bits(7, 4, 'Command'), 4n, 'the bit reads otherwise from now on');
    }
    const guard = new Guard(false, new Masks(), () => undefined);
    for (const [offset, value] of [
      [5, 6],
      [4, 2],
    ] as const)
      assert.equal(guard.write(7, offset, Uint8Array.of(value)), undefined);
  });

  test('allows it only while every recorded mapping is there', () => {
    const guard = new Guard(true, new Masks(), () => undefined);
    assert.equal(guard.write(7, 4, Uint8Array.of(6)), undefined);
    guard.mapFailed('VFIO_IOMMU_MAP_DMA of event 7 could not be done');
    assert.match(guard.write(7, 4, Uint8Array.of(6))?.reason ?? '', /since VFIO_IOMMU_MAP_DMA of event 7/);
  });
});
