// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { MSI_001 } from './msi-001-config-writes.js';
import { MSI_002 } from './msi-002-msix-control.js';
import { MSI_003 } from './msi-003-table-stores.js';
import { MSI_004 } from './msi-004-pba-stores.js';
import { MSI_005 } from './msi-005-table-by-descriptor.js';
import { MSI_006 } from './msi-006-well-behaved.js';
import { MSI_007 } from './msi-007-table-mappings.js';
import { MSI_008 } from './msi-008-ioeventfd.js';

export const MSI_RULES: readonly Rule[] = [
  MSI_001,
  MSI_002,
  MSI_003,
  MSI_004,
  MSI_005,
  MSI_006,
  MSI_007,
  MSI_008,
];
