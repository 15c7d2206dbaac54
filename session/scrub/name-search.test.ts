// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NAME_LEAST, NameSearch } from './name-search.js';
import { commonPath } from './names.js';

test('finds the names that are there, and no others', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 8 });
  fc.assert(
    fc.property(fc.array(name, { maxLength: 12 }), fc.array(name, { maxLength: 20 }), (names, parts) => {
      const bytes = Buffer.from(parts.join('/'));
      const expected = names.filter((one) => Buffer.byteLength(one) >= NAME_LEAST && bytes.includes(one));
      assert.deepEqual([...new NameSearch(names).in(bytes)].sort(), [...new Set(expected)].sort());
    }),
    { numRuns: 500 },
  );
});

test('a path that climbs out of /sys is somebody’s', () => {
  assert.equal(
    commonPath('/sys/bus/pci/devices/0000:00:04.0/config'),
    '/sys/bus/pci/devices/0000:00:04.0/config',
  );
  assert.equal(commonPath('/sys/../home/somebody/x'), '');
  assert.equal(commonPath('/dev/vfio/devices/vfio0'), '/dev/vfio/devices/vfio0');
  assert.equal(commonPath('/dev/shm/x'), '');
});
