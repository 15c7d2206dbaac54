// SPDX-License-Identifier: Apache-2.0
import { serve } from '../serve.js';
import { type ExportResult, type ExportTask, exportTrace } from './export-trace.js';

serve<ExportTask, ExportResult>((task) => exportTrace(task));
