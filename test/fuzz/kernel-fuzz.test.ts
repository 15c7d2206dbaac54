// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KernelFuzz } from './kernel-fuzz.js';

const CALLS = 60_000;
/** A call that takes this long holds up every other process. */
const SLOWEST = 1000;

test('the simulated kernel survives a driver that does anything', (context) => {
  const seed = Number(process.env['VFIOTAPE_FUZZ_SEED'] ?? 20100608);
  const { calls, succeeded, faults, dmaBytes, slowest, slowestCall } = new KernelFuzz(seed).run(CALLS);
  const rate = Math.round((100 * succeeded) / calls);
  context.diagnostic(
    `seed ${seed}: ${calls} calls, ${rate} % succeeded, ${faults} IOMMU faults, ${dmaBytes} bytes of DMA`,
  );
  assert.ok(calls >= CALLS);
  assert.ok(dmaBytes > 0, 'devices did DMA');
  assert.ok(faults > 0, 'devices were stopped');
  assert.ok(slowest < SLOWEST, `${slowestCall} took ${slowest} ms`);
});
