// The language of the page. A second language is one more file of the same shape as en.ts, chosen here.
import { en } from './en';

export type Texts = typeof en;

const LANGUAGES: Record<string, Texts> = { en };

function chosen(): string {
  // Unit tests run without a browser.
  const wanted: readonly string[] = globalThis.navigator?.languages ?? [];
  return wanted.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES) ?? 'en';
}

export const language = chosen();
export const text: Texts = LANGUAGES[language] ?? en;
