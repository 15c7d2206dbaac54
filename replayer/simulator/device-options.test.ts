// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { UserError } from '../../abi/user-error.js';
import { Edu } from '../devices/edu/edu.js';
import { Generic } from '../devices/generic/generic.js';
import { Nvme } from '../devices/nvme/nvme.js';
import { placeDevices } from '../kernel/topology.js';
import { parseDevice } from './device-options.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-devices-'));
after(() => rmSync(scratch, { recursive: true }));

const image = join(scratch, 'image');
writeFileSync(image, '');
truncateSync(image, 3 << 20);
const description = join(scratch, 'card.json');
writeFileSync(description, '{"vendor": 1, "device": 2, "class": 3}');

function close(slot: ReturnType<typeof parseDevice>): void {
  slot.device.close?.();
}

test('every device by its name, with and without its options', () => {
  for (const text of ['nvme', 'nvme:', 'nvme:size=1M', 'nvme:size=2G', `nvme:file=${image}`]) {
    const slot = parseDevice(text);
    assert.ok(slot.device instanceof Nvme, text);
    assert.equal(slot.bdf, undefined);
    close(slot);
  }
  const placed = parseDevice('nvme:size=4M,bdf=0000:00:1f.7');
  assert.equal(placed.bdf, '0000:00:1f.7');
  close(placed);
  assert.ok(parseDevice('edu').device instanceof Edu);
  assert.equal(parseDevice('edu:bdf=0001:00:04.0').bdf, '0001:00:04.0');
  assert.ok(parseDevice(`generic:${description}`).device instanceof Generic);
  assert.equal(parseDevice(`generic:${description},bdf=0000:02:00.0`).bdf, '0000:02:00.0');
});

test('a file that may only be read makes a namespace that may only be read', () => {
  const readOnly = join(scratch, 'read-only');
  writeFileSync(readOnly, new Uint8Array(1024));
  chmodSync(readOnly, 0o444);
  close(parseDevice(`nvme:file=${readOnly}`));
});

const tiny = join(scratch, 'tiny');
writeFileSync(tiny, new Uint8Array(511));

const MISTAKES: readonly (readonly [string, RegExp])[] = [
  ['', /--sim '': no such device; there are nvme, edu, generic:FILE, vfio-user:SOCKET and TRACE\.vtape/],
  ['nvm', /--sim nvm: no such device; there are nvme, edu, generic:FILE, vfio-user:SOCKET and TRACE\.vtape/],
  ['NVME', /no such device/],
  ['nvme,size=1M', /no such device/],
  ['trace.vtape', /--sim trace\.vtape: can't be opened: no such file/],
  ['/var/tmp/a:b.vtape', /--sim \/var\/tmp\/a:b\.vtape: can't be opened/],
  ['vfio-user', /--sim vfio-user: name the socket of the server: vfio-user:SOCKET/],
  ['vfio-user:/run/device,size=4M', /'size=4M' is not understood; known are bdf=/],
  ['nvme:colour=red', /'colour=red' is not understood; known are file=, size=, bdf=/],
  ['nvme:size', /'size' is not understood/],
  ['nvme:size=', /'size=' is not understood/],
  ['nvme:size=1M,size=2M', /size= is given twice/],
  ['nvme:size=much', /'much' is no size; write it like 64M or 2G/],
  ['nvme:size=-1', /'-1' is no size/],
  ['nvme:size=1K', /too small; at least 1 MiB/],
  ['nvme:size=2T', /too large; at most 1 TiB/],
  ['nvme:size=1048577', /the size is in blocks of 512 bytes/],
  [`nvme:file=${image},size=1M`, /a file has its own size; give file= or size=/],
  ['nvme:file=/nonexistent/image', /cannot open '\/nonexistent\/image': ENOENT/],
  [`nvme:file=${scratch}`, /is no regular file/],
  ['nvme:file=/dev/null', /is no regular file/],
  [`nvme:file=${tiny}`, /holds no block of 512 bytes/],
  ['nvme:bdf=00:04.0', /--sim nvme:bdf=00:04\.0: '00:04\.0' is no PCI address like 0000:00:04\.0/],
  ['edu:bdf=0000:00:20.0', /a bus has 32 devices/],
  ['edu:bdf=0000:00:04.8', /is no PCI address/],
  ['edu:size=1M', /'size=1M' is not understood; known are bdf=/],
  ['generic', /name the file that describes the device: generic:FILE/],
  ['generic:', /name the file that describes the device/],
  ['generic:,bdf=0000:00:04.0', /name the file that describes the device/],
  ['generic:/nonexistent.json', /cannot read \/nonexistent\.json: ENOENT/],
  [`generic:${description},size=1M`, /'size=1M' is not understood/],
];

for (const [text, expected] of MISTAKES) {
  test(`--sim ${text.replaceAll(scratch, 'SCRATCH')} is refused in one line`, () => {
    assert.throws(
      () => parseDevice(text),
      (error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, expected);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  });
}

test('two devices can’t be at one address, and a bus is full at some time', () => {
  const at = () => parseDevice('edu:bdf=0000:00:05.0');
  assert.throws(() => placeDevices([at(), at()]), /two simulated devices have the same PCI address/);
  const many = Array.from({ length: 29 }, () => parseDevice('edu'));
  assert.equal(placeDevices(many.slice(0, 28)).at(-1)?.bdf, '0000:00:1f.0');
  assert.throws(() => placeDevices(many), /no room for more simulated devices on bus 0/);
});
