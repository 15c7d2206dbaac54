// SPDX-License-Identifier: Apache-2.0

/** Microseconds with the nanoseconds behind the point: `1204.567us`. One unit, so that lines compare and sort. */
export function timeText(ns: number): string {
  const whole = Math.round(ns);
  if (whole < 0) return `-${timeText(-whole)}`;
  const rest = whole % 1000;
  return `${(whole - rest) / 1000}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}us`;
}

/** In the unit that suits it: `850ns`, `1.203us`, `12.304ms`, `3.000s`. */
export function durationText(ns: number): string {
  const whole = Math.round(ns);
  if (whole < 1000) return `${whole}ns`;
  if (whole < 1_000_000) return `${thousandths(whole)}us`;
  if (whole < 1_000_000_000) return `${thousandths(whole / 1000)}ms`;
  return `${thousandths(whole / 1_000_000)}s`;
}

function thousandths(value: number): string {
  const whole = Math.floor(value);
  const rest = whole % 1000;
  return `${(whole - rest) / 1000}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}`;
}
