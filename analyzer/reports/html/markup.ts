// SPDX-License-Identifier: Apache-2.0
/** HTML that can't be got wrong: whatever is put into a template is text, unless a template made it. */
import { escapeText } from '../../../abi/text.js';

const NAMED: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export class Markup {
  private constructor(readonly text: string) {}

  /** Only of what this program wrote itself: a style sheet, a picture whose text is escaped. */
  static trusted(text: string): Markup {
    return new Markup(text);
  }
}

export type Content = Markup | string | number | undefined | readonly Content[];

/** Values are for text and for attributes in double quotes. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Markup {
  let text = parts[0] as string;
  values.forEach((value, i) => {
    text += rendered(value) + (parts[i + 1] as string);
  });
  return Markup.trusted(text);
}

function rendered(value: Content): string {
  if (value === undefined) return '';
  if (value instanceof Markup) return value.text;
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string')
    return escapeText(value).replace(/[&<>"']/g, (character) => NAMED[character] ?? '');
  return value.map(rendered).join('');
}
