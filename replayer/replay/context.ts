// SPDX-License-Identifier: Apache-2.0
import type { Session } from '../../session/state.js';
import type { Trace } from '../../traces/reader.js';
import type { Account } from './account.js';
import type { Comparison } from './comparison.js';
import type { Counterparts } from './counterparts.js';
import type { Guard } from './guard.js';
import type { Pace } from './pace.js';
import type { Patience } from './patience.js';
import type { Target } from './target.js';

/** What the parts of one replay share. */
export interface ReplayContext {
  readonly trace: Trace;
  readonly target: Target;
  readonly session: Session;
  readonly account: Account;
  readonly compare: Comparison;
  readonly counterparts: Counterparts;
  readonly pace: Pace;
  readonly patience: Patience;
  /** On real hardware. */
  readonly guard: Guard | undefined;
}
