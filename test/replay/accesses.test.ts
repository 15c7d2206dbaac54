// SPDX-License-Identifier: Apache-2.0
/**
 * Accesses of every kind and width (test/end-to-end/drivers/accesses.c), recorded on a simulated device and, by the
 * instructions themselves, on the stand-in; and made again on both. The driver reads all of it in the end: what was made
 * otherwise is a divergence there.
 */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MmioForm } from '../../abi/mmio-sites.js';
import { HardwareMapping } from '../../replayer/hardware/hardware-mapping.js';
import { HardwareTarget } from '../../replayer/hardware/hardware-target.js';
import { type AccessKind, NativeAccess } from '../../replayer/native/access.js';
import { Libc } from '../../replayer/native/libc.js';
import { OpenDevice } from '../../replayer/replay/counterparts.js';
import type { ReplayReport } from '../../replayer/replay/divergence.js';
import { Replay, replayAll, replayOptions } from '../../replayer/replay/replay.js';
import { SimulatedTarget } from '../../replayer/replay/simulated-target.js';
import { RecordedSession } from '../../session/fixtures.js';
import { EventFlag, EventKind, PayloadRole } from '../../traces/model.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { compileC, EXAMPLE_VFIO } from '../compile.js';
import {
  buildDriver,
  command,
  recordStandin,
  run,
  scratchDirectory,
  vfiotape,
} from '../end-to-end/harness.js';
import { BDF, LIMIT } from '../end-to-end/simulated.js';

const scratch = scratchDirectory();
const BAR_BYTES = 4096;
/** A file takes the device's place, as for the recording of a stand-in. */
class FileTarget extends HardwareTarget {
  readonly #path: string;

  constructor(path: string) {
    super({ bdf: '0000:00:00.0', groupPath: path, cdevPath: path });
    this.#path = path;
  }

  openDevice(): OpenDevice {
    return new OpenDevice(this, super.open(this.#path));
  }
}

function replayOnFile(trace: Trace): ReplayReport {
  const path = join(scratch, 'bar');
  writeFileSync(path, new Uint8Array(BAR_BYTES));
  const target = new FileTarget(path);
  const replay = new Replay(trace, target, replayOptions());
  const device = target.openDevice();
  for (const { id, path: name } of trace.definitions.objects.values())
    if (name.includes('standin-device')) replay.counterparts.devices.set(id, device);
  const report = replayAll(replay);
  target.end();
  return report;
}

const omissions = ({ omissions: list }: ReplayReport): readonly string[] =>
  list.map(({ reason, count }) => `${count} × ${reason}`);

test('the instructions of a driver are made again, each as what it was', () => {
  const file = join(scratch, 'standin.vtape');
  const driver = buildDriver('accesses');
  const driven = run(process.execPath, [recordStandin, file, '--mmio=patch', driver]);
  assert.equal(driven.status, 0, driven.stderr);
  const trace = openTrace(file);
  const report = replayOnFile(trace);
  trace.close();
  // AVX-512 is stepped by the recorder, which does not see what it moves.
  const unseen = driven.stdout.startsWith('avx512');
  assert.deepEqual(
    omissions(report),
    unseen ? ['1 × stores of which the recorder did not see the value'] : [],
  );
  const others = report.divergences.filter(({ what }) => !/^BAR0\+0x3[c-f]/.test(what));
  assert.deepEqual(others, []);
  assert.equal(report.divergences.length, unseen ? 8 : 0);
  assert.ok(report.operations > 280, String(report.operations));
});

test('on a simulated device they come as the shim would bring them, recorded or not', LIMIT, () => {
  const device = join(scratch, 'memory.json');
  writeFileSync(
    device,
    JSON.stringify({ vendor: 0x1234, device: 7, class: 0x020000, bars: [{ size: BAR_BYTES }] }),
  );
  const driver = join(scratch, 'accesses');
  compileC(driver, ['test/end-to-end/drivers/accesses.c', ...EXAMPLE_VFIO], ['-DVFIO']);
  const sim = `generic:${device}`;
  const first = join(scratch, 'first.vtape');
  const second = join(scratch, 'second.vtape');
  const driven = vfiotape('record', '--sim', sim, '-o', first, '--', driver, BDF);
  assert.equal(driven.status, 0, driven.stderr);
  const here = vfiotape('replay', '--on', `sim:${sim}`, first);
  assert.match(here.stdout, /: no divergence\n {2}\d+ operations in [^\n]*\n$/);
  const replay = [process.execPath, command, 'replay', '--on', `hardware:${BDF}`, first];
  const recorded = vfiotape('record', '--sim', sim, '-o', second, '--', ...replay);
  assert.match(recorded.stdout, /: no divergence\n/, recorded.stderr);
  const { stdout, status } = vfiotape('diff', first, second);
  assert.match(stdout, /^the same: 3\d\d calls and accesses$/m, stdout);
  assert.equal(status, 0);
  const played = vfiotape('play', first, '--', driver, BDF);
  assert.equal(played.stdout, driven.stdout, played.stderr);
  assert.equal(played.status, 0, played.stderr);
});

/** No AVX. */
class OldProcessor extends NativeAccess {
  override can(kind: AccessKind, width: number): boolean {
    return width <= 16 && super.can(kind, width);
  }
}

test('what a processor can not do in one is said', () => {
  const libc = new Libc();
  const file = openSync(join(scratch, 'old'), 'w+');
  ftruncateSync(file, BAR_BYTES);
  const address = libc.mmap(file, 0n, BigInt(BAR_BYTES), true);
  const mapping = new HardwareMapping(new OldProcessor(), address, () => undefined);
  const data = Uint8Array.from({ length: 64 }, (_, i) => i);
  const seen = new Uint8Array(64);
  assert.equal(mapping.storeWide(0, data.subarray(0, 16), false), 'whole');
  assert.equal(mapping.storeWide(64, data, false), 'pieces');
  assert.equal(mapping.loadWide(64, seen), 'pieces');
  assert.deepEqual(seen, data);
  assert.equal(mapping.storeWide(128, data, true), 'none');
  assert.equal(mapping.load(128, 8), 0n, 'half of a line is none');
  libc.munmap(address, BigInt(BAR_BYTES));
  closeSync(file);
});

test('what was refused should be refused, and what was not seen is not made up', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.map(device, 0, 0x4000n);
  const access = (kind: number, offset: bigint, extra: Readonly<Record<string, unknown>>) =>
    s.event({ kind, object: device.object, op: 4 << 8, offset, ...extra });
  access(EventKind.LOAD, 0x14n, { errno: 14, flags: EventFlag.UNKNOWN });
  const answered = s.next - 1;
  access(EventKind.STORE, 0x24n, { flags: EventFlag.UNKNOWN });
  access(EventKind.LOAD, 0x24n, { value: 0n });
  access(EventKind.UPDATE, 0x24n, { flags: EventFlag.UNKNOWN });
  s.event({
    kind: EventKind.UPDATE,
    object: device.object,
    op: (16 << 8) | (MmioForm.EXCHANGE << 24),
    offset: 0x1000n,
    payloads: [{ role: PayloadRole.DATA, data: new Uint8Array(16) }],
  });
  s.configWrite(device, 4, 2, 0);
  access(EventKind.STORE, 0x24n, { errno: 14, value: 5n });
  access(EventKind.UPDATE, 0x24n, { errno: 14, value: 5n });
  const target = new SimulatedTarget('nvme', '');
  const report = replayAll(new Replay(await s.trace(), target, replayOptions()));
  target.end();
  assert.deepEqual(
    report.divergences
      .filter(({ event }) => event >= answered)
      .map(({ event, kind, what, recorded, seen }) => [event, kind, what, recorded, seen]),
    [[answered, 'fault', 'BAR0+0x14', 'SIGBUS', 'an access']],
  );
  assert.deepEqual(omissions(report), [
    '1 × stores of which the recorder did not see the value',
    '1 × read-modify-writes of which the recorder did not see the value',
    '1 × read-modify-writes of 16 bytes',
  ]);
});
