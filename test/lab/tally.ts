// SPDX-License-Identifier: Apache-2.0

/** What a run of the lab counts and says, in the form of node:test. */
export class Tally {
  private passed = 0;
  private failed = 0;
  private skipped = 0;

  /** `trouble` is empty when it holds. */
  check(name: string, trouble: string): void {
    if (trouble === '') {
      this.passed++;
      console.log(`✔ ${name}`);
    } else {
      this.failed++;
      console.log(`✖ ${name}\n${indent(trouble)}`);
    }
  }

  notRun(name: string, why: string): void {
    this.skipped++;
    console.log(`﹣ ${name}: not run: ${why}`);
  }

  /** The closing line, and the exit status. */
  close(): number {
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : '';
    console.log(`\n${this.passed} passed, ${this.failed} failed${skipped}`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}

export function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}
