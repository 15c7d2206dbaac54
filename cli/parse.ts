// SPDX-License-Identifier: Apache-2.0
import type { Options } from 'yargs';
import yargs from 'yargs/yargs';
import { UserError } from '../abi/user-error.js';
import type { Verb, VerbArguments } from './verb.js';

type AnyOptions = Readonly<Record<string, Options>>;

/** What yargs made of the words after the verb; undefined when it answered `--help` itself. */
export async function parseVerb(
  name: string,
  verb: Verb,
  words: readonly string[],
): Promise<VerbArguments<AnyOptions> | undefined> {
  const options: Record<string, Options> = {};
  for (const [key, option] of Object.entries(verb.options)) {
    options[key] = option.type === 'boolean' ? option : { ...option, requiresArg: true };
  }
  const parser = yargs([...words])
    .scriptName('vfiotape')
    .usage(`vfiotape ${verb.usage}\n\n${verb.summary}`)
    .options(options)
    .parserConfiguration({
      'boolean-negation': false,
      'greedy-arrays': false, // --watch A DRIVER: the driver is no second range
      'halt-at-non-option': verb.operands === 'command', // what follows DRIVER is the driver's
      'parse-positional-numbers': false, // 0x10 stays 0x10
      'populate--': true,
    })
    .strictOptions()
    .version(false)
    .help('help')
    .alias('help', 'h')
    .detectLocale(false)
    .wrap(Math.min(110, process.stdout.columns ?? 100))
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message: string | null, error: Error | undefined) => {
      // What yargs itself throws (YError) is a mistake in the words; anything else is ours.
      if (error !== undefined && error.name !== 'YError') throw error;
      const what = oneLine(message ?? error?.message ?? 'unusable arguments');
      throw new UserError(`${name}: ${what}; see vfiotape ${name} --help`);
    });
  for (const [command, explanation] of verb.examples ?? []) parser.example(command, explanation);
  if (verb.epilogue !== undefined) parser.epilogue(verb.epilogue);

  const parsed = await parser.parse();
  if (parsed['help'] === true) return undefined;
  for (const [key, option] of Object.entries(options)) checkValue(name, key, option, parsed[key]);
  const operands = [...parsed._, ...((parsed['--'] as readonly string[] | undefined) ?? [])].map(String);
  checkOperands(name, verb, operands);
  return { ...parsed, operands };
}

function checkValue(verb: string, key: string, option: Options, value: unknown): void {
  if (Array.isArray(value) && option.array !== true && option.type !== 'array') {
    throw new UserError(`${verb}: --${key} is given ${value.length} times; give it once`);
  }
  if (option.type === 'number' && Number.isNaN(value))
    throw new UserError(`${verb}: --${key} needs a number`);
}

function checkOperands(name: string, verb: Verb, operands: readonly string[]): void {
  const { least, most } = verb.operands === 'command' ? { least: 1, most: Infinity } : verb.operands;
  if (operands.length < least)
    throw new UserError(`${name}: too few arguments; usage: vfiotape ${verb.usage}`);
  if (operands.length > most) {
    throw new UserError(`${name}: unexpected argument '${operands[most]}'; usage: vfiotape ${verb.usage}`);
  }
}

/** yargs lists choices on lines of their own. */
function oneLine(message: string): string {
  const line = message.trim().replace(/\s*\n\s*/g, ' ');
  return line.charAt(0).toLowerCase() + line.slice(1);
}
