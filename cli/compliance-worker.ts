// SPDX-License-Identifier: Apache-2.0
import type { TraceReport } from '../analyzer/reports/model.js';
import { serve } from '../analyzer/serve.js';
import { type ComplianceTask, reportOn } from './compliance.js';

serve<ComplianceTask, TraceReport>((task) => reportOn(task));
