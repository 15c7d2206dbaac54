// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../abi/user-error.js';
import { ruleJson, rulesTable, ruleText } from '../analyzer/rules/explain.js';
import { findRule, RULES } from '../analyzer/rules/rules.js';
import { ExitStatus } from './exit-status.js';
import { print } from './output.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'rules [--json] [RULE-ID]…',
  summary: 'The catalogue of rules, or what one of them means, how it is decided and when it is wrong.',
  operands: { least: 0, most: Number.MAX_SAFE_INTEGER },
  options: { json: { type: 'boolean', describe: 'a JSON list' } },
  examples: [['vfiotape rules RST-001', 'why, how decided, when wrong, what a compliant driver does']],
  async run({ operands, json }) {
    const asked = operands.map((id) => {
      const rule = findRule(id.toUpperCase());
      if (rule === undefined) throw new UserError(`rules: no rule '${id}'; vfiotape rules lists them`);
      return rule;
    });
    const rules = asked.length === 0 ? RULES : asked;
    if (json === true) await print(`${JSON.stringify(rules.map(ruleJson), null, 2)}\n`);
    else await print(asked.length === 0 ? rulesTable(rules) : asked.map(ruleText).join('\n\n'));
    return ExitStatus.OK;
  },
});
