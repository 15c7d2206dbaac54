// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MMIO_REASON_COUNT, MMIO_TIER_COUNT, MmioForm, reasonText, tierName } from './mmio-sites.js';
import { packageRoot } from './package-root.js';

test('every tier and reason of the shim has words, and forms have its numbers', () => {
  const header = readFileSync(join(packageRoot(), 'recorder/shim/mmio/mmio.h'), 'utf8');
  const last = (prefix: string) =>
    Math.max(
      ...[...header.matchAll(new RegExp(`\\b${prefix}_(?!END|COUNT)\\w+ = (\\d+)`, 'g'))].map(([, number]) =>
        Number(number),
      ),
    );
  assert.equal(MMIO_TIER_COUNT, last('MMIO_TIER') + 1);
  assert.equal(MMIO_REASON_COUNT, last('MMIO_REASON') + 1);
  for (const [name, number] of Object.entries(MmioForm))
    assert.match(header, new RegExp(`\\bMMIO_FORM_${name} = ${number},`));
  assert.equal(tierName(99), 'tier 99');
  assert.equal(reasonText(99), 'reason 99');
});
