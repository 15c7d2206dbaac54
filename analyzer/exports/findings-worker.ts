// SPDX-License-Identifier: Apache-2.0
import type { Finding } from '../check/finding.js';
import { serve } from '../serve.js';
import { findingsOf } from './findings.js';

serve<string | number, readonly Finding[]>(async (source) => findingsOf(source));
